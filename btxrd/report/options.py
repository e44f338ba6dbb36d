"""Compute the effect of each option, from pairs of settings that differ in it alone."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from btxrd.artifacts.evidence.verdicts import JudgedDifference, OptionContrast, OptionPair, Skill
from btxrd.config.identity import flat, identity
from btxrd.evaluation.formulas import Floats
from btxrd.report.comparison_sets import ComparisonSet
from btxrd.report.peaks import Peaks, peaks_panel, read_peaks
from btxrd.report.settings import Setting
from btxrd.report.simultaneous import Panel, judge, panel_of
from btxrd.report.winners import is_constant

GROUPS = ANNOTATIONS, MODEL = "annotations", "model"  # config groups that are one option each
IN_TITLES = ("model.backbone", "model.attn_layer", "annotations.kind", "annotations.sham")
OFF = ("none", "None", "False", "0", "0.0")
Values = dict[str, str]  # value of each option, by its name


@dataclass(frozen=True)
class _Pair:
    """A pair of settings.

    Attributes:
        one: Index of the first setting in its comparison set.
        other: Index of the second setting.
        context: Values that both settings share.
    """

    one: int
    other: int
    context: str


def option_contrasts(
    sets: Sequence[ComparisonSet], skills: Mapping[Setting, Skill], margin: float
) -> list[OptionContrast]:
    """Compare the settings of one split that differ in one option only.

    Settings that predict one class only, or are at chance, are left out, because their differences
    say nothing about an option.

    Args:
        sets: Settings by their test cases.
        skills: Whether each setting is better than chance.
        margin: Smallest difference in macro AUC that matters.
    """
    peaks_of = cache(read_peaks)  # reads each file once, and only those of settings in a pair
    return [
        contrast
        for compared in sets
        for members in _by_split(compared, skills)
        for contrast in _contrasts(compared, members, margin, peaks_of)
    ]


def _by_split(compared: ComparisonSet, skills: Mapping[Setting, Skill]) -> Iterator[list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for place, setting in enumerate(compared.settings):
        if skills[setting] != "at_chance" and not is_constant(setting):
            found[setting.split_hash].append(place)
    yield from found.values()


def _contrasts(
    compared: ComparisonSet,
    members: Sequence[int],
    margin: float,
    peaks_of: Callable[[Setting], Peaks | None],
) -> Iterator[OptionContrast]:
    settings, panel = compared.settings, panel_of(compared)
    values = dict(zip(members, options_of([settings[at] for at in members]), strict=True))
    found: dict[tuple[str, str, str], list[_Pair]] = defaultdict(list)
    for pair in combinations(members, 2):
        differing = [
            name for name in values[pair[0]] if values[pair[0]][name] != values[pair[1]][name]
        ]
        if len(differing) != 1:
            continue
        (option,) = differing
        every = [values[at][option] for at in members]
        ranks = {at: _plainness(option, values[at][option], every) for at in pair}
        other, one = sorted(pair, key=ranks.__getitem__)
        shared = [f"{_label(name)}{value}" for name, value in values[one].items() if name != option]
        key = option, values[one][option], values[other][option]
        found[key].append(_Pair(one, other, ", ".join(shared)))
    for (option, of_one, of_other), pairs in found.items():
        areas, pooled = _family(panel, pairs, margin)
        peaks, pooled_peak = _peaks(peaks_of, settings, pairs if option in GROUPS else ())
        yield OptionContrast(
            option=option,
            one=of_one,
            other=of_other,
            split=settings[members[0]].split,
            strategy=settings[members[0]].strategy,
            is_control=option == ANNOTATIONS and _is_sham(of_one),
            pairs=tuple(
                OptionPair(
                    one=settings[pair.one].name,
                    other=settings[pair.other].name,
                    context=pair.context,
                    difference=area,
                    peak_inside=peaks.get(pair),
                )
                for pair, area in zip(pairs, areas, strict=True)
            ),
            pooled=pooled,
            pooled_peak_inside=pooled_peak,
        )


def _with_mean(rows: Floats) -> Floats:
    """Return the rows, with their mean as a last row if there are several."""
    return rows if len(rows) == 1 else np.vstack([rows, rows.mean(axis=0)])


def _family(
    panel: Panel, pairs: Sequence[_Pair], margin: float
) -> tuple[list[JudgedDifference], JudgedDifference | None]:
    """Judge the differences of pairs and, if there are several, their mean."""
    rows = np.zeros((len(pairs), panel.resampled.shape[1]))
    for row, pair in zip(rows, pairs, strict=True):
        row[[pair.one, pair.other]] = 1, -1
    found = judge(panel, _with_mean(rows), margin)
    return found[: len(pairs)], found[len(pairs)] if len(pairs) > 1 else None


def _peaks(
    peaks_of: Callable[[Setting], Peaks | None],
    settings: Sequence[Setting],
    pairs: Sequence[_Pair],
) -> tuple[dict[_Pair, JudgedDifference], JudgedDifference | None]:
    """Judge the differences of pairs in the share of Grad-CAM maxima on the lesion."""
    both = {}
    for pair in pairs:
        one, other = (peaks_of(settings[at]) for at in (pair.one, pair.other))
        if one is not None and other is not None and one.overlaps(other):
            both[pair] = one, other
    if not both:
        return {}, None
    found = judge(peaks_panel(list(both.values())), _with_mean(np.eye(len(both))), None)
    return dict(zip(both, found, strict=False)), found[len(both)] if len(both) > 1 else None


def options_of(settings: Sequence[Setting]) -> list[Values]:
    """Return the values of the options that differ between settings, for each setting.

    The config groups `annotations` and `model` are one option each. They include the keys that have
    one value for each choice, unless the key is in the name of a run. Any other key is an option of
    its own.
    """
    titles = {
        MODEL: [str(setting.runs[0].row.model) for setting in settings],
        ANNOTATIONS: [setting.config.annotations.title for setting in settings],
    }
    columns = dict(titles)
    configs = [flat(setting.config) for setting in settings]
    for key in dict.fromkeys(key for setting in settings for key in identity(setting.config)):
        column = [str(config.get(key)) for config in configs]
        group = ANNOTATIONS if key.startswith(f"{ANNOTATIONS}.") else MODEL
        if key == "seed" or key.startswith("split.") or key in IN_TITLES:
            continue
        if len(set(titles[group])) > 1 and _follows(column, titles[group]):
            is_typed = any(f"{key}=" in run.name for setting in settings for run in setting.runs)
            if key.startswith(f"{group}.") or not is_typed:
                continue
        columns[key] = column
    differ = {name: column for name, column in columns.items() if len(set(column)) > 1}
    return [{name: column[at] for name, column in differ.items()} for at in range(len(settings))]


def _follows(column: Sequence[str], titles: Sequence[str]) -> bool:
    """Return whether a column has one value only for each title."""
    return len(set(zip(titles, column, strict=True))) == len(set(titles))


def _plainness(option: str, value: str, values: Sequence[str]) -> tuple[bool, bool, int, int]:
    """Return the sort key of a value: first `OFF`, then no control, then frequent, then early."""
    is_sham = option == ANNOTATIONS and _is_sham(value)
    return value not in OFF, is_sham, -values.count(value), values.index(value)


def _is_sham(title: str) -> bool:
    return title.endswith(("_shuffled", "_normals"))


def _label(option: str) -> str:
    """Return the text before the value of an option; empty for a config group."""
    return "" if option in GROUPS else f"{option.split('.')[-1]}="
