"""Sentences about a sweep, about constant settings, and about splits without a selection."""

from collections import Counter

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.verdicts import Unselected
from btxrd.artifacts.summary import Summary
from btxrd.report.sentences.selected import CHANCE
from btxrd.report.sentences.wording import count, format_estimate


def completeness(summary: Summary) -> str | None:
    """Return a sentence on incomplete runs and missing seeds; None if all runs are used."""
    rows = summary.runs
    done = sum(row.state == "complete" and not row.error for row in rows)
    if done == len(rows):
        return None
    verb = "run is" if len(rows) == 1 else "runs are"
    parts = [f"{done} of {len(rows)} {verb} complete"]
    lacking = Counter(
        (len(row.runs), row.planned) for row in summary.settings if len(row.runs) < row.planned
    )
    for (there, planned), number in sorted(lacking.items()):
        has = "has" if number == 1 else "have"
        parts.append(f"{count(number, 'setting')} {has} {there} of {planned} seeds")
    unranked = sum(len(winner.unranked) for winner in summary.winners)
    if unranked:
        has = (
            "lacks a metric on validation and is"
            if unranked == 1
            else ("lack a metric on validation and are")
        )
        parts.append(f"{count(unranked, 'setting')} {has} not ranked")
    return f"{'; '.join(parts)}."


def one_seed(summary: Summary) -> str | None:
    """Return a caveat about single seeds; None if a setting has several seeds."""
    if not summary.settings or any(len(row.seeds) > 1 for row in summary.settings):
        return None
    if max(Counter(row.split for row in summary.settings).values()) == 1:
        start = "Each result is of one trained network."
        return f"{start} Add `seed=0,1,2` to draw conclusions about the setting."
    return (
        "The sweep compares trained networks, not settings. Add `seed=0,1,2` to compare settings."
    )


def constant_of(row: SettingRow) -> str | None:
    """Return the class that all runs of a setting predict for all test cases; None if none is."""
    classes = set(row.constant.values())
    return classes.pop() if len(classes) == 1 and row.is_constant else None


def tag_of(row: SettingRow, run: str | None = None) -> str:
    """Return a tag for a setting in a table, or for one run of it; empty if none is needed."""
    if run in row.constant:
        return f"constant: every image “{row.constant[run]}”"
    if row.constant and run is None:
        classes = " or ".join(f"“{name}”" for name in sorted(set(row.constant.values())))
        text = f"constant: every image {classes}"
        few = len(row.constant) < len(row.runs)
        return f"{text} ({len(row.constant)} of {count(len(row.runs), 'seed')})" if few else text
    return {
        "above_chance": "",
        "at_chance": "not shown to be better than chance",
        "not_known": "too few test images to tell if better than chance",
    }[row.skill]


def constant_sentence(row: SettingRow) -> str:
    """Return a sentence on runs that predict one class for all test images; empty without any."""
    name = constant_of(row)
    if name is not None:
        return f"Constant predictor: all {row.n_test:g} test images are predicted {name}."
    if not row.constant:
        return ""
    classes = " or ".join(sorted(set(row.constant.values())))
    of_all = f"one class for all {row.n_test:g} test images ({classes})"
    if row.is_constant:
        return f"Constant predictors: each seed predicts {of_all}."
    predict = "predicts" if len(row.constant) == 1 else "predict"
    return f"{len(row.constant)} of {len(row.runs)} seeds {predict} {of_all}."


def unselected_headline(one: Unselected, row: SettingRow | None) -> tuple[str, str, str]:
    """Return the headline of a split without a selected setting, the reason, and a sentence."""
    best = format_estimate(one.best)
    none = "No setting is selected"
    if one.reason == "no_val":
        reason = "no setting has a macro AUC on a separate validation partition"
        if one.strategy == "random":
            reason = "validation and test are the same images"
        return none, reason, f"{none}: {reason}."
    if one.reason == "constant" and row is not None and row.is_constant:
        headline, _, reason = constant_sentence(row).removesuffix(".").partition(": ")
        return headline, reason, f"{headline}: {reason}. {none}."
    if one.reason == "constant":
        reason = "each setting predicts one class for all validation images"
        return none, reason, f"{none}: {reason}."
    if one.reason == "too_few":
        reason = "there are too few test images to tell whether a setting is better than chance"
        return "Too few test images", f"the highest macro AUC is {best}", f"{none}: {reason}."
    if one.best.value is None:
        return none, "macro AUC is undefined", f"{none}: macro AUC is undefined."
    if one.best.low is not None and one.best.low > CHANCE:
        best_on_val = f"{one.setting}, the best on validation"
        reason = f"{best_on_val}, is not shown to be better than chance on test"
        text = f"{none}: {reason}. The highest macro AUC on test is {best}; test metrics must not "
        return none, reason, f"{text}select."
    if one.of == 1:
        text = f"The setting is not shown to be better than chance: macro AUC {best}. {none}."
        return "Not shown to be better than chance", f"macro AUC {best}", text
    text = f"No setting is shown to be better than chance: the highest macro AUC is {best}. {none}."
    if one.best.high is not None and one.best.high < CHANCE:
        text += " That is below chance: check the labels and the order of the classes."
    return "No setting is shown to be better than chance", f"the highest macro AUC is {best}", text
