"""Compute the row of each setting: its metrics over the seeds, and those of the seed ensemble."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from btxrd.artifacts.evidence.comparison import PairedComparison, SettingEstimate, SettingRow
from btxrd.artifacts.evidence.verdicts import JudgedDifference, Skill
from btxrd.artifacts.scores.estimates import Estimates
from btxrd.evaluation.bootstrap import estimate, units_of
from btxrd.evaluation.calibration import calibration_slope
from btxrd.evaluation.metrics import Cases, Floats, denominators, headline_metrics
from btxrd.report.columns import columns_of
from btxrd.report.compare import letters_of
from btxrd.report.comparison_sets import COMPARED, ComparisonSet
from btxrd.report.runs import Run
from btxrd.report.settings import Setting, merged
from btxrd.report.winners import constant_runs


def setting_rows(
    sets: Sequence[ComparisonSet],
    comparisons: Sequence[PairedComparison],
    skills: Mapping[Setting, Skill],
    differences: Mapping[Setting, JudgedDifference],
    runs: Sequence[Run],
) -> list[SettingRow]:
    """Return a row for each setting.

    Args:
        sets: Settings by their test cases. If a split has several sets, letters have a number.
        comparisons: Paired tests of the settings.
        skills: Whether each setting is better than chance.
        differences: Difference of each setting from the selected one of its split.
        runs: All runs, those that are not scored included.
    """
    planned = Counter(_without_seed(run.name) for run in runs)
    titles = [compared.settings[0].split for compared in sets]
    several = len(set(titles)) < len(titles)
    rows = []
    for number, compared in enumerate(sets, 1):
        ending = str(number) if several else ""
        letters = {metric: letters_of(compared, comparisons, metric, ending) for metric in COMPARED}
        for position, setting in enumerate(compared.settings):
            estimates = {
                metric: compared.estimate(metric, position, letters[metric][position])
                for metric in COMPARED
            }
            row = _row(
                setting, estimates, compared.weights, _planned(setting, planned), skills[setting]
            )
            rows.append(replace(row, difference=differences.get(setting)))
    return rows


def _without_seed(name: str) -> str:
    return ",".join(part for part in name.split(",") if not part.startswith("seed="))


def _planned(setting: Setting, planned: Mapping[str, int]) -> int:
    """Return the number of runs whose names differ from those of the setting in the seed alone."""
    found = sum(planned[name] for name in {_without_seed(run.name) for run in setting.runs})
    return max(found, len(setting.runs))


def _row(
    setting: Setting,
    compared: dict[str, SettingEstimate],
    weights: Floats,
    planned: int,
    skill: Skill,
) -> SettingRow:
    first, metrics = setting.runs[0].row, merged([run.metrics for run in setting.runs])
    values = metrics.test.values
    keys = [column.key for column in columns_of([setting.names]) if column.key not in COMPARED]
    return SettingRow(
        split=setting.split,
        experiment=first.experiment,
        model=str(first.model),
        annotations=str(first.annotations),
        setting=setting.name,
        strategy=setting.strategy,
        seeds=setting.seeds,
        runs=tuple(run.name for run in setting.runs),
        n_test=metrics.test.n,
        classes=metrics.classes,
        focus=metrics.focus,
        background=metrics.background,
        val_macro_auc=None if setting.val is None else setting.val.macro_auc,
        compared=compared,
        values={key: values[key] for key in keys if key in values},
        per_class=metrics.test.per_class,
        per_center=metrics.test.per_center,
        confusion=metrics.test.confusion,
        clinical=metrics.clinical,
        gradcam=metrics.gradcam,
        lesion_maps=metrics.lesion_maps,
        shortcuts=metrics.shortcuts,
        ensemble=_ensemble(setting, weights),
        key=sha256(setting.without_split.encode()).hexdigest()[:12],
        split_hash=setting.split_hash,
        planned=planned,
        skill=skill,
        constant=constant_runs(setting),
        calibration_slope=calibration_slope(
            setting.test.labels, [run.calibrated for run in setting.runs], setting.test.groups
        ),
        n_val=None if metrics.clinical is None else metrics.val.n,
    )


def _ensemble(setting: Setting, weights: Floats) -> Estimates | None:
    """Return the test metrics of the seeds' mean probabilities; None for one seed."""
    if len(setting.runs) == 1:
        return None
    cases = Cases(setting.test.labels, np.mean(setting.probs, axis=0), setting.names)
    among = denominators(cases)
    return {
        (key := metric.key(setting.names)): estimate(
            metric.compute(cases, weights), units_of(setting.test.groups, among.get(key, ()))
        )
        for metric in headline_metrics(setting.names)
        if metric.compute is not None
    }
