"""The keys of a config, with their types, ranges, choices and meanings.

Plain dataclasses. Hydra composes the YAML files under `conf/` onto them, so an unknown key or a
wrong type fails while composing. `btxrd.config.checks` checks ranges and dependent keys. The
configuration reference of the documentation is generated from this file: from the declarations
and from the `Attributes` in the docstrings.
"""

from dataclasses import dataclass, field
from typing import Any

REQUIRED: Any = "???"  # OmegaConf's mark for a value that must be given


def setting(default: Any, **declared: Any) -> Any:
    """Declare a setting of a run.

    Args:
        default: Value if no YAML file gives one.
        declared: `identity=False` for a setting that is not part of the identity of a run, such
            as a path or the device. `neutral=VALUE` for the value at which a run is what it was
            before the setting existed. A setting that is added to this file needs one of the two.
            Otherwise, the runs that were done before it would count as runs of another config.
    """
    return field(default=default, metadata=declared)


def number(default: Any, low: float, high: float | None = None, **declared: Any) -> Any:
    """Declare a number in [low, high], without an upper bound if `high` is None."""
    return setting(default, low=low, high=high, **declared)


def choice(default: Any, *choices: str, **declared: Any) -> Any:
    """Declare a string that must be one of `choices`."""
    return setting(default, choices=choices, **declared)


@dataclass
class ModelConfig:
    """The classifier: a timm backbone, its input size and its initial weights.

    Attributes:
        _target_: Function that Hydra calls to build the model. It cannot be changed.
        backbone: Name of a timm model.
        pretrained: `true` starts from pretrained weights, `false` from random ones.
        weights: Local file of pretrained weights. `null` takes timm's, from its hub or a package.
        dropout: Dropout probability before the last layer.
        attn_layer: Attention module of timm in each block of a ResNet, such as `cbam` or `se`.
        image_size: Height and width of the input, in pixels.
        gradcam_layer: Layer for Grad-CAM, as a dotted name in the backbone. `null` chooses it by
            the family.
        pooling: `lesion` replaces the pooling of the backbone by attention over a lesion map.
        test_flip: In evaluation, average the probabilities of an image and of its mirror image.
    """

    _target_: str = choice("btxrd.model.factory.create_model", "btxrd.model.factory.create_model")
    backbone: str = REQUIRED
    pretrained: bool = True
    weights: str | None = None
    dropout: float = number(0.2, 0, 0.95)
    attn_layer: str | None = None
    image_size: int = number(224, 32, 1024)
    gradcam_layer: str | None = None
    pooling: str = choice("backbone", "backbone", "lesion")
    test_flip: bool = False


@dataclass
class PhantomConfig:
    """Synthetic radiographs, which are written once into `data.root`.

    Attributes:
        cases: Number of images.
        seed: Seed of the synthetic images and of the table.
        kind: Additions to the images and files: none, copies, unusual or damaged files, or a
            letter that reveals the class.
    """

    cases: int = number(560, 60, 20000)
    seed: int = number(0, 0)
    kind: str = choice("clean", "clean", "duplicates", "oddities", "damaged", "shortcut")


@dataclass
class ArchiveConfig:
    """The archive that `btxrd download` fetches.

    Attributes:
        url: Address of the archive.
        md5: MD5 checksum of the archive.
    """

    url: str = REQUIRED
    md5: str = REQUIRED


@dataclass
class DataConfig:
    """The folder of a data set in BTXRD's layout, and the preprocessing of its images.

    Attributes:
        root: Folder of the data set. Its content identifies a run, and its path does not.
        cache: Folder of decoded images, which all runs share. It can be deleted at any time.
        phantom: Synthetic radiographs to write into `root`. `null` if the folder has its own
            images.
        archive: Source of the download. `null` if there is none.
        contradictions: `drop` excludes near-duplicates that have different labels.
        clahe_clip: Contrast limit of CLAHE, the local histogram equalisation. 0 disables it.
        clahe_tiles: Number of CLAHE tiles along each side of an image.
        aspect: `stretch` resizes an image to a square. `keep` pads it with black to a square.
    """

    root: str = setting(REQUIRED, identity=False)
    cache: str = setting("outputs/cache", identity=False)
    phantom: PhantomConfig | None = None
    archive: ArchiveConfig | None = setting(None, identity=False)
    contradictions: str = choice("keep", "keep", "drop")
    clahe_clip: float = number(2.0, 0, 40)
    clahe_tiles: int = number(8, 1, 64)
    aspect: str = choice("stretch", "stretch", "keep")


@dataclass
class SplitConfig:
    """The assignment of cases to train, val and test.

    Attributes:
        strategy: Rule that assigns cases to partitions.
        groups: `whole` keeps each group in one partition. `none` assigns images one by one.
        val: Share of the validation cases. With `stratified`, it is a share of all cases. With
            `center`, `leave_one_center_out` and `kfold`, it is a share of the cases outside test.
        test: `stratified` and `random` only: share of the test cases.
        held_out: `center` only: test centers.
        test_center: `leave_one_center_out` only: test center.
        folds: `kfold` only: number of folds.
        fold: `kfold` only: number of the test fold, from 0.
        manifest: `manifest` only: CSV file with the columns `image_id` and `partition`. Its content
            identifies a run, and its path does not.
        seed: Seed of the assignment to partitions.
    """

    strategy: str = choice(
        REQUIRED, "stratified", "center", "leave_one_center_out", "kfold", "random", "manifest"
    )
    groups: str = choice("whole", "whole", "none")
    val: float = number(0.15, 0.01, 0.5)
    test: float = number(0.15, 0.01, 0.5)
    held_out: list[int] = field(default_factory=lambda: [2, 3])
    test_center: int = number(1, 1)
    folds: int = number(5, 2, 100)
    fold: int = number(0, 0)
    manifest: str | None = setting(None, identity=False)
    seed: int = number(0, 0)

    @property
    def title(self) -> str:
        """Description of the split in a table, with all settings that affect its metrics."""
        marks = {
            "center": "" if self.held_out == [2, 3] else f"{self.held_out} held out",
            "leave_one_center_out": f"center {self.test_center}",
            "kfold": f"fold {self.fold} of {self.folds}",
            "random": "val is test",
            "manifest": str(self.manifest).split("/")[-1],
        }
        notes = [marks[self.strategy]] if marks.get(self.strategy) else []
        if self.seed:
            notes.append(f"seed {self.seed}")
        if self.groups == "none":
            notes.append("groups=none")
        return self.strategy + (f" ({', '.join(notes)})" if notes else "")


@dataclass
class AnnotationsConfig:
    """The use of lesion outlines in training.

    Attributes:
        kind: `none` ignores the outlines. `guided` adds a second view of each outlined tumour, with
            the background dimmed. `lesion` adds a lesion-map loss. `cam` adds a Grad-CAM loss.
        dim: `guided` only: factor of the pixels outside the outlines. 0 makes them black.
        weight: `lesion` and `cam` only: weight of their loss, beside that of the class.
        sham: Control with outlines of other images. `shuffled`: each tumour has the outlines of
            another tumour. `normals`: each normal image has outlines of a tumour, too.
    """

    kind: str = choice(REQUIRED, "none", "guided", "lesion", "cam")
    dim: float = number(0.5, 0, 1)
    weight: float = number(0.5, 0, 100)
    sham: str = choice("none", "none", "shuffled", "normals")

    @property
    def title(self) -> str:
        """Name as in `annotations=...`: the kind, and the control if it is one."""
        return self.kind if self.sham == "none" else f"{self.kind}_{self.sham}"


@dataclass
class TrainingConfig:
    """The training recipe: optimiser, schedule, loss and augmentation.

    Attributes:
        epochs: Number of epochs, unless training stops early.
        batch_size: Number of images per training step.
        lr: Peak learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        warmup_epochs: Number of epochs in which the learning rate rises to its peak. It then falls
            to 0.
        patience: Training stops after this number of epochs without a lower validation loss.
        layer_decay: Factor of the learning rate from each layer to the one below it. 1 disables it.
        ema: Decay per step of the moving average of the weights, which replaces the last weights. 0
            disables it.
        label_smoothing: Share of each label that is spread over all classes. 0 disables it.
        imbalance: Method for class imbalance: class weights by inverse frequency or by its square
            root, balanced sampling, logit adjustment, or the focal loss.
        flip: Mirror half of the images left to right.
        rotation: Largest rotation in degrees, in both directions.
        zoom: Logarithm of the largest zoom factor, in both directions. 0 disables it.
        aspect: Logarithm of the largest change in the ratio of height to width. 0 disables it.
        intensity: Logarithm of the largest change in gamma and in contrast. 0 disables it.
        noise: Largest standard deviation of added noise, with pixels from 0 to 1. 0 disables it.
        blur: Largest standard deviation of a Gaussian blur, in pixels. 0 disables it.
        erase: Share of the images that get a black rectangle. 0 disables it.
        mixup: Parameter alpha of mixup. 0 disables it.
        cutmix: Parameter alpha of CutMix. 0 disables it.
    """

    epochs: int = number(50, 1, 10000)
    batch_size: int = number(32, 2, 4096)
    lr: float = number(3e-4, 1e-8, 1)
    weight_decay: float = number(0.01, 0, 1)
    warmup_epochs: int = number(3, 0)
    patience: int = number(15, 1)
    layer_decay: float = number(1.0, 0.1, 1)
    ema: float = number(0.0, 0, 0.99999)
    label_smoothing: float = number(0.1, 0, 0.9)
    imbalance: str = choice(
        "weights", "none", "weights", "sqrt_weights", "balanced", "logit_adjustment", "focal"
    )
    flip: bool = True
    rotation: float = number(15.0, 0, 180)
    zoom: float = number(0.0, 0, 1)
    aspect: float = number(0.0, 0, 1)
    intensity: float = number(0.0, 0, 1)
    noise: float = number(0.0, 0, 1)
    blur: float = number(0.0, 0, 5)
    erase: float = number(0.0, 0, 1)
    mixup: float = number(0.0, 0, 10)
    cutmix: float = number(0.0, 0, 10)


@dataclass
class ReportConfig:
    """The HTML report of a sweep.

    Attributes:
        images: Show radiographs in the report. BTXRD's licence forbids publishing them.
        margin: Smallest difference in macro AUC that matters.
    """

    images: bool = setting(True, identity=False)
    margin: float = number(0.02, 0.001, 0.5, identity=False)


@dataclass
class Config:
    """The config of one run.

    Attributes:
        model: Classifier.
        data: Data set and preprocessing.
        split: Partitions.
        annotations: Use of lesion outlines.
        training: Training recipe.
        report: HTML report.
        seed: Seed of random weights, of the order of the data, of augmentation, of dropout and of
            sham outlines.
        evaluate: `false` trains only: it writes no predictions or metrics.
        device: `auto` takes CUDA if there is a GPU, then MPS, then the CPU.
        compile: Use of `torch.compile`. `auto` uses it if the training is long enough to gain from
            it.
        fail_fast: `true` stops a sweep at the first failed run.
        max_failed: A search stops when more runs than this have failed.
        runs_per_gpu: `hydra/launcher=joblib` only: number of runs that share a GPU.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    annotations: AnnotationsConfig = field(default_factory=AnnotationsConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    seed: int = number(0, 0, 2**31 - 1)
    evaluate: bool = True
    device: str = choice("auto", "auto", "cpu", "cuda", "mps", identity=False)
    compile: str = choice("auto", "auto", "always", "never", identity=False)
    fail_fast: bool = setting(False, identity=False)
    max_failed: int = number(3, 0, identity=False)
    runs_per_gpu: int = number(1, 1, 64, identity=False)
