"""Compare subgroups of the test cases of a selected setting with the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from btxrd.artifacts.evidence.verdicts import Subgroup, SubgroupVerdict
from btxrd.artifacts.tables import GRADCAM, read_table
from btxrd.errors import InputError
from btxrd.evaluation.bootstrap import estimate, units_of
from btxrd.evaluation.formulas import Flags, Floats, macro_auc, mean
from btxrd.evaluation.paired_tests import holm, p_value
from btxrd.report.comparison_sets import FEWEST_GROUPS, FEWEST_IN_CLASS, ComparisonSet
from btxrd.report.settings import Setting

ALPHA = 0.05  # significance level of a Holm-adjusted p
SIZES = {  # bands of lesion size, as shares of the image
    "lesion under 1% of the image": (0.0, 0.01),
    "lesion 1% to 5% of the image": (0.01, 0.05),
    "lesion over 5% of the image": (0.05, np.inf),
}


@dataclass(frozen=True)
class _Part:
    """Test cases of a subgroup, and those that they are compared with.

    Attributes:
        family: Property that defines the subgroup, such as `center`.
        name: Name of the subgroup.
        metric: Metric that is compared.
        inside: (n,) whether each case is in the subgroup.
        rest: (n,) whether each case is in the rest.
    """

    family: str
    name: str
    metric: str
    inside: Flags
    rest: Flags


def subgroups(sets: Sequence[ComparisonSet], selected: Sequence[Setting]) -> list[Subgroup]:
    """Compare each subgroup of the test cases with the rest, for each selected setting."""
    return [
        subgroup
        for compared in sets
        for setting in compared.settings
        if setting in selected
        for subgroup in _of_setting(compared, setting)
    ]


def _of_setting(compared: ComparisonSet, setting: Setting) -> list[Subgroup]:
    found = [_compare(compared, setting, part) for part in _parts(setting)]
    adjusted = iter(holm([one.p_holm for one in found if one.p_holm is not None]))
    return [one if one.p_holm is None else _judged(one, next(adjusted)) for one in found]


def _judged(found: Subgroup, p_holm: float) -> Subgroup:
    verdict: SubgroupVerdict = "not_significant"
    if p_holm < ALPHA:
        verdict = "worse" if (found.difference.value or 0) < 0 else "better"
    return replace(found, p_holm=p_holm, verdict=verdict)


def _parts(setting: Setting) -> Iterator[_Part]:
    test = setting.test
    everyone = np.ones(len(test.labels), bool)
    classes = {name: test.labels == label for label, name in enumerate(setting.names.names)}
    centers = {f"center {center}": test.centers == center for center in np.unique(test.centers)}
    yield from _family("center", "macro_auc", centers, everyone)
    yield from _family("class", "accuracy", classes, everyone)
    shares = _lesion_shares(setting)
    sizes = {name: (shares >= low) & (shares < high) for name, (low, high) in SIZES.items()}
    yield from _family("lesion size", "accuracy", sizes, ~np.isnan(shares))


def _family(
    family: str, metric: str, members: Mapping[str, Flags], among: Flags
) -> Iterator[_Part]:
    """Yield each subgroup of a family with the rest of its cases; nothing for one subgroup."""
    present = {name: inside for name, inside in members.items() if inside.any()}
    if len(present) > 1:
        for name, inside in present.items():
            yield _Part(family, name, metric, inside, among & ~inside)


def _lesion_shares(setting: Setting) -> Floats:
    """Return (n,) the share of each test image that lesions cover; NaN without an outline."""
    found = np.full(len(setting.test.ids), np.nan)
    try:
        table = read_table(setting.runs[0].path, GRADCAM)
    except (InputError, OSError):
        return found
    shares = dict(zip(table["image_id"], table["lesion_share"], strict=True))
    return np.array([shares.get(str(name), np.nan) for name in setting.test.ids], float)


def _compare(compared: ComparisonSet, setting: Setting, part: _Part) -> Subgroup:
    """Compare a subgroup with the rest; its `p_holm` is not adjusted yet."""
    groups = setting.test.groups
    inside, rest = (_resampled(setting, part.metric, compared.weights, cases)
                    for cases in (part.inside, part.rest))  # fmt: skip
    difference = inside - rest
    p = None
    if all(_suffices(setting, part.metric, cases) for cases in (part.inside, part.rest)):
        spread = difference[1:][~np.isnan(difference[1:])]
        units = min(_units(setting, part.metric, cases) for cases in (part.inside, part.rest))
        found = p_value(float(difference[0]), float(spread.var()), units - 1)
        p = 0.0 if found is None else found  # None if all are wrong in one and right in the other
    return Subgroup(
        split=setting.split,
        split_hash=setting.split_hash,
        family=part.family,
        name=part.name,
        metric=part.metric,
        n=int(part.inside.sum()),
        groups=units_of(groups, [part.inside]),
        value=estimate(inside, _units(setting, part.metric, part.inside)),
        difference=estimate(difference),
        p_holm=p,
        verdict="too_few" if p is None else "not_significant",
    )


def _resampled(setting: Setting, metric: str, weights: Floats, cases: Flags) -> Floats:
    """Compute a metric of some cases, as the mean over the seeds: (1 + resamples,)."""
    labels, here = setting.test.labels[cases], weights[:, cases]
    by_seed = [
        macro_auc(labels, probs[cases], here)
        if metric == "macro_auc"
        else mean(probs[cases].argmax(axis=1) == labels, here)
        for probs in setting.probs
    ]
    return np.asarray(np.mean(by_seed, axis=0))


def _units(setting: Setting, metric: str, cases: Flags) -> int:
    """Return the number of groups of some cases; for macro AUC, that of their smallest class."""
    test = setting.test
    if metric != "macro_auc":
        return units_of(test.groups, [cases])
    return units_of(
        test.groups, [cases & (test.labels == label) for label in range(len(setting.names))]
    )


def _suffices(setting: Setting, metric: str, cases: Flags) -> bool:
    enough = units_of(setting.test.groups, [cases]) >= FEWEST_GROUPS
    return enough and (metric != "macro_auc" or _units(setting, metric, cases) >= FEWEST_IN_CLASS)
