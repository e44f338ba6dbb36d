"""Test images of the selected settings: missed, false alarms and found, for the focus class."""

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
WIDTH = 560  # pixels of a picture of an older run
SHOWN = 6  # images of a tab that are seen at once
LARGEST = 1_500_000  # bytes of all pictures of a page
TITLES = {"missed": "Missed {}", "false_alarm": "False alarms", "found": "Found"}
OF_OLDER = {  # what the names of pictures end with, the present one first
    "missed": ("false_negative", "miss"),
    "false_alarm": ("false_positive", "false_alarm"),
    "found": ("true_positive", "hit"),
}


@dataclass(frozen=True)
class Film:
    """An image of the gallery.

    Attributes:
        name: Id of the image; empty if it is not known.
        about: Its center, its classes and the probabilities.
        picture: Data URI.
        overlay: Data URI of the map; empty if it is in the picture.
        outline: Path of the outlines in a square of 1000 units; empty without.
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
        key: `missed`, `false_alarm` or `found`.
        title: Its heading.
        count: Number of test images with this outcome; None if it is not known.
        films: Those that are shown.
        rest: Those that are shown on demand.
    """

    key: str
    title: str
    count: int | None
    films: tuple[Film, ...]
    rest: tuple[Film, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The images of one run.

    Attributes:
        key: Identifies it on the page.
        split: Title of its split.
        setting: Name of its setting.
        run: Name of the run.
        seed: Of the run.
        tabs: By outcome; empty if the run has no pictures.
    """

    key: str
    split: str
    setting: str
    run: str
    seed: int
    tabs: tuple[Tab, ...]

    @property
    def has_maps(self) -> bool:
        """Whether maps and outlines can be hidden."""
        return any(film.overlay for tab in self.tabs for film in tab.films)


@dataclass(frozen=True)
class Shown:
    """A run whose images are shown: its setting, and the title of its split."""

    run: str
    setting: str
    split: str


def galleries(shown: Sequence[Shown], runs: Sequence[Run]) -> list[Gallery]:
    """Return the galleries of runs; their pictures are left out from `LARGEST` bytes on."""
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
        shown: How its setting and split are named.
        key: Identifies the gallery on the page.
        budget: Number of bytes of the pictures, beyond which they are left out.
        as_links: Whether the page is in the folder of the run, and only names the pictures.
    """
    try:
        tabs = _tabs(run, budget, as_links)
    except (InputError, OSError) as error:
        log.warning("%s: its gallery is not shown (%s)", run.path, error)
        tabs = ()
    return Gallery(key, shown.split, shown.setting, run.name, run.config.config.seed, tabs)


def _tabs(run: ScoredRun, budget: int, as_links: bool) -> tuple[Tab, ...]:
    stored, folder = read_gallery(run.path), run.path / GALLERY
    focus = run.metrics.focus
    if stored is None:
        return _tabs_of_older(run, as_links)
    left, tabs = budget, []
    for outcome in OUTCOMES:
        films = []
        for image in (one for one in stored.images if one.outcome == outcome):
            film = _film(folder, image, stored.classes, as_links)
            left -= len(film.picture) + len(film.overlay)
            if left > 0:
                films.append(film)
        tabs.append(
            Tab(
                outcome,
                TITLES[outcome].format(focus),
                stored.counts.get(outcome),
                tuple(films[:SHOWN]),
                tuple(films[SHOWN:]),
            )
        )
    return tuple(tabs)


def _film(folder: Path, image: GalleryImage, classes: Sequence[str], as_links: bool) -> Film:
    probs = dict(zip(classes, image.probs, strict=True))
    shown = dict.fromkeys((image.predicted, image.label))
    chances = " · ".join(f"{name} {probs[name]:.2f}" for name in shown)
    return Film(
        image.image_id,
        f"center {image.center} · true {image.label}, predicted {image.predicted} · {chances}",
        _source(folder / Path(image.film).name, as_links),
        _source(folder / Path(image.map).name, as_links),
        path_of(image.outlines),
    )


def path_of(outlines: Sequence[Outline]) -> str:
    """Return the path of outlines in a square of 1000 units."""
    closed = [
        " ".join(f"{round(1000 * x)} {round(1000 * y)}" for x, y in one) for one in outlines if one
    ]
    return "".join(f"M{points}z" for points in closed)


def _source(path: Path, as_link: bool) -> str:
    """Return where a page finds a picture: its path from the folder of the run, or its content."""
    if as_link:
        return quote(f"{path.parent.name}/{path.name}")
    return f"data:image/webp;base64,{b64encode(path.read_bytes()).decode()}"


def _tabs_of_older(run: ScoredRun, as_links: bool) -> tuple[Tab, ...]:
    """Return the pictures of a run that wrote no gallery: at most one of each outcome.

    A picture under another heading, too, is shown once.
    """
    focus, tabs = run.metrics.focus, []
    for outcome, ends in OF_OLDER.items():
        paths = [run.path / "gradcam" / f"{focus}_{end}.png" for end in ends]
        path = next((path for path in paths if path.is_file()), None)
        picture = None
        if path is not None:
            picture = _source(path, as_link=True) if as_links else _picture(path)
        films = () if picture is None else (Film("", "Grad-CAM beside it", picture),)
        tabs.append(Tab(outcome, TITLES[outcome].format(focus), None, films))
    return tuple(tabs) if any(tab.films for tab in tabs) else ()


def _picture(path: Path) -> str | None:
    """Return a small picture as a data URI; None if the file cannot be read."""
    text = io.BytesIO()
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((WIDTH, WIDTH))
            small.save(text, format="WEBP", quality=72)
    except Exception as error:  # each kind of damage raises a type of its own
        log.warning("%s: is not shown in the report (%s)", path, error)
        return None
    return f"data:image/webp;base64,{b64encode(text.getvalue()).decode()}"
