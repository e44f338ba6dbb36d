"""best.json: the sidecar of the weights of a run, with what is needed to use them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import msgspec

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames

CHECKPOINTS = "checkpoints"  # folder in a run
WEIGHTS, SIDECAR, LAST = "best.safetensors", "best.json", "last.pt"  # files in it
NEXT = "next.safetensors"  # new weights, until they replace the file `WEIGHTS`


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an image.

    Attributes:
        clahe_clip: Contrast limit of CLAHE; 0 for none.
        clahe_tiles: Number of CLAHE tiles along each side.
        aspect: `stretch` to a square, or `keep` the proportions and pad with black.
        mean: Mean of the normalisation, one value per channel, for images in [0, 1].
        std: Standard deviation of the normalisation, one value per channel.
    """

    clahe_clip: float
    clahe_tiles: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    aspect: str = "stretch"


@dataclass(frozen=True)
class BlockArguments:
    """The arguments of each block of a ResNet; see `BTXRDClassifier`.

    Attributes:
        attn_layer: Attention module of timm in each block.
    """

    attn_layer: str


@dataclass(frozen=True)
class ModelArguments:
    """Arguments of `BTXRDClassifier`, except for the initial weights.

    Other arguments are refused: a sidecar may come from an untrusted source, and timm accepts
    arguments that load files.

    Attributes:
        backbone: Name of a timm model.
        num_classes: Number of classes.
        drop_rate: Dropout probability before the last layer.
        gradcam_layer: Layer for Grad-CAM, as a dotted name in the backbone; None for the one of its
            family.
        lesion_map: Whether the model predicts lesion maps.
        pooling: As `model.pooling`.
        test_flip: As `model.test_flip`.
        block_args: Arguments of the blocks of a ResNet; None for the defaults of timm.
        img_size: Height and width that a vision transformer is built for; None for other backbones.
    """

    backbone: str
    num_classes: int
    drop_rate: float = 0.0
    gradcam_layer: str | None = None
    lesion_map: bool = False
    pooling: Literal["backbone", "lesion"] = "backbone"
    test_flip: bool = False
    block_args: BlockArguments | None = None
    img_size: int | None = None

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """Check the arguments of a model.

        Raises:
            ValueError: If one is unknown, missing, or of the wrong type.
        """
        blocks = arguments.get("block_args") or {}
        unknown = {*arguments} - {*cls.__dataclass_fields__} | {*blocks} - {"attn_layer"}
        if unknown:
            raise ValueError(f"arguments: {min(unknown)} is not an argument of a model")
        return msgspec.convert(arguments, cls)

    def as_keywords(self) -> dict[str, Any]:
        """Return the arguments that are set, as `BTXRDClassifier` takes them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class InitialWeights:
    """The source of the weights with which the training of a model began.

    Attributes:
        source: Kind of source: `random`, `hub`, `package` or `file`.
        name: Name of the repository or its URL, of the package with its version, or of the file.
        sha256: SHA-256 of the file; empty without one.
        loaded: Number of tensors of the backbone that were loaded from the source.
        tensors: Number of tensors of the backbone, without its classifier.
    """

    source: Literal["random", "hub", "package", "file"] = "random"
    name: str = ""
    sha256: str = ""
    loaded: int = 0
    tensors: int = 0

    def __str__(self) -> str:
        """Return a description, such as "random", or the source and the number of tensors."""
        if self.source == "random":
            return "random"
        place = {"hub": "", "package": "the package ", "file": "the file "}[self.source]
        digest = f" (sha256 {self.sha256})" if self.sha256 else ""
        used = f"{self.loaded} of {self.tensors} tensors of the backbone"
        return f"{place}{self.name}{digest}, {used}; the others are random"


@dataclass(frozen=True)
class Sidecar(codec.Artifact):
    """Content of best.json.

    Attributes:
        arguments: Arguments of the model.
        classes: Class names in the order of the logits.
        focus: Class of the operating point and of the missed cases.
        background: Class without a lesion; None if every class has one.
        image_size: Height and width in pixels.
        preprocessing: Preprocessing of an image.
        fingerprint: Fingerprint of the run.
        split: Title of the split.
        split_hash: Hash of split.csv.
        epoch: Number of the epoch, from 1.
        val: Validation metrics of that epoch, None where undefined.
        initial: Source of the weights with which training began; None in files of earlier versions.
        sha256: SHA-256 of the file of the weights; None in files of earlier versions.
    """

    FORMAT: ClassVar[int] = 2

    arguments: ModelArguments
    classes: tuple[str, ...]
    focus: str
    background: str | None
    image_size: int
    preprocessing: Preprocessing
    fingerprint: str
    split: str
    split_hash: str
    epoch: int
    val: dict[str, float | None] = field(default_factory=dict)
    initial: InitialWeights | None = None
    sha256: str | None = None

    @property
    def class_names(self) -> ClassNames:
        """The classes of the model."""
        return ClassNames(self.classes, self.focus, self.background)

    @classmethod
    def upgrade(cls, content: codec.Content, older: int) -> codec.Content:
        """Convert the content of an older file to the present format."""
        if older < 2:
            names = ClassNames.of_format_1(content["classes"])
            content = content | {"focus": names.focus, "background": names.background}
        return content

    @classmethod
    def from_content(cls, content: codec.Content) -> Self:
        """Convert the content of a file; an unknown argument of the model is an error."""
        ModelArguments.of(content["arguments"])
        if content.get("initial") is not None and content.get("sha256") is None:
            raise ValueError("lacks sha256, which each version that writes `initial` writes too")
        return super().from_content(content)


def read_sidecar(run_dir: Path) -> Sidecar:
    """Read the sidecar of the best weights of a run.

    Raises:
        InputError: If the file is damaged, or has a newer format.
        OSError: If the file cannot be read.
    """
    return codec.read(run_dir / CHECKPOINTS / SIDECAR, Sidecar)
