"""The summary -> one HTML page that needs nothing beside it."""

import io
import os
from base64 import b64encode
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from btxrd.data.constants import CLASSES
from btxrd.execution.fingerprint import flat
from btxrd.pages import render
from btxrd.report.charts import charts
from btxrd.report.compare import Bench
from btxrd.report.conclusions import answers
from btxrd.report.runs import Run, short_names
from btxrd.runtime.files import write_text

WIDTH = 560  # pixels of a picture of Grad-CAM in the page
OUTCOMES = {"hit": "hits", "miss": "misses", "false_alarm": "false alarms"}
LONGEST = 40  # pairs of settings that are drawn; summary.json has all
PASSED = (
    "winners",
    "selection_rule",
    "settings",
    "generalisation_gap",
    "runs",
    "commands",
    "rebuild",
)


def write_report(
    folder: Path,
    summary: dict[str, Any],
    runs: list[Run],
    benches: list[Bench],
    *,
    images: bool,
) -> None:
    """Write report.html; it links to the folders of runs, and holds all that it shows.

    Args:
        folder: to write into.
        summary: the content of summary.json.
        runs: all of them.
        benches: of the settings that are evaluated.
        images: whether it shows films.
    """
    parts = folder.resolve().parts[-2:]
    names = [run.name for run in runs]
    common, short = short_names(names)
    page = render(
        "report.html.j2",
        title="/".join(parts),
        answers=[
            (split, [asdict(answer) for answer in found]) for split, found in answers(summary)
        ],
        classes=CLASSES,
        curves=[(bench.settings[0].split, charts(bench.settings)) for bench in benches],
        pairs=_pairs(summary),
        gallery=_gallery(summary, runs) if images else None,
        links={run.name: os.path.relpath(run.path, folder) for run in runs},
        short=dict(zip(names, short, strict=True)),
        common=common,
        failures=[row for row in summary["runs"] if row["state"] != "complete" or row["error"]],
        states=Counter(row["state"] for row in summary["runs"]),
        settings_differ=_differences(runs),
        equipment=_equipment(runs),
        several_seeds=any(len(row["runs"]) > 1 for row in summary["settings"]),
        seconds=sum(row["seconds"] or 0 for row in summary["runs"]),
        **{name: summary[name] for name in PASSED},
    )
    write_text(folder / "report.html", page)


def _pairs(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The pairs to draw: those of a winner first, then those that are apart."""
    winners = {winner["run"] for winner in summary["winners"]}
    first = {row["runs"][0] for row in summary["settings"] if winners & set(row["runs"])}

    def rank(pair: dict[str, Any]) -> tuple[bool, bool]:
        return not first & set(pair["runs"]), not pair["macro_auc"]["apart"]

    return sorted(summary["comparisons"], key=rank)[:LONGEST]


def _gallery(summary: dict[str, Any], runs: list[Run]) -> list[dict[str, Any]]:
    """Pictures of Grad-CAM of each winner, by outcome."""
    path = {run.name: run.path for run in runs}
    shown = []
    for winner in summary["winners"]:
        folder = path[winner["run"]] / "gradcam"
        by_outcome = [
            (title, [(name, _picture(file)) for name in CLASSES
                     if (file := folder / f"{name}_{outcome}.png").is_file()])
            for outcome, title in OUTCOMES.items()
        ]  # fmt: skip
        shown.append({"split": winner["split"], "run": winner["run"], "outcomes": by_outcome})
    return shown


def _picture(path: Path) -> str:
    """A picture as a small data URI."""
    text = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDTH, WIDTH))
        small.save(text, format="JPEG", quality=72)
    return f"data:image/jpeg;base64,{b64encode(text.getvalue()).decode()}"


def _differences(runs: list[Run]) -> dict[str, Any]:
    """Keys of config.yaml that differ between runs, with their values, and those that do not."""
    found = {run.name: flat(run.config | {"choices": {}}) for run in runs if run.config}
    keys = list(dict.fromkeys(key for config in found.values() for key in config))
    values = {key: [str(config.get(key, "")) for config in found.values()] for key in keys}
    differ = [key for key in keys if len(set(values[key])) > 1]
    return {
        "keys": differ,
        "rows": {name: [config.get(key, "") for key in differ] for name, config in found.items()},
        "same": {key: values[key][0] for key in keys if key not in differ},
    }


def _equipment(runs: list[Run]) -> dict[str, list[str]]:
    """Versions and machines of all runs: the distinct values of each."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        status = run.status
        worker = status.get("worker") or {}
        known = {"device": status.get("device"), "host": worker.get("host")}
        known |= {"threads": worker.get("threads"), **(status.get("versions") or {})}
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return {name: list(values) for name, values in found.items()}
