"""Assess which settings are better than chance, and select one for each split on val."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from btxrd.artifacts.evidence.verdicts import Skill, Unselected, UnselectedReason
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Winner
from btxrd.evaluation.selection import choose_winner
from btxrd.report.comparison_sets import FEWEST_IN_CLASS, ComparisonSet
from btxrd.report.settings import Setting

CHANCE = 0.5  # macro AUC


@dataclass(frozen=True)
class Assessed:
    """A setting with its macro AUC on test.

    Attributes:
        setting: The setting.
        area: Macro AUC of the setting on test.
        skill: Whether the setting is better than chance.
    """

    setting: Setting
    area: Estimate
    skill: Skill

    @property
    def problem(self) -> UnselectedReason | None:
        """Reason why the setting is not selected if it is the best on val; None without one."""
        if is_constant(self.setting):
            return "constant"
        if self.skill == "above_chance":
            return None
        return "too_few" if self.skill == "not_known" and self.area.value else "at_chance"


def assess(sets: Sequence[ComparisonSet]) -> list[Assessed]:
    """Return each setting with its macro AUC on test, and whether it is better than chance."""
    found = []
    for compared in sets:
        for place, setting in enumerate(compared.settings):
            metric = compared.estimate("macro_auc", place, "")
            area = Estimate(metric.value, metric.low, metric.high)
            found.append(Assessed(setting, area, _skill(area, compared.fewest)))
    return found


def _skill(area: Estimate, fewest: int) -> Skill:
    if area.low is None or fewest < FEWEST_IN_CLASS:
        return "not_known"
    return "above_chance" if area.low > CHANCE or area.value == 1 else "at_chance"


def constant_runs(setting: Setting, part: Literal["val", "test"] = "test") -> dict[str, str]:
    """Return the class that a run predicts for all cases, by the name of the run.

    Runs that predict several classes are left out.

    Args:
        setting: The setting.
        part: Partition of the cases.
    """
    found = {}
    for run in setting.runs:
        metrics = run.metrics.test if part == "test" else run.metrics.val
        predicted = np.flatnonzero(np.sum(metrics.confusion, axis=0))
        if len(predicted) == 1:
            found[run.name] = setting.names.names[predicted[0]]
    return found


def is_constant(setting: Setting, part: Literal["val", "test"] = "test") -> bool:
    """Return whether each of its runs predicts one class only."""
    return len(constant_runs(setting, part)) == len(setting.runs)


def select_winners(assessed: Sequence[Assessed]) -> tuple[list[Winner], list[Unselected]]:
    """Select a winner for each split by `selection_rule`; the first one of equal settings.

    The setting that is best on val is the only candidate. If it is not shown to be better than
    chance on test, or predicts one class only there, the split has no winner: taking the next
    setting would be a selection on test.

    Returns:
        The winners, and the splits without one.
    """
    by_split: dict[object, list[Assessed]] = defaultdict(list)
    for one in assessed:
        by_split[one.setting.split_hash, one.setting.names].append(one)
    winners, unselected = [], []
    for members in by_split.values():
        ranked = [one for one in members if one.setting.val is not None]
        able = [one for one in ranked if not is_constant(one.setting, "val")]
        best = _best(able or ranked)
        if best is None:
            unselected.append(_unselected(members, "no_val", best))
        elif problem := best.problem if able else "constant":
            unselected.append(_unselected(members, problem, best))
        else:
            winners.append(_winner(best.setting, able, members))
    return winners, unselected


def _best(ranked: Sequence[Assessed]) -> Assessed | None:
    """Return the best setting on val; None if no setting has metrics on val."""
    candidates = [one.setting.val for one in ranked if one.setting.val is not None]
    if not candidates:
        return None
    name = choose_winner(candidates).name
    return next(one for one in ranked if one.setting.name == name)


def _winner(setting: Setting, ranked: Sequence[Assessed], members: Sequence[Assessed]) -> Winner:
    """Return the entry of a winner in the summary; `run` is its best seed on val."""
    best = setting.val
    assert best is not None
    seed = choose_winner([run.val for run in setting.runs if run.val is not None])
    return Winner(
        split=setting.split,
        split_hash=setting.split_hash,
        setting=setting.name,
        run=seed.name,
        focus=setting.names.focus,
        val_macro_auc=best.macro_auc,
        val_focus_sensitivity=best.focus_sensitivity,
        of=len(ranked),
        unranked=tuple(one.setting.name for one in members if one.setting.val is None),
    )


def _unselected(
    members: Sequence[Assessed], reason: UnselectedReason, best: Assessed | None
) -> Unselected:
    setting = members[0].setting
    highest = max(members, key=lambda one: -1.0 if one.area.value is None else one.area.value)
    return Unselected(
        split=setting.split,
        split_hash=setting.split_hash,
        strategy=setting.strategy,
        reason=reason,
        setting=None if best is None else best.setting.name,
        best=highest.area,
        of=len(members),
    )
