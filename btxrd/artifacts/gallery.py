"""gallery/gallery.json: the test images that the pages show, and where their pictures are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from btxrd.artifacts import codec
from btxrd.runtime.files import is_there

GALLERY, GALLERY_JSON = "gallery", "gallery.json"
OutcomeOfFocus = Literal["missed", "false_alarm", "found"]
OUTCOMES: tuple[OutcomeOfFocus, ...] = ("missed", "false_alarm", "found")
Outline = tuple[tuple[float, float], ...]  # corners, as shares of the width and the height


@dataclass(frozen=True)
class GalleryImage:
    """A test image, beside its prediction.

    Attributes:
        image_id: Name of the image.
        center: Center that it is from.
        outcome: For the focus class: `missed`, `false_alarm` or `found`.
        label: Name of the true class.
        predicted: Name of the predicted class.
        probs: Of the classes, in the order of the labels.
        film: Name of the picture of the image in the folder of the gallery.
        map: Name of the picture of Grad-CAM of the predicted class, to be laid over it.
        outlines: Of its lesions; empty if there are none or they are not known.
    """

    image_id: str
    center: int
    outcome: OutcomeOfFocus
    label: str
    predicted: str
    probs: tuple[float, ...]
    film: str
    map: str
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class Gallery(codec.Artifact):
    """Content of gallery.json.

    Attributes:
        classes: Class names in the order of the labels.
        focus: The class that the outcomes are about.
        counts: Number of test images by outcome, of which the most confident ones are shown.
        images: By outcome, the most confident one first.
    """

    classes: tuple[str, ...]
    focus: str
    counts: dict[str, int]
    images: tuple[GalleryImage, ...]


def read_gallery(run_dir: Path) -> Gallery | None:
    """Read the gallery of a run; None for a run of a version that wrote none.

    Raises:
        InputError: If the file is damaged or too new.
        OSError: If it cannot be read.
    """
    path = run_dir / GALLERY / GALLERY_JSON
    return codec.read(path, Gallery) if is_there(path) else None


def write_gallery(run_dir: Path, gallery: Gallery) -> None:
    """Write the gallery of a run, whose pictures are there."""
    codec.write(run_dir / GALLERY / GALLERY_JSON, gallery)
