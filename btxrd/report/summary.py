"""Compute the summary of runs: winners, settings, comparisons and curves."""

from collections.abc import Sequence

from btxrd.artifacts.config import NO_EVIDENCE
from btxrd.artifacts.evidence.verdicts import Reference
from btxrd.artifacts.plan import SweepPlan
from btxrd.artifacts.summary import Summary
from btxrd.evaluation.selection import selection_rule
from btxrd.report.columns import columns_of
from btxrd.report.compare import compare
from btxrd.report.comparison_sets import ComparisonSet
from btxrd.report.curves import curves_of
from btxrd.report.generalisation import generalisation_gap
from btxrd.report.options import option_contrasts
from btxrd.report.runs import Run, ScoredRun
from btxrd.report.sentences.wording import in_words
from btxrd.report.setting_rows import setting_rows
from btxrd.report.simultaneous import from_selected
from btxrd.report.subgroups import subgroups
from btxrd.report.winners import assess, select_winners

WITHOUT_PIXELS = ("table", "style", "center_and_size")  # baselines without pixels


def summary_of(
    runs: Sequence[Run],
    sets: Sequence[ComparisonSet],
    *,
    margin: float = SweepPlan.margin,
    rebuild: str = "",
    commands: tuple[str, ...] = (),
    at_once: int = 1,
) -> Summary:
    """Return the summary of runs.

    Args:
        runs: All runs.
        sets: Settings of the scored runs, by their test cases.
        margin: Smallest difference in macro AUC that matters.
        rebuild: Command that writes the summary again.
        commands: Arguments that the sweeps were started with.
        at_once: Number of parallel runs.
    """
    assessed = assess(sets)
    skills = {one.setting: one.skill for one in assessed}
    winners, unselected = select_winners(assessed)
    selected = [
        one.setting
        for one in assessed
        if any(run.name == winner.run for run in one.setting.runs for winner in winners)
    ]
    scored = [run.metrics.class_names for run in runs if isinstance(run, ScoredRun)]
    comparisons = compare(sets)
    differences = from_selected(sets, selected, margin)
    rules = dict.fromkeys(selection_rule(names) for names in scored)
    return Summary(
        synthetic=synthetic_data(runs),
        margin=margin,
        rebuild=rebuild,
        commands=commands,
        selection_rule="; ".join(rules),
        metrics=tuple(column.key for column in columns_of(scored)),
        winners=tuple(winners),
        settings=tuple(setting_rows(sets, comparisons, skills, differences, runs)),
        comparisons=tuple(comparisons),
        generalisation_gap=tuple(generalisation_gap(sets, skills, margin)),
        at_once=at_once,
        runs=tuple(run.row for run in runs),
        unselected=tuple(unselected),
        curves=tuple(curves_of(sets, winners)),
        options=tuple(option_contrasts(sets, skills, margin)),
        references=tuple(references(sets)),
        subgroups=tuple(subgroups(sets, selected)),
    )


def synthetic_data(runs: Sequence[Run]) -> str | None:
    """Return a warning about scored runs on synthetic data; None if there are none."""
    scored = [run.config.config.data.phantom for run in runs if isinstance(run, ScoredRun)]
    found = [phantom for phantom in scored if phantom is not None]
    if not found:
        return None
    numbers = sorted({phantom.cases for phantom in found})
    drawn = f"{in_words([str(number) for number in numbers])} drawn radiographs, not patients"
    if len(found) == len(scored):
        return f"Synthetic data: {drawn}. {NO_EVIDENCE}"
    return f"Synthetic data in {len(found)} of {len(scored)} runs: {drawn}. {NO_EVIDENCE}"


def references(sets: Sequence[ComparisonSet]) -> list[Reference]:
    """Return each model without pixels of each split, from the first setting that has it."""
    found: dict[tuple[str, str], Reference] = {}
    for compared in sets:
        for setting in compared.settings:
            for run in setting.runs:
                for name in WITHOUT_PIXELS:
                    variant = run.metrics.shortcuts.get(name)
                    if variant is not None:
                        one = Reference(setting.split, setting.split_hash, name, variant.macro_auc)
                        found.setdefault((setting.split_hash, name), one)
    return list(found.values())
