"""The HTML report of a summary: one file that needs nothing beside it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from btxrd.artifacts.comparison import PairedComparison, SettingRow
from btxrd.artifacts.summary import Summary
from btxrd.config.identity import flat
from btxrd.html.gallery import gallery
from btxrd.pages import render
from btxrd.report.columns import Column, columns_of
from btxrd.report.comparison_sets import COMPARED, ComparisonSet
from btxrd.report.conclusions import conclusions
from btxrd.report.runs import Run, ScoredRun, short_names
from btxrd.runtime.files import write_text

REPORT = "report.html"
MOST_PAIRS = 40  # in the report; summary.json has all


def write_report(
    folder: Path,
    summary: Summary,
    runs: Sequence[Run],
    sets: Sequence[ComparisonSet],
    *,
    images: bool,
) -> None:
    """Write report.html, which links to the folders of the runs.

    Args:
        folder: Folder to write into.
        summary: Content of the summary.
        runs: All runs.
        sets: The settings, by their test cases.
        images: Whether the report shows radiographs.
    """
    names = [run.name for run in runs]
    common, short = short_names(names)
    columns = sorted(
        columns_of(row.class_names for row in summary.settings),
        key=lambda column: COMPARED.index(column.key) if column.key in COMPARED else len(COMPARED),
    )
    page = render(
        "report.html.j2",
        title="/".join(folder.resolve().parts[-2:]),
        summary=summary,
        columns=columns,
        compared=[column for column in columns if column.key in COMPARED],
        empty=_empty_cells(summary.settings, columns),
        chance=_chance_levels(summary.settings),
        conclusions=conclusions(summary),
        classes=_in_words([row.classes for row in summary.settings]),
        curves=_curves(sets),
        pairs=_first_pairs(summary),
        gallery=gallery(summary.winners, runs) if images else None,
        links={run.name: os.path.relpath(run.path, folder) for run in runs},
        short=dict(zip(names, short, strict=True)),
        common=common,
        incomplete=[row for row in summary.runs if row.state != "complete" or row.error],
        states=Counter(row.state for row in summary.runs),
        configs=_configs(runs),
        environment=_environment(runs),
        several_seeds=any(len(row.runs) > 1 for row in summary.settings),
        seconds=sum(row.seconds or 0 for row in summary.runs),
    )
    write_text(folder / REPORT, page)


def _curves(sets: Sequence[ComparisonSet]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Draw the charts of each set of settings, with the title of its split."""
    if not sets:
        return []
    from btxrd.html.charts import charts  # takes a second to load matplotlib and scikit-learn

    return [(found.settings[0].split, charts(found.settings)) for found in sets]


def _in_words(classes: Sequence[tuple[str, ...]]) -> str:
    """List the class names; those of runs with other classes after a semicolon."""
    return "; ".join(f"{', '.join(names[:-1])} and {names[-1]}" for names in dict.fromkeys(classes))


def _empty_cells(rows: Sequence[SettingRow], columns: Sequence[Column]) -> list[str]:
    """Say why cells of the table of settings are empty: one line per metric and reason."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for column in columns:
            one = row.metric(column.key)
            if one is None and not column.is_about(row.class_names):
                reason = f"{column.heading}: not a metric of these classes"
            elif one is None:
                reason = f"{column.heading}: not in metrics.json; run python -m btxrd.score"
            elif one.value is None:
                reason = f"{column.heading}: {column.metric.reason(row.class_names)}"
            else:
                continue
            found.setdefault(reason, []).append(f"{row.setting}, {row.split}")
    return [f"{reason} ({'; '.join(names)})" for reason, names in found.items()]


def _chance_levels(rows: Sequence[SettingRow]) -> dict[str, dict[str, float | None]]:
    """Return the value without any skill, by the first run of a setting and by metric.

    That of accuracy is the share of the most frequent class.
    """
    found = {}
    for row in rows:
        levels = {
            column.key: column.metric.chance(row.class_names)
            for column in columns_of([row.class_names])
        }
        counts = [sum(members) for members in row.confusion]
        found[row.runs[0]] = levels | {"accuracy": max(counts) / max(sum(counts), 1)}
    return found


def _first_pairs(summary: Summary) -> list[PairedComparison]:
    """Return the pairs to show: those of a winner first, then significant differences."""
    winners = {winner.run for winner in summary.winners}
    first = {row.runs[0] for row in summary.settings if winners & set(row.runs)}

    def rank(pair: PairedComparison) -> tuple[bool, bool]:
        return not first & set(pair.runs), not pair.differences["macro_auc"].significant

    return sorted(summary.comparisons, key=rank)[:MOST_PAIRS]


@dataclass(frozen=True)
class Configs:
    """The configs of all scored runs.

    Attributes:
        keys: Of the settings that differ between runs.
        rows: Values of these keys, by run.
        same: Values of the other settings, by key.
    """

    keys: list[str]
    rows: dict[str, list[str]]
    same: dict[str, str]


def _configs(runs: Sequence[Run]) -> Configs:
    found = {
        run.name: {key: str(value) for key, value in flat(run.config.config).items()}
        for run in runs
        if isinstance(run, ScoredRun)
    }
    keys = list(dict.fromkeys(key for config in found.values() for key in config))
    values = {key: [config.get(key, "") for config in found.values()] for key in keys}
    differ = [key for key in keys if len(set(values[key])) > 1]
    return Configs(
        differ,
        {name: [config.get(key, "") for key in differ] for name, config in found.items()},
        {key: values[key][0] for key in keys if key not in differ},
    )


def _environment(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the distinct devices, hosts, numbers of threads and versions of all runs."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        if run.status is None:
            continue
        worker = run.status.worker
        known: dict[str, object] = {
            "device": run.status.device,
            "host": worker and worker.host,
            "threads": worker and worker.threads,
            **(run.status.versions or {}),
        }
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return {name: list(values) for name, values in found.items()}
