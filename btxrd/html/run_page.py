"""run.html: the page of one run, in the folder of the run, with links to its pictures."""

import contextlib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from btxrd.artifacts.checked import read_history
from btxrd.artifacts.config import CONFIG, StoredConfig, read_config
from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.hashes import RUN_PAGE
from btxrd.artifacts.scores.clinical import OperatingPoint
from btxrd.config.commandline import override
from btxrd.config.identity import identity
from btxrd.errors import InputError
from btxrd.evaluation.card import warnings_about
from btxrd.evaluation.metrics import METRICS
from btxrd.evaluation.selection import is_at_bound
from btxrd.html.charts.run import class_curves, learning_curves
from btxrd.html.evidence import UNIT, VARIANTS, parts_of
from btxrd.html.gallery import Gallery, Shown, gallery_of
from btxrd.html.head import Note, Page, without_mark
from btxrd.html.run_map import LOG, resume_command
from btxrd.html.splits import kind_of
from btxrd.pages import render
from btxrd.report.columns import columns_of
from btxrd.report.runs import Run, ScoredRun
from btxrd.report.summary import synthetic_data
from btxrd.runtime.files import is_there, write_text

LINES = 30  # of the log of a run that is not complete
SECTIONS = {
    "result": "Result",
    "learning": "Learning",
    "errors": "Errors",
    "focus": "Curves",
    "attention": "Localisation",
    "repeat": "Repeat",
}


@dataclass(frozen=True)
class Origin:
    """The sweep that a run belongs to.

    Attributes:
        page: Path from the folder of the run to the report; empty for a run without a report.
        row: Row of the setting that the run belongs to; None if the run is not scored.
        images: Whether pages may show radiographs.
    """

    page: str = ""
    row: SettingRow | None = None
    images: bool = True


def write_run_page(run: Run, origin: Origin) -> None:
    """Write run.html of a run in any state; a file with the same content is not written again.

    Args:
        run: The run.
        origin: The sweep that it belongs to.

    Raises:
        InputError: If a file of the run is damaged.
        OSError: If a file cannot be read or written.
    """
    stored = _config(run)
    history = _history(run)
    content: dict[str, object] = {
        "page": _page(run, history),
        "run": run,
        "facts": _facts(run, history),
        "origin": origin,
        "learning": () if history is None else learning_curves(history),
        "repeat": "" if stored is None else repeat_command(stored),
        "files": sorted(
            path.name
            for path in run.path.iterdir()
            if path.name[0] != "." and path.name != RUN_PAGE
        ),
        "scored": isinstance(run, ScoredRun),
        "parts_of": parts_of,
        "unit": UNIT,
        "variants": VARIANTS,
    }
    content |= _of_scored(run, origin) if isinstance(run, ScoredRun) else _of_other(run)
    page, path = render("run.html.j2", **content), run.path / RUN_PAGE
    if not path.is_file() or path.read_text("utf-8", "replace") != page:
        write_text(path, page)


def _of_scored(run: ScoredRun, origin: Origin) -> dict[str, object]:
    metrics, config = run.metrics, run.config.config
    names = metrics.class_names
    point = metrics.clinical.operating_point if metrics.clinical else None
    has_images = origin.images and config.report.images
    shown = Shown(run.name, "", config.split.title)
    return {
        "metrics": metrics,
        "columns": columns_of([names]),
        "centers": [column for column in columns_of([names]) if column.metric.per_center],
        "headings": {metric.name: metric.title for metric in METRICS},
        "spread": _spread(origin.row),
        "kind": kind_of(config.split.strategy),
        "curves": class_curves(run),
        "point": point,
        "at_bound": metrics.clinical is not None and is_at_bound(metrics.clinical.temperature),
        "at_point": None if point is None else _at(run, point),
        "gallery": _linked(gallery_of(run, shown, as_links=True)) if has_images else None,
    }


def _of_other(run: Run) -> dict[str, object]:
    error = None if run.status is None else run.status.error
    return {
        "cause": run.row.error or run.row.state,
        "traceback": "" if error is None else error.traceback,
        "log": _last_lines(run.path / LOG),
        "resume": resume_command(run),
    }


def _page(run: Run, history: pd.DataFrame | None) -> Page:
    synthetic = synthetic_data([run])
    absent = {"learning"} if history is None or history.empty else set()
    if not isinstance(run, ScoredRun):
        absent |= {"errors", "focus", "attention"}
    banners = [Note("synthetic", "Synthetic data.", without_mark(synthetic))] if synthetic else []
    if isinstance(run, ScoredRun):
        parts = (warning.split(": ", 1) for warning in warnings_about(run.metrics))
        banners += [Note("bad", f"{title}:", text) for title, text in parts]
    return Page(
        title=run.name,
        synthetic=synthetic is not None,
        banners=tuple(banners),
        about="",
        runs="1 run",
        states=((run.row.state, 1),),
        incomplete=False,
        sections=tuple((key, name) for key, name in SECTIONS.items() if key not in absent),
        exports=False,
        selection="",
        conclusions=dict.fromkeys(SECTIONS, ""),
        notes=(),
        footer="Metrics are of the test partition, unless stated otherwise. They are in "
        "metrics.json beside this page."
        if isinstance(run, ScoredRun)
        else "",
    )


def _facts(run: Run, history: pd.DataFrame | None) -> dict[str, str]:
    """Return the facts that identify the run, by their heading."""
    row, status = run.row, run.status
    found: dict[str, object] = {
        "Model": row.model,
        "Annotations": row.annotations,
        "Split": row.split,
        "Seed": row.seed,
        "State": row.state,
        "Epochs": None if row.epochs is None else f"{row.epochs} of at most {row.of_epochs}",
        "Best epoch": None if history is None or history.empty else best_epoch(history),
        "Fingerprint": status and status.fingerprint,
        "Split hash": row.split_hash,
        "Device": status and status.device,
        "Host": status and status.worker and status.worker.host,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def best_epoch(history: pd.DataFrame) -> int:
    """Return the number of the epoch with the lowest validation loss."""
    return int(history["epoch"].iloc[int(history["val_loss"].to_numpy().argmin())])


def _spread(row: SettingRow | None) -> str:
    """Return a sentence on the spread between the seeds of the setting; empty for one seed."""
    found = row.compared.get("macro_auc") if row else None
    if row is None or found is None or found.value is None or found.sd is None:
        return ""
    return (
        f"The {len(row.runs)} seeds of this setting have a mean macro AUC of {found.value:.3f} "
        f"with a standard deviation of {found.sd:.3f}."
    )


def _at(run: ScoredRun, point: OperatingPoint) -> list[list[int]]:
    """Count test cases at the operating point, (2, 2): true by predicted class, focus first."""
    focus = run.metrics.class_names.focus_label
    true, found = run.test.labels == focus, run.probs[:, focus] >= point.threshold
    return [
        [int((true & found).sum()), int((true & ~found).sum())],
        [int((~true & found).sum()), int((~true & ~found).sum())],
    ]


def _linked(gallery: Gallery) -> Gallery:
    """Return a gallery without images on demand, since the page only links to its images."""
    tabs = [replace(tab, images=(*tab.images, *tab.rest), rest=()) for tab in gallery.tabs]
    return replace(gallery, tabs=tuple(tabs))


def _config(run: Run) -> StoredConfig | None:
    with contextlib.suppress(InputError, OSError):
        return read_config(run.path) if is_there(run.path / CONFIG) else None
    return None


def _history(run: Run) -> pd.DataFrame | None:
    if isinstance(run, ScoredRun):
        return run.history
    with contextlib.suppress(InputError, OSError):
        return read_history(run.path)
    return None


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LINES:])


def repeat_command(stored: StoredConfig) -> str:
    """Return a command that starts a run with the same config."""
    groups = [
        f"{key}={option}"
        for key, option in stored.choices.items()
        if option is not None and not key.startswith("hydra/") and key != "search"
    ]
    values = [
        _override(key, value)
        for key, value in {**identity(stored.config), "data.root": stored.config.data.root}.items()
        if key != "model._target_"
    ]
    return shlex.join(["btxrd", "run", *groups, *values])


def _override(key: str, value: object) -> str:
    if isinstance(value, str):
        return override(key, value)
    if isinstance(value, list):
        return f"{key}=[{','.join(map(str, value))}]"
    return f"{key}={'null' if value is None else str(value).lower()}"
