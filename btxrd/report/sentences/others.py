"""Sentences that compare the selected setting with the other settings of its split."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.verdicts import JudgedDifference
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary
from btxrd.report.comparison_sets import FEWEST_GROUPS, FEWEST_IN_CLASS
from btxrd.report.sentences.finding import Finding, IntervalPlot, Verdict
from btxrd.report.sentences.selected import Selected, axis, mark, not_assessed
from btxrd.report.sentences.wording import (
    all_of,
    count,
    figure,
    flipped,
    format_estimate,
    in_words,
    interval_name,
    margin_of,
)

KEY = "others"
CLOSEST = 12  # settings that the plot shows


@dataclass(frozen=True)
class Other:
    """The difference in macro AUC between the selected setting and another one.

    Attributes:
        row: The other setting.
        judged: Difference as in the summary: other minus selected.
        ahead: Difference in the other direction: selected minus other.
    """

    row: SettingRow
    judged: JudgedDifference
    ahead: Estimate

    @property
    def by(self) -> str:
        """Absolute difference and its interval, as text."""
        one = self.ahead if (self.ahead.value or 0) >= 0 else flipped(self.ahead)
        return format_estimate(one, interval=interval_name(self.judged))

    @property
    def size(self) -> float:
        """Absolute difference."""
        return abs(self.ahead.value or 0)


@dataclass(frozen=True)
class Sorted:
    """The other settings by the verdict on them.

    The selected setting is significantly better than those in `worse`, and worse than those in
    `better`. Those in `alike` differ from it by less than the margin.
    """

    worse: list[Other]
    better: list[Other]
    alike: list[Other]
    unclear: list[Other]
    untested: list[SettingRow]

    @property
    def total(self) -> int:
        """Number of other settings."""
        return len(self.tested) + len(self.untested)

    @property
    def tested(self) -> list[Other]:
        """The settings that were tested."""
        return [*self.worse, *self.better, *self.alike, *self.unclear]


def find_others(selected: Selected) -> Finding:
    """Judge the differences in macro AUC by their simultaneous intervals."""
    found = _sorted(selected.others)
    if not found.total:
        text = "No other setting was tested on the same images. To compare settings, give a key "
        return not_assessed(KEY, "Nothing to compare", f"{text}several values: `experiment=A,B`.")
    if not found.tested:
        reason = _why_untested(selected, found.untested)
        return not_assessed(KEY, "Not tested", f"Not tested: {reason}.", reason)
    verdict, short, beside = _verdict(found, selected.summary)
    return Finding(KEY, verdict, short, beside, _sentence(found, selected), _plot(found))


def _sorted(rows: Sequence[SettingRow]) -> Sorted:
    found = Sorted([], [], [], [], [])
    places = {
        "worse": found.worse,
        "better": found.better,
        "no_difference": found.alike,
        "not_enough_data": found.unclear,
    }
    for row in rows:
        judged = row.difference
        if judged is None or judged.verdict == "not_tested":
            found.untested.append(row)
        else:
            places[judged.verdict].append(Other(row, judged, flipped(judged)))
    return found


def _why_untested(selected: Selected, rows: Sequence[SettingRow]) -> str:
    judged = [row.difference for row in rows if row.difference is not None]
    if not judged:
        return "the test images differ"
    if judged[0].value is None:
        return "macro AUC is undefined"
    first = selected.row.runs[0]
    groups = [pair.groups for pair in selected.summary.comparisons if first in pair.runs]
    if groups and min(groups) < FEWEST_GROUPS:
        return f"fewer than {FEWEST_GROUPS} groups"
    return f"a class has fewer than {FEWEST_IN_CLASS} groups"


def _verdict(found: Sorted, summary: Summary) -> tuple[Verdict, str, str]:
    """Return the verdict, its short form, and the text beside it."""
    total, alike = found.total, f"No difference above {margin_of(summary.margin)}"
    if found.better:
        number = len(found.better)
        short = "Another is better" if number == 1 else f"{number} are better"
        return "refuted", short, f"by {figure(max(one.size for one in found.better))} on test"
    if len(found.worse) == total:
        short = "Better than the other" if total == 1 else f"Better than {all_of(total)}"
        smallest = min(one.size for one in found.worse)
        beside = f"{'by' if total == 1 else 'smallest difference'} {figure(smallest)}"
        return "supported", short, "; ".join([*_constants(found.worse, total), beside])
    if found.worse:
        rest = [
            (len(found.unclear), "not enough data for {}"),
            (len(found.alike), f"{alike[0].lower()}{alike[1:]} from {{}}"),
            (len(found.untested), "{} not tested"),
        ]
        remarks = _constants(found.worse, total)
        remarks += [text.format(number) for number, text in rest if number]
        return "partly", f"Better than {len(found.worse)} of {total}", "; ".join(remarks)
    if found.unclear:
        (first, *_), number = found.unclear, len(found.unclear)
        beside = f"for {number} of {total}"
        if total == 1:
            beside = format_estimate(first.ahead, signed=True, interval="")
        return "unclear", "Not enough data", beside
    return "refuted", alike, f"from {count(len(found.alike), 'setting')}"


def _constants(worse: Sequence[Other], total: int) -> list[str]:
    """Return a remark on the settings that predict one class only, if there are any."""
    number = sum(one.row.is_constant for one in worse)
    text = f"{number} of them {'is' if number == 1 else 'are'} constant"
    return [] if not number else ["it is constant" if total == 1 else text]


def _sentence(found: Sorted, selected: Selected) -> str:
    margin = margin_of(selected.summary.margin)
    parts = [
        _of_better(found.better),
        _of_worse(found, margin),
        _of_alike(found.alike, margin),
        _of_unclear(found, margin),
    ]
    if found.untested:
        names = in_words([row.setting for row in found.untested])
        parts.append(f"Not tested: {names} ({_why_untested(selected, found.untested)}).")
    return " ".join(part for part in parts if part)


def _of_better(better: Sequence[Other]) -> str:
    if not better:
        return ""
    largest = max(better, key=lambda one: one.size)
    stays = "The selection stays, because test metrics must not select."
    if len(better) == 1:
        name = largest.row.setting
        return f"{name} is significantly better on test, by {largest.by}. {stays} Report both."
    return (
        f"{len(better)} settings are significantly better on test; the largest difference is that "
        f"of {largest.row.setting}, {largest.by}. {stays} Report them too."
    )


def _of_worse(found: Sorted, margin: str) -> str:
    if not found.worse:
        return ""
    smallest, total = min(found.worse, key=lambda one: one.size), found.total
    if len(found.worse) < total:
        text = f"Significantly better than {len(found.worse)} of {total} other settings."
    elif total == 1:
        text = f"Significantly better than {smallest.row.setting}, by {smallest.by}."
    else:
        text = (
            f"Significantly better than {all_of(total)} other settings; the smallest difference is "
            f"{smallest.by}."
        )
    small = sum(one.judged.within_margin for one in found.worse)
    if small:
        number = "This difference is" if total == 1 else f"{small} of these differences are"
        number = "1 of these differences is" if total > 1 and small == 1 else number
        text += f" {number} below {margin}."
    constant = [one.row.setting for one in found.worse if one.row.is_constant]
    if constant:
        predict = "predicts" if len(constant) == 1 else "predict"
        text += f" {in_words(constant)} {predict} one class for all test images."
    return text


def _of_alike(alike: Sequence[Other], margin: str) -> str:
    if not alike:
        return ""
    if len(alike) == 1:
        one = alike[0]
        shown = format_estimate(one.ahead, signed=True, interval=interval_name(one.judged))
        text = f"No difference above {margin} from {one.row.setting}: {shown}."
        return f"{text} Choose between the two by cost."
    return f"No difference above {margin} from {len(alike)} settings. Choose among them by cost."


def _of_unclear(found: Sorted, margin: str) -> str:
    unclear = found.unclear
    if not unclear:
        return ""
    largest = max(-(one.ahead.low or 0) for one in unclear)
    if len(unclear) == 1:
        one = unclear[0]
        shown = format_estimate(one.ahead, signed=True, interval=interval_name(one.judged))
        text = f"Not enough data to tell whether it is better than {one.row.setting}: {shown}."
    else:
        every = f"{all_of(found.total)} other settings"
        which = every if len(unclear) == found.total else len(unclear)
        text = f"For {which} there is not enough data to tell"
        text += f"; one of them may be better by up to {figure(largest)}." if largest > 0 else "."
    powers = [one.judged.detectable for one in unclear if one.judged.detectable is not None]
    if powers:
        text += f" A difference of {figure(max(powers))} would have been found with 80% power."
    return text


def _plot(found: Sorted) -> IntervalPlot:
    tested = sorted(found.tested, key=lambda one: one.ahead.value or 0)[:CLOSEST]
    hollow = {id(one) for one in found.unclear}
    marks = tuple(
        mark(one.ahead, "other", one.row.setting, is_hollow=id(one) in hollow) for one in tested
    )
    return IntervalPlot(*axis(marks, 0.0), marks, (("", 0.0),), is_stacked=True)
