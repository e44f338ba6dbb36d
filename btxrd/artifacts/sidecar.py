"""best.json: what is needed to use the weights of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames

CHECKPOINTS = "checkpoints"  # folder in a run
WEIGHTS, SIDECAR, LAST = "best.safetensors", "best.json", "last.pt"  # files in it


@dataclass(frozen=True)
class Preprocessing:
    """How an image is prepared for the model.

    Attributes:
        clahe_clip: Contrast limit of CLAHE; 0 for none.
        clahe_tiles: Number of CLAHE tiles along each side.
        aspect: `stretch` or `keep`.
        mean: Of the normalisation, one value per channel, for images in [0, 1].
        std: Likewise.
    """

    clahe_clip: float
    clahe_tiles: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    aspect: str = "stretch"


@dataclass(frozen=True)
class Sidecar(codec.Artifact):
    """Content of best.json.

    Attributes:
        arguments: Arguments of `BTXRDClassifier`, except for the initial weights.
        classes: Class names in the order of the logits.
        focus: See `ClassNames`.
        background: See `ClassNames`.
        image_size: Height and width in pixels.
        preprocessing: Of an image.
        fingerprint: Of the run.
        split: Title of the split.
        split_hash: Hash of split.csv.
        epoch: Number of the epoch, from 1.
        val: Validation metrics of that epoch, None where undefined.
    """

    FORMAT: ClassVar[int] = 2

    arguments: dict[str, Any]
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

    @property
    def class_names(self) -> ClassNames:
        """The classes of the model."""
        return ClassNames(self.classes, self.focus, self.background)

    @classmethod
    def upgrade(cls, content: codec.Content, older: int) -> codec.Content:
        """Bring the content of an older file to the present format."""
        if older < 2:
            names = ClassNames.of_format_1(content["classes"])
            content = content | {"focus": names.focus, "background": names.background}
        return content


def read_sidecar(run_dir: Path) -> Sidecar:
    """Read the sidecar of a run's best weights.

    Raises:
        InputError: If the file is damaged or too new.
        OSError: If it cannot be read.
    """
    return codec.read(run_dir / CHECKPOINTS / SIDECAR, Sidecar)
