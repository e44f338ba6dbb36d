"""Grad-CAM pictures of the winners, for the HTML report."""

import io
import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from btxrd.artifacts.summary import Winner
from btxrd.report.runs import Run, ScoredRun

log = logging.getLogger(__name__)
WIDTH = 560  # pixels of a picture
OUTCOMES = {  # the names that a file may end with, the present one first, and the title
    ("true_positive", "hit"): "true positives",
    ("false_negative", "miss"): "false negatives",
    ("false_positive", "false_alarm"): "false positives",
}


@dataclass(frozen=True)
class Outcome:
    """Pictures of one outcome: class names, and pictures as data URIs."""

    title: str
    pictures: list[tuple[str, str]]


@dataclass(frozen=True)
class Gallery:
    """Pictures of a winner."""

    split: str
    run: str
    outcomes: list[Outcome]


def gallery(winners: Sequence[Winner], runs: Sequence[Run]) -> list[Gallery]:
    """Return the Grad-CAM pictures of each winner, by outcome."""
    scored = {run.name: run for run in runs if isinstance(run, ScoredRun)}
    return [
        Gallery(
            winner.split,
            winner.run,
            [
                Outcome(title, _pictures(scored[winner.run], ends))
                for ends, title in OUTCOMES.items()
            ],
        )
        for winner in winners
    ]


def _pictures(run: ScoredRun, ends: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for name in run.metrics.classes:
        paths = [run.path / "gradcam" / f"{name}_{end}.png" for end in ends]
        path = next((path for path in paths if path.is_file()), None)
        picture = None if path is None else _picture(path)
        if picture is not None:
            found.append((name, picture))
    return found


def _picture(path: Path) -> str | None:
    """Return a small picture as a data URI; None if the file cannot be read."""
    text = io.BytesIO()
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((WIDTH, WIDTH))
            small.save(text, format="JPEG", quality=72)
    except Exception as error:  # each kind of damage raises a type of its own
        log.warning("%s: is not shown in the report (%s)", path, error)
        return None
    return f"data:image/jpeg;base64,{b64encode(text.getvalue()).decode()}"
