"""The settings as rows: their metrics over the seeds, and of the ensemble of the seeds."""

from collections.abc import Sequence

import numpy as np

from btxrd.artifacts.comparison import PairedComparison, SettingEstimate, SettingRow
from btxrd.artifacts.metrics import Estimates
from btxrd.evaluation.bootstrap import partition_metrics
from btxrd.report.columns import columns_of
from btxrd.report.comparison_sets import COMPARED, ComparisonSet
from btxrd.report.letters import letters_of
from btxrd.report.settings import Setting, merged


def setting_rows(
    sets: Sequence[ComparisonSet], comparisons: Sequence[PairedComparison]
) -> list[SettingRow]:
    """Describe each setting; letters have a number if one split has several test sets."""
    titles = [compared.settings[0].split for compared in sets]
    several = len(set(titles)) < len(titles)
    return [
        row
        for number, compared in enumerate(sets, 1)
        for row in _rows_of(compared, comparisons, str(number) if several else "")
    ]


def _rows_of(
    compared: ComparisonSet, comparisons: Sequence[PairedComparison], number: str
) -> list[SettingRow]:
    letters = {metric: letters_of(compared, comparisons, metric, number) for metric in COMPARED}
    rows = []
    for position, setting in enumerate(compared.settings):
        estimates = {
            metric: compared.estimate(metric, position, letters[metric][position])
            for metric in COMPARED
        }
        rows.append(_row(setting, estimates))
    return rows


def _row(setting: Setting, compared: dict[str, SettingEstimate]) -> SettingRow:
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
        ensemble=_ensemble(setting),
    )


def _ensemble(setting: Setting) -> Estimates | None:
    """Return the test metrics of the seeds' mean probabilities; None for one seed."""
    if len(setting.runs) == 1:
        return None
    test, probs = setting.test, np.mean(setting.probs, axis=0)
    found = partition_metrics(test.labels, probs, test.groups, test.centers, setting.names)
    keys = [column.key for column in columns_of([setting.names])]
    return {key: found.values[key] for key in keys}
