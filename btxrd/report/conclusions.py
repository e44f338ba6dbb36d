"""The main findings about the winner of each split, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from btxrd.artifacts.comparison import Gap, PairedComparison, SettingRow
from btxrd.artifacts.summary import Summary, Winner
from btxrd.report.wording import count, format_estimate, in_words

Verdict = Literal["good", "bad", "open"]
AT_CHANCE = 0.5  # macro AUC
TOLERATED = 0.1  # largest effect on macro AUC that an interval may include if none is claimed


@dataclass(frozen=True)
class Conclusion:
    """What the results say about one question.

    Attributes:
        question: The question.
        verdict: `open` if the results are neither good nor bad, or not known.
        short: The conclusion in a few words.
        text: The conclusion with the metrics.
    """

    question: str
    verdict: Verdict
    short: str
    text: str


def conclusions(summary: Summary) -> list[tuple[str, list[Conclusion]]]:
    """Return the title of each split with a winner, and the conclusions about it."""
    found = []
    for winner in summary.winners:
        (row,) = (row for row in summary.settings if winner.run in row.runs)
        about = [
            _which(winner, row),
            _is_better(row, summary.comparisons),
            _elsewhere(row, summary.generalisation_gap),
            _localisation(row),
            _shortcuts(row),
            _missed(row),
        ]
        found.append((winner.split, about))
    return found


def _which(winner: Winner, row: SettingRow) -> Conclusion:
    unranked = ""
    if winner.unranked:
        unranked = f" ({in_words(winner.unranked)} lacked a val metric and took no part)"
    shown = ", ".join(
        f"{title} {format_estimate(row.metric(name))}"
        for name, title in (
            ("macro_auc", "macro AUC"),
            ("accuracy", "accuracy"),
            ("balanced_accuracy", "balanced accuracy"),
        )
    )
    text = (
        f"It has the highest val macro AUC ({winner.val_macro_auc:.3f}) of "
        f"{count(winner.of, 'setting')}{unranked}. On {row.n_test} test images: {shown}."
    )
    return Conclusion("Which setting is the winner?", "open", winner.setting, text)


@dataclass(frozen=True)
class _Others:
    """Names of the other settings by how their macro AUC on test compares with the winner's."""

    worse: list[str]
    better: list[str]
    alike: list[str]
    untested: list[str]


def _others(row: SettingRow, comparisons: Sequence[PairedComparison]) -> _Others:
    found = _Others([], [], [], [])
    for pair in comparisons:
        if row.runs[0] not in pair.runs:
            continue
        is_one = pair.runs[0] == row.runs[0]
        other, difference = pair.other if is_one else pair.one, pair.differences["macro_auc"]
        ahead = (difference.value or 0) * (1 if is_one else -1)
        if difference.p is None:
            found.untested.append(other)
        elif not difference.significant:
            found.alike.append(other)
        else:
            (found.worse if ahead > 0 else found.better).append(other)
    return found


def _is_better(row: SettingRow, comparisons: Sequence[PairedComparison]) -> Conclusion:
    """Conclude from the tests of macro AUC on the test partition."""
    others = _others(row, comparisons)
    sentences = [
        sentence.format(in_words(names))
        for sentence, names in (
            ("Its macro AUC on test is significantly higher than that of {}.", others.worse),
            ("Its macro AUC on test is significantly lower than that of {}.", others.better),
            ("It is not significantly different from {}, which does not mean equal.", others.alike),
            ("The difference from {} could not be tested.", others.untested),
        )
        if names
    ] or ["No other setting was tested on the same images."]
    sd = row.compared["macro_auc"].sd
    if len(row.seeds) == 1:
        sentences.append(
            "One seed: this is about one trained network. Add seed=0,1,2 to conclude about the "
            "setting."
        )
    elif sd is not None:
        sentences.append(
            f"The standard deviation of its macro AUC over {len(row.seeds)} seeds is {sd:.3f}."
        )
    verdict, short = _verdict(others)
    return Conclusion("Is the winner significantly better?", verdict, short, " ".join(sentences))


def _verdict(others: _Others) -> tuple[Verdict, str]:
    if others.better:
        return "bad", f"no: {count(len(others.better), 'setting')} significantly better on test"
    if others.alike:
        number = count(len(others.alike), "other setting")
        return "open", f"not significantly different from {number}"
    if others.untested:
        return "open", f"not tested against {count(len(others.untested), 'other setting')}"
    if not others.worse:
        return "open", "no other setting to compare with"
    return "good", "significantly better than all other settings"


def _elsewhere(row: SettingRow, gaps: Sequence[Gap]) -> Conclusion:
    question = "Does its performance hold at unseen centers?"
    mine = [gap for gap in gaps if set(gap.runs) & set(row.runs)]
    if not mine:
        return Conclusion(
            question, "open", "not known", "Run it with split=stratified,center to find out."
        )
    largest = max(mine, key=lambda gap: gap.metrics["macro_auc"].gap.value or 0)
    found = largest.metrics["macro_auc"]
    gap = found.gap
    if gap.value is None or gap.low is None or gap.high is None:
        return Conclusion(question, "open", "not known", "A class is absent.")
    text = (
        f"Macro AUC is {found.seen:.3f} at centers seen in training and {found.unseen:.3f} at "
        f"unseen centers ({largest.split}): a difference of {format_estimate(gap)}. With equal "
        f"class weights it is {format_estimate(found.class_balanced_gap)}."
    )
    if len(mine) > 1:
        text += f" That is the largest of {len(mine)} differences."
    if gap.low > 0:
        return Conclusion(question, "bad", f"no: macro AUC is {gap.value:.2f} lower", text)
    if gap.high < 0:
        return Conclusion(question, "good", "yes: macro AUC is higher there", text)
    return Conclusion(question, "open", "no loss was shown", text)


def _localisation(row: SettingRow) -> Conclusion:
    question = "Does Grad-CAM localise the lesion?"
    found = row.gradcam.get("all")
    peak = None if found is None else found.peak_inside
    if found is None or peak is None or peak.value is None or peak.low is None:
        return Conclusion(
            question, "open", "not known", "No test tumour with an outline has a usable map."
        )
    excluded = found.maps.empty + found.maps.saturated
    text = (
        f"The peak of the map is on the lesion in {format_estimate(peak, percent=True)} of "
        f"{found.maps.ok:.0f} test tumours. The chance level is {peak.by_chance or 0:.0%}"
    )
    if peak.of_others is not None:
        text += f"; maps of other images reach {peak.of_others:.0%}"
    text += f". {count(round(excluded), 'empty or saturated map')} excluded."
    reference = max(peak.by_chance or 0, peak.of_others or 0)
    if peak.value <= reference:
        return Conclusion(question, "bad", "no more often than by chance", text)
    if peak.low <= reference:
        return Conclusion(question, "open", "not shown to exceed chance", text)
    if excluded > found.maps.ok:
        return Conclusion(question, "open", "not known: most maps are empty or saturated", text)
    verdict: Verdict = "open" if peak.value < 0.5 else "good"
    return Conclusion(question, verdict, f"in {peak.value:.0%} of tumours", text)


def _shortcuts(row: SettingRow) -> Conclusion:
    question = "Does it use shortcuts?"
    variants = row.shortcuts
    if "lesion_masked" not in variants:
        return Conclusion(question, "open", "not known", "No test tumour has an outline.")
    lesion, border = variants["lesion_masked"].macro_auc, variants["border_masked"]
    change = border.difference
    text = (
        f"Macro AUC with the lesion masked: {format_estimate(lesion)}. With the border masked: "
        f"{format_estimate(border.macro_auc)}. The baseline on center and image size alone: "
        f"{format_estimate(variants['center_and_size'].macro_auc)}."
    )
    if change.low is None or change.high is None or lesion.low is None or lesion.high is None:
        return Conclusion(
            question, "open", "not known", "A class has no test image that can be masked."
        )
    unmodified = row.compared["macro_auc"].low
    if unmodified is None or unmodified <= AT_CHANCE:
        short = "not known: it is near chance on unmodified images"
        return Conclusion(question, "open", short, text)
    signs = []
    if change.high < 0:
        signs.append("the border")
    if lesion.low > AT_CHANCE:
        signs.append("the surroundings of the lesion (or the mask)")
    if signs:
        return Conclusion(question, "bad", f"yes: {' and '.join(signs)}", text)
    if change.low < -TOLERATED or lesion.high > AT_CHANCE + TOLERATED:
        return Conclusion(question, "open", "none was shown", text)
    return Conclusion(question, "good", "no sign of one", text)


def _missed(row: SettingRow) -> Conclusion:
    focus, background = row.focus, row.background
    question = f"How many {focus} tumours are missed?"
    rate = row.metric(f"{focus}_predicted_{background}")
    text = ""
    if background is not None:
        text = f"{format_estimate(rate, percent=True)} of the {focus} test images are predicted "
        text += f"{background}."
    point = row.clinical.operating_point if row.clinical else None
    if point is not None:
        text += (
            f" The threshold with a val sensitivity of {point.val['sensitivity'] or 0:.0%} has a "
            f"test sensitivity of {format_estimate(point.test.sensitivity, percent=True)} and a "
            f"test specificity of {format_estimate(point.test.specificity, percent=True)}."
        )
    short = "not known"
    if rate is not None and rate.value is not None:
        short = f"{rate.value:.0%} predicted {background}"
    return Conclusion(question, "open", short, text.strip())
