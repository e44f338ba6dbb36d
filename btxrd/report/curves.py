"""Compute the curves of summary.json: ROC, precision-recall, calibration and decision curves."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np

from btxrd.artifacts.evidence.curves import CalibrationCurve, ClassCurves, Curve, CurveSet, Points
from btxrd.artifacts.summary import Winner
from btxrd.evaluation.bootstrap import COVERAGE, Groups, estimate, units_of
from btxrd.evaluation.formulas import Flags, Floats, ratio
from btxrd.report.comparison_sets import ComparisonSet
from btxrd.report.generalisation import UNSEEN
from btxrd.report.settings import Setting

GRID = np.linspace(0, 1, 51)
THRESHOLDS = np.linspace(0.02, 0.6, 30)
BINS, FEWEST = 10, 10  # bins of a calibration curve; smallest number of cases in a bin
IN_COLOUR, MOST_IN_COLOUR = 3, 4  # settings in colour; the second if as many are selected
RESAMPLES = 300  # for the band of a curve
Draw = Callable[[Flags, Floats, Floats], Floats]  # (truth, score, weights (r, n)) to (r, points)


def curves_of(sets: Sequence[ComparisonSet], winners: Sequence[Winner]) -> list[CurveSet]:
    """Compute the curves of each comparison set.

    Args:
        sets: Settings by their test cases, ordered by macro AUC on val.
        winners: Selected settings, which are shown in colour.
    """
    in_colour = _in_colour(sets, winners)
    return [_curve_set(compared, in_colour) for compared in sets]


def _in_colour(sets: Sequence[ComparisonSet], winners: Sequence[Winner]) -> list[str]:
    """Return the names of the settings in colour: the selected ones, then the best ones on val."""
    selected = dict.fromkeys(winner.setting for winner in winners)
    best = dict.fromkeys(
        setting.name
        for ranked in zip_longest(*(compared.settings for compared in sets))
        for setting in ranked
        if setting is not None
    )
    count = min(max(IN_COLOUR, len(selected)), MOST_IN_COLOUR)
    return list(selected | best)[:count]


def _curve_set(compared: ComparisonSet, in_colour: Sequence[str]) -> CurveSet:
    settings, names, first = compared.settings, compared.names, compared.settings[0]
    labels = first.test.labels
    by_name = {setting.name: setting for setting in settings}
    highlighted = [by_name[name] for name in in_colour if name in by_name]
    weights = compared.weights[: 1 + RESAMPLES]
    truth = labels == names.focus_label
    scaled = {
        id(one): [run.calibrated[:, names.focus_label] for run in one.runs] for one in settings
    }
    return CurveSet(
        split=first.split,
        split_hash=first.split_hash,
        is_unseen=first.strategy in UNSEEN,
        n=len(labels),
        focus=names.focus,
        highlighted=tuple(setting.name for setting in highlighted),
        grid=_rounded(GRID),
        per_class={
            name: _of_class(compared, label, highlighted if name == names.focus else [], weights)
            for label, name in enumerate(names.names)
        },
        calibration=tuple(
            curve
            for one in highlighted
            for curve in _calibration(one, scaled[id(one)], names.focus_label, weights)
        ),
        thresholds=_rounded(THRESHOLDS),
        net_benefit=tuple(
            _curve(one, scaled[id(one)], truth, net_benefit, _weights(one, highlighted, weights))
            for one in settings
        ),
        refer_all=_rounded(truth.mean() - (1 - truth.mean()) * _odds()),
    )


def _of_class(
    compared: ComparisonSet, label: int, highlighted: Sequence[Setting], weights: Floats
) -> ClassCurves:
    truth = compared.settings[0].test.labels == label
    if truth.all() or not truth.any():
        return ClassCurves(float(truth.mean()), (), ())

    def of_all(draw: Draw) -> tuple[Curve, ...]:
        return tuple(
            _curve(
                setting,
                [probs[:, label] for probs in setting.probs],
                truth,
                draw,
                _weights(setting, highlighted, weights),
            )
            for setting in compared.settings
        )

    return ClassCurves(round(float(truth.mean()), 4), of_all(sensitivity), of_all(precision))


def _weights(setting: Setting, highlighted: Sequence[Setting], weights: Floats) -> Floats:
    """Return the weights for a curve: for a setting without a band, those of the sample only."""
    return weights if setting in highlighted else weights[:1]


def _curve(
    setting: Setting, scores: Sequence[Floats], truth: Flags, draw: Draw, weights: Floats
) -> Curve:
    """Return the mean of a curve over the seeds, with a band if `weights` has resamples."""
    found = np.mean([draw(truth, score, weights) for score in scores], axis=0)
    low, high = _band(found)
    return Curve(setting.name, _rounded(found[0]), low, high)


def _band(found: Floats) -> tuple[Points | None, Points | None]:
    """Return the pointwise percentile interval, widened to include the curve; None without one."""
    if len(found) == 1:
        return None, None
    ends = np.nanquantile(found[1:], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    return _rounded(np.fmin(ends[0], found[0])), _rounded(np.fmax(ends[1], found[0]))


def sensitivity(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Compute the sensitivity at each 1 - specificity of `GRID`: (resamples, points)."""
    hits, alarms = _found(truth, score, weights)
    x, y = (ratio(part, part[:, -1:]) for part in (alarms, hits))
    return np.array([np.interp(GRID, *both) for both in zip(x, y, strict=True)])


def precision(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Compute the precision at each sensitivity of `GRID`: (resamples, points).

    The threshold is the highest one that reaches the sensitivity.
    """
    hits, alarms = _found(truth, score, weights)
    recall, right = ratio(hits, hits[:, -1:]), ratio(hits, hits + alarms)
    places = [np.searchsorted(row, GRID - 1e-12) for row in recall[:, 1:]]
    return np.array([row[1:][at] for row, at in zip(right, places, strict=True)])


def net_benefit(truth: Flags, score: Floats, weights: Floats) -> Floats:
    """Compute net benefit at each of `THRESHOLDS` (Vickers and Elkin 2006): (resamples, points)."""
    referred = score[:, None] >= THRESHOLDS
    total = weights.sum(axis=1, keepdims=True)
    hits = weights @ (referred & truth[:, None])
    return np.asarray((hits - (weights @ (referred & ~truth[:, None])) * _odds()) / total)


def _odds() -> Floats:
    return THRESHOLDS / (1 - THRESHOLDS)


def _found(truth: Flags, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weights of the positives and negatives at or above each distinct score.

    The scores descend. The first column is 0, for a threshold above all scores.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(0, np.flatnonzero(np.diff(score[order], append=-np.inf)) + 1)
    ranked, positive = weights[:, order], truth[order]
    return tuple(
        np.pad(np.cumsum(ranked * part, axis=1), ((0, 0), (1, 0)))[:, ends]
        for part in (positive, ~positive)
    )  # type: ignore[return-value]


def _calibration(
    setting: Setting, scaled: Sequence[Floats], label: int, weights: Floats
) -> list[CalibrationCurve]:
    truth, groups = setting.test.labels == label, setting.test.groups
    raw = _binned([probs[:, label] for probs in setting.probs], truth, weights, groups)
    if any(run.metrics.clinical is None for run in setting.runs):
        return [CalibrationCurve(setting.name, False, *raw)]
    return [
        CalibrationCurve(setting.name, False, *raw),
        CalibrationCurve(setting.name, True, *_binned(scaled, truth, weights, groups)),
    ]


def _binned(
    scores: Sequence[Floats], truth: Flags, weights: Floats, groups: Groups
) -> tuple[Points, ...]:
    """Return the values of a calibration curve: predicted, observed, low, high and count."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    places = [np.digitize(score, edges) for score in scores]
    counts = sum(np.bincount(place, minlength=BINS) for place in places) / len(scores)
    bins = _merged(np.asarray(counts))
    members = np.asarray(sum(np.eye(BINS)[place] for place in places)) @ bins
    sums = sum(np.bincount(place, score, BINS) for place, score in zip(places, scores, strict=True))
    observed = ratio(weights @ (members * truth[:, None]), weights @ members)
    ends = [
        estimate(observed[:, place], units_of(groups, [members[:, place] > 0]))
        for place in range(members.shape[1])
    ]
    low, high = (np.array([getattr(one, end) for one in ends], float) for end in ("low", "high"))
    predicted = np.asarray(sums) @ bins / members.sum(axis=0)
    counted = members.sum(axis=0) / len(scores)
    return tuple(map(_rounded, (predicted, observed[0], low, high, counted)))


def _merged(counts: Floats) -> Floats:
    """Return which bins are merged so that each has enough cases: (bins, merged bins) flags."""
    parts: list[list[int]] = [[]]
    for place in range(len(counts)):
        parts[-1].append(place)
        if counts[parts[-1]].sum() >= FEWEST:
            parts.append([])
    *whole, rest = parts
    if not whole:
        whole = [rest]
    else:
        whole[-1] += rest
    return np.array([[place in part for part in whole] for place in range(len(counts))], float)


def _rounded(values: Floats) -> Points:
    return tuple((values.round(4) + 0.0).tolist())  # adding 0.0 turns -0.0 into 0.0
