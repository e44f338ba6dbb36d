"""Galleries of test images: true positives, false negatives and false positives of the focus."""

import io
import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from btxrd.artifacts.gallery import GALLERY, OUTCOMES, GalleryImage, Outline, read_gallery
from btxrd.errors import InputError
from btxrd.report.runs import Run, ScoredRun

log = logging.getLogger(__name__)
WIDTH = 560  # pixels along the longer side of a picture of a run without a gallery
SHOWN = 6  # images of a tab that are shown at first
LARGEST = 1_500_000  # bytes; most that all pictures of a page may have
TITLES = {"missed": "Missed {}", "false_alarm": "False positives", "found": "Found"}
OF_OLDER = {  # endings of the names of pictures, the present one first
    "missed": ("false_negative", "miss"),
    "false_alarm": ("false_positive", "false_alarm"),
    "found": ("true_positive", "hit"),
}


@dataclass(frozen=True)
class ShownImage:
    """An image of the gallery.

    Attributes:
        name: Id of the image; empty if it is not known.
        about: Center, classes and probabilities of the image.
        picture: URL of the picture, which may be a data URI.
        overlay: URL of the map; empty if the map is part of the picture.
        outline: SVG path of the outlines, in a square of 1000 units; empty without outlines.
    """

    name: str
    about: str
    picture: str
    overlay: str = ""
    outline: str = ""


@dataclass(frozen=True)
class Tab:
    """The images of one outcome, the most confident first.

    Attributes:
        key: Outcome: `missed`, `false_alarm` or `found`.
        title: Heading of the tab.
        count: Number of test images with this outcome; None if it is not known.
        images: Images that are shown at first.
        rest: Images that are shown on demand.
    """

    key: str
    title: str
    count: int | None
    images: tuple[ShownImage, ...]
    rest: tuple[ShownImage, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The images of one run.

    Attributes:
        key: Identifier of the gallery on the page.
        split: Label of the split.
        setting: Name of the setting.
        run: Name of the run.
        seed: Seed of the run.
        tabs: One tab for each outcome; empty if the run has no pictures.
    """

    key: str
    split: str
    setting: str
    run: str
    seed: int
    tabs: tuple[Tab, ...]

    @property
    def has_maps(self) -> bool:
        """Whether an image has a map as a separate picture, which can be hidden."""
        return any(shown_image.overlay for tab in self.tabs for shown_image in tab.images)


@dataclass(frozen=True)
class Shown:
    """A run whose images are shown.

    Attributes:
        run: Name of the run.
        setting: Name of its setting.
        split: Label of its split.
    """

    run: str
    setting: str
    split: str


def galleries(shown: Sequence[Shown], runs: Sequence[Run]) -> list[Gallery]:
    """Return the galleries of runs.

    Each gallery leaves out the pictures that exceed its share of `LARGEST`.

    Args:
        shown: The runs, with their settings and splits.
        runs: All runs.
    """
    scored = {run.name: run for run in runs if isinstance(run, ScoredRun)}
    budget = LARGEST // max(len(shown), 1)
    return [
        gallery_of(scored[one.run], one, str(number), budget) for number, one in enumerate(shown)
    ]


def gallery_of(
    run: ScoredRun,
    shown: Shown,
    key: str = "0",
    budget: int = LARGEST,
    *,
    as_links: bool = False,
) -> Gallery:
    """Return the gallery of a run.

    Args:
        run: The run.
        shown: Names of its setting and split.
        key: Identifier of the gallery on the page.
        budget: Most bytes that its pictures may have; further pictures are left out.
        as_links: Whether the page is in the folder of the run and links to the pictures.
    """
    try:
        tabs = _tabs(run, budget, as_links)
    except (InputError, OSError) as error:
        log.warning("%s: the gallery is not shown (%s)", run.path, error)
        tabs = ()
    return Gallery(key, shown.split, shown.setting, run.name, run.config.config.seed, tabs)


def _tabs(run: ScoredRun, budget: int, as_links: bool) -> tuple[Tab, ...]:
    stored, folder = read_gallery(run.path), run.path / GALLERY
    focus = run.metrics.focus
    if stored is None:
        return _tabs_of_older(run, as_links)
    left, tabs = budget, []
    for outcome in OUTCOMES:
        images = []
        for image in (one for one in stored.images if one.outcome == outcome):
            shown_image = _shown_image(folder, image, stored.classes, as_links)
            left -= len(shown_image.picture) + len(shown_image.overlay)
            if left > 0:
                images.append(shown_image)
        tabs.append(
            Tab(
                outcome,
                TITLES[outcome].format(focus),
                stored.counts.get(outcome),
                tuple(images[:SHOWN]),
                tuple(images[SHOWN:]),
            )
        )
    return tuple(tabs)


def _shown_image(
    folder: Path, image: GalleryImage, classes: Sequence[str], as_links: bool
) -> ShownImage:
    probs = dict(zip(classes, image.probs, strict=True))
    shown = dict.fromkeys((image.predicted, image.label))
    chances = " · ".join(f"{name} {probs[name]:.2f}" for name in shown)
    return ShownImage(
        image.image_id,
        f"center {image.center} · true {image.label}, predicted {image.predicted} · {chances}",
        _source(folder / Path(image.film).name, as_links),
        _source(folder / Path(image.map).name, as_links),
        path_of(image.outlines),
    )


def path_of(outlines: Sequence[Outline]) -> str:
    """Return the SVG path of outlines in a square of 1000 units.

    Args:
        outlines: Corners (x, y) of each outline, as shares of the width and the height.
    """
    closed = [
        " ".join(f"{round(1000 * x)} {round(1000 * y)}" for x, y in one) for one in outlines if one
    ]
    return "".join(f"M{points}z" for points in closed)


def _source(path: Path, as_link: bool) -> str:
    """Return the URL of a picture: its path from the folder of the run, or a data URI."""
    if as_link:
        return quote(f"{path.parent.name}/{path.name}")
    return f"data:image/webp;base64,{b64encode(path.read_bytes()).decode()}"


def _tabs_of_older(run: ScoredRun, as_links: bool) -> tuple[Tab, ...]:
    """Return the pictures of a run without a gallery: at most one of each outcome."""
    focus, tabs = run.metrics.focus, []
    for outcome, ends in OF_OLDER.items():
        paths = [run.path / "gradcam" / f"{focus}_{end}.png" for end in ends]
        path = next((path for path in paths if path.is_file()), None)
        picture = None
        if path is not None:
            picture = _source(path, as_link=True) if as_links else _picture(path)
        images = () if picture is None else (ShownImage("", "image and Grad-CAM", picture),)
        tabs.append(Tab(outcome, TITLES[outcome].format(focus), None, images))
    return tuple(tabs) if any(tab.images for tab in tabs) else ()


def _picture(path: Path) -> str | None:
    """Return a small picture as a data URI; None if the file cannot be read."""
    text = io.BytesIO()
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((WIDTH, WIDTH))
            small.save(text, format="WEBP", quality=72)
    except Exception as error:  # Pillow raises a different type for each kind of damage
        log.warning("%s: not shown in the report (%s)", path, error)
        return None
    return f"data:image/webp;base64,{b64encode(text.getvalue()).decode()}"
