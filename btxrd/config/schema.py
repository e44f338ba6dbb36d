"""What a config may hold: the keys, their types, ranges and choices.

Plain dataclasses. Hydra composes the YAML files under `conf/` onto them, so an unknown key or a
wrong type fails while composing; `check` adds what a type cannot say.
"""

import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from btxrd.errors import InputError

REQUIRED: Any = "???"  # OmegaConf's sign for a value that must be given


def setting(default: Any, **declared: Any) -> Any:
    """Declare a setting of a run.

    Args:
        default: Its value where no YAML file gives one.
        declared: `identity=False` for a setting that cannot change a metric. `neutral=VALUE` for
            the value at which a run is what it was before the setting existed. Every setting that
            is added to this file needs one of the two: without them, runs that were done before
            would count as runs of another config.
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
    """A classifier: a timm backbone, and how it starts."""

    _target_: str = choice("btxrd.model.factory.create_model", "btxrd.model.factory.create_model")
    backbone: str = REQUIRED  # a timm model name
    pretrained: bool = True  # start from ImageNet weights
    weights: str | None = None  # a local file to take them from
    dropout: float = number(0.2, 0, 0.95)
    attn_layer: str | None = None  # timm attention inside a ResNet's blocks: cbam, se, eca, ...
    image_size: int = number(224, 32, 1024)  # pixels, height and width
    gradcam_layer: str | None = None  # dotted name in the backbone; null: chosen by its family
    pooling: str = choice("backbone", "backbone", "lesion")  # lesion: where the model sees one
    test_flip: bool = False  # probabilities are the mean of the image's and its mirror image's


@dataclass
class PhantomConfig:
    """Synthetic radiographs, written once into `data.root`."""

    cases: int = number(560, 60, 20000)
    seed: int = number(0, 0)
    kind: str = choice("clean", "clean", "duplicates", "oddities", "damaged", "shortcut")  # planted


@dataclass
class ArchiveConfig:
    """Where `python -m btxrd.download` takes the images from."""

    url: str = REQUIRED
    md5: str = REQUIRED  # of the whole file


@dataclass
class DataConfig:
    """A folder in BTXRD's layout, and how its images are prepared."""

    root: str = setting(REQUIRED, identity=False)  # the content of the folder counts instead
    cache: str = setting("outputs/cache", identity=False)  # decoded images, shared by all runs
    phantom: PhantomConfig | None = None
    archive: ArchiveConfig | None = setting(None, identity=False)
    contradictions: str = choice("keep", "keep", "drop")  # copies of one image with two labels
    clahe_clip: float = number(2.0, 0, 40)  # contrast limit; 0 leaves the image as it is
    clahe_tiles: int = number(8, 1, 64)
    aspect: str = choice("stretch", "stretch", "keep")  # keep: black fills the square


@dataclass
class SplitConfig:
    """How cases are dealt to train, val and test."""

    strategy: str = choice(
        REQUIRED, "stratified", "center", "leave_one_center_out", "kfold", "random", "manifest"
    )
    groups: str = choice("whole", "whole", "none")  # none: images of one patient are parted
    val: float = number(0.15, 0.01, 0.5)  # stratified: of all cases; else of those not tested
    test: float = number(0.15, 0.01, 0.5)  # stratified and random only
    held_out: list[int] = field(default_factory=lambda: [2, 3])  # center only: the test centers
    test_center: int = number(1, 1)  # leave_one_center_out only
    folds: int = number(5, 2, 100)  # kfold only
    fold: int = number(0, 0)  # kfold only: the one that is tested, from 0
    manifest: str | None = setting(None, identity=False)  # CSV file; its content counts instead
    seed: int = number(0, 0)

    @property
    def title(self) -> str:
        """The split in a table, with all that a reader of its figures must know."""
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
    """What the lesion outlines are used for in training."""

    kind: str = choice(REQUIRED, "none", "guided", "lesion", "cam")
    dim: float = number(0.5, 0, 1)  # guided: the surroundings of a lesion are multiplied by this
    weight: float = number(0.5, 0, 100)  # lesion, cam: of the loss of the lesion
    sham: str = choice("none", "none", "shuffled", "normals")  # outlines of other images: a control

    @property
    def title(self) -> str:
        """As in `annotations=...`: the kind, and which control it is."""
        return self.kind if self.sham == "none" else f"{self.kind}_{self.sham}"


@dataclass
class TrainingConfig:
    """The recipe of a fit."""

    epochs: int = number(50, 1, 10000)
    batch_size: int = number(32, 2, 4096)
    lr: float = number(3e-4, 1e-8, 1)  # AdamW, at its peak
    weight_decay: float = number(0.01, 0, 1)
    warmup_epochs: int = number(3, 0)
    patience: int = number(15, 1)  # epochs without a lower val loss
    layer_decay: float = number(1.0, 0.1, 1)  # of the rate, from each of timm's layers to the next
    ema: float = number(0.0, 0, 0.99999)  # decay of averaged weights; 0: the last step's are used
    label_smoothing: float = number(0.1, 0, 0.9)
    imbalance: str = choice(
        "weights", "none", "weights", "sqrt_weights", "balanced", "logit_adjustment", "focal"
    )
    flip: bool = True  # left-right
    rotation: float = number(15.0, 0, 180)  # degrees, either way
    zoom: float = number(0.0, 0, 1)  # log of a factor, either way
    aspect: float = number(0.0, 0, 1)  # likewise, of height over width
    intensity: float = number(0.0, 0, 1)  # likewise, of gamma and contrast
    noise: float = number(0.0, 0, 1)  # standard deviation, of white
    blur: float = number(0.0, 0, 5)  # pixels
    erase: float = number(0.0, 0, 1)  # share of the images with a black rectangle
    mixup: float = number(0.0, 0, 10)  # alpha; 0: none
    cutmix: float = number(0.0, 0, 10)  # alpha; 0: none


@dataclass
class ReportConfig:
    """The page of a sweep."""

    images: bool = setting(True, identity=False)  # BTXRD's licence forbids publishing them
    margin: float = number(0.02, 0.001, 0.5, identity=False)  # smallest macro AUC that matters


@dataclass
class Config:
    """One run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    annotations: AnnotationsConfig = field(default_factory=AnnotationsConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    seed: int = number(0, 0, 2**31 - 1)  # weights, order of the data, augmentation, dropout
    evaluate: bool = True  # false: train only
    device: str = choice("auto", "auto", "cpu", "cuda", "mps", identity=False)
    compile: str = choice("auto", "auto", "always", "never", identity=False)  # torch.compile
    fail_fast: bool = setting(False, identity=False)  # the first failure ends the sweep
    max_failed: int = number(3, 0, identity=False)  # failed runs allowed before a search stops
    runs_per_gpu: int = number(1, 1, 64, identity=False)  # joblib only: runs that share a GPU


def check(node: Any, prefix: str = "") -> None:
    """Check every value of a config against its range or its choices.

    Raises:
        InputError: for the first value that is out of range or no choice.
    """
    for item in fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        choices, low, high = (item.metadata.get(name) for name in ("choices", "low", "high"))
        if is_dataclass(value):
            check(value, f"{key}.")
        elif isinstance(value, str) and (not value.strip() or "\0" in value):
            raise InputError(f"{key}={value!r}: must not be empty")
        elif choices and value not in choices:
            raise InputError(f"{key}={value}: must be one of {', '.join(choices)}")
        elif low is not None and not (low <= value and (high is None or value <= high)):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InputError(f"{key}={value}: must be {span}")
    if isinstance(node, ModelConfig) and node.weights is not None and not node.pretrained:
        raise InputError(f"model.weights={node.weights}: needs model.pretrained=true")
    if isinstance(node, AnnotationsConfig) and node.sham != "none" and node.kind == "none":
        raise InputError(f"annotations.sham={node.sham}: needs annotations.kind other than none")
    if isinstance(node, ArchiveConfig):
        if not re.fullmatch(r"[0-9a-fA-F]{32}", node.md5):
            raise InputError(f"data.archive.md5={node.md5}: must be 32 hexadecimal digits")
        if not re.match(r"https?://[^/]", node.url):
            raise InputError(f"data.archive.url={node.url}: must begin with http:// or https://")
    if isinstance(node, SplitConfig):
        if node.strategy == "stratified" and node.val + node.test >= 0.9:
            raise InputError(
                f"split.val={node.val}, split.test={node.test}: must leave more than 0.1 to train"
            )
        if node.strategy == "center" and len(set(node.held_out)) != max(1, len(node.held_out)):
            raise InputError(f"split.held_out={list(node.held_out)}: must name centers, each once")
        if node.fold >= node.folds:
            raise InputError(f"split.fold={node.fold}: must be below split.folds={node.folds}")
        if node.strategy == "manifest" and node.manifest is None:
            raise InputError("split.manifest: has no value; give it as split.manifest=FILE")
        if node.strategy != "manifest" and node.manifest is not None:
            raise InputError(f"split.manifest={node.manifest}: needs split=manifest")
