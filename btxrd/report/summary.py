"""The summary of runs: winners, settings and comparisons."""

from collections import defaultdict
from collections.abc import Sequence

from btxrd.artifacts.plan import SweepPlan
from btxrd.artifacts.summary import Summary, Winner
from btxrd.evaluation.selection import choose_winner, selection_rule
from btxrd.report.columns import columns_of
from btxrd.report.compare import compare
from btxrd.report.comparison_sets import ComparisonSet
from btxrd.report.curves import curves_of
from btxrd.report.generalisation import generalisation_gap
from btxrd.report.runs import Run, ScoredRun
from btxrd.report.setting_rows import setting_rows
from btxrd.report.settings import Setting
from btxrd.report.wording import in_words

NO_EVIDENCE = "These results say nothing about BTXRD or about any clinic."


def summary_of(
    runs: Sequence[Run],
    sets: Sequence[ComparisonSet],
    *,
    margin: float = SweepPlan.margin,
    rebuild: str = "",
    commands: tuple[str, ...] = (),
    at_once: int = 1,
) -> Summary:
    """Return everything that can be said about runs, and about the comparison sets of them."""
    settings = [setting for compared in sets for setting in compared.settings]
    scored = [run.metrics.class_names for run in runs if isinstance(run, ScoredRun)]
    comparisons = compare(sets)
    rules = dict.fromkeys(selection_rule(names) for names in scored)
    winners = select_winners(settings)
    return Summary(
        synthetic=synthetic_data(runs),
        margin=margin,
        rebuild=rebuild,
        commands=commands,
        selection_rule="; ".join(rules),
        metrics=tuple(column.key for column in columns_of(scored)),
        winners=tuple(winners),
        settings=tuple(setting_rows(sets, comparisons)),
        comparisons=tuple(comparisons),
        generalisation_gap=tuple(generalisation_gap(sets)),
        at_once=at_once,
        runs=tuple(run.row for run in runs),
        curves=tuple(curves_of(sets, winners)),
    )


def synthetic_data(runs: Sequence[Run]) -> str | None:
    """Say that scored runs were done on synthetic data; None if none was."""
    scored = [run.config.config.data.phantom for run in runs if isinstance(run, ScoredRun)]
    found = [phantom for phantom in scored if phantom is not None]
    if not found:
        return None
    numbers = sorted({phantom.cases for phantom in found})
    drawn = f"{in_words([str(number) for number in numbers])} drawn radiographs, not patients"
    if len(found) == len(scored):
        return f"Synthetic data: {drawn}. {NO_EVIDENCE}"
    return f"Synthetic data in {len(found)} of {len(scored)} runs: {drawn}. {NO_EVIDENCE}"


def select_winners(settings: Sequence[Setting]) -> list[Winner]:
    """Select a winner for each split by `selection_rule`, on val; the first of equals.

    A split whose val cases are its test cases has none. `run` is the winner's best seed on val.
    """
    by_split: dict[object, list[Setting]] = defaultdict(list)
    for setting in settings:
        by_split[setting.split_hash, setting.names].append(setting)
    winners = []
    for members in by_split.values():
        ranked = [setting for setting in members if setting.val is not None]
        if not ranked:
            continue
        best = choose_winner([setting.val for setting in ranked if setting.val is not None])
        winner = next(setting for setting in ranked if setting.name == best.name)
        seed = choose_winner([run.val for run in winner.runs if run.val is not None])
        winners.append(
            Winner(
                split=winner.split,
                split_hash=winner.split_hash,
                setting=winner.name,
                run=seed.name,
                focus=winner.names.focus,
                val_macro_auc=best.macro_auc,
                val_focus_sensitivity=best.focus_sensitivity,
                of=len(ranked),
                unranked=tuple(setting.name for setting in members if setting.val is None),
            )
        )
    return winners
