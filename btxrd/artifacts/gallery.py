"""gallery/gallery.json: the test images that the pages show, and the names of their pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from btxrd.artifacts import codec
from btxrd.runtime.files import is_there

GALLERY, GALLERY_JSON = "gallery", "gallery.json"
OutcomeOfFocus = Literal["missed", "false_alarm", "found"]
OUTCOMES: tuple[OutcomeOfFocus, ...] = ("missed", "false_alarm", "found")
Outline = tuple[tuple[float, float], ...]  # corners (x, y), as shares of the width and the height


@dataclass(frozen=True)
class GalleryImage:
    """A test image with its prediction.

    Attributes:
        image_id: Id of the image.
        center: Center that the image is from.
        outcome: Outcome for the focus class: `missed` (false negative), `false_alarm` (false
            positive) or `found` (true positive).
        label: Name of the true class.
        predicted: Name of the predicted class.
        probs: Probabilities of the classes, in the order of the labels.
        film: File name of the picture of the image, in the folder of the gallery.
        map: File name of the transparent picture of Grad-CAM of the predicted class, which is drawn
            over the image.
        outlines: Outlines of the lesions, each as corners (x, y) in shares of the width and the
            height; empty if there are none.
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
        focus: Class that the outcomes are about.
        counts: Number of test images by outcome, including those that the gallery does not show.
        images: Images that the gallery shows: for each outcome in turn, the most confident first.
    """

    classes: tuple[str, ...]
    focus: str
    counts: dict[str, int]
    images: tuple[GalleryImage, ...]


def read_gallery(run_dir: Path) -> Gallery | None:
    """Read gallery.json of a run; None if the run has none, as older versions wrote none.

    Raises:
        InputError: If the file is damaged, or has a newer format.
        OSError: If the file cannot be read.
    """
    path = run_dir / GALLERY / GALLERY_JSON
    return codec.read(path, Gallery) if is_there(path) else None


def write_gallery(run_dir: Path, gallery: Gallery) -> None:
    """Write gallery.json of a run, whose pictures have been written."""
    codec.write(run_dir / GALLERY / GALLERY_JSON, gallery)
