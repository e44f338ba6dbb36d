"""Sentences that compare the selected setting with chance and with models without pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from btxrd.artifacts.evidence.verdicts import Reference
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.report.sentences.finding import Finding, IntervalPlot, Verdict
from btxrd.report.sentences.selected import CHANCE, Selected, axis, mark
from btxrd.report.sentences.wording import all_of, flipped, format_estimate, margin_of

KEY = "references"
UNMODIFIED = "unmodified"  # variant that the models without pixels are compared with
Outcome = Literal["better", "worse", "no_difference", "not_enough_data", "not_computed"]


@dataclass(frozen=True)
class Compared:
    """The difference in macro AUC between the selected setting and a model without pixels.

    Attributes:
        reference: The model without pixels.
        ahead: Selected minus reference, on the test cases that can be masked.
        outcome: Conclusion from the interval about the selected setting.
    """

    reference: Reference
    ahead: Estimate
    outcome: Outcome

    @property
    def name(self) -> str:
        """Name of the model, in words."""
        return self.reference.name.replace("_", " ")

    @property
    def size(self) -> float:
        """Value of the difference; 0 if it is undefined."""
        return self.ahead.value or 0


def find_references(selected: Selected) -> Finding:
    """Judge the paired differences in macro AUC on the same test cases."""
    found = [_compared(selected, one) for one in selected.references]
    verdict, short, beside = _verdict(found)
    return Finding(KEY, verdict, short, beside, _sentence(selected, found), _plot(selected))


def _compared(selected: Selected, reference: Reference) -> Compared:
    variant = selected.row.shortcuts.get(reference.name)
    if variant is None:
        return Compared(reference, Estimate(None, None, None), "not_computed")
    ahead = flipped(variant.difference)
    return Compared(reference, ahead, _outcome(ahead, selected.summary.margin))


def _outcome(ahead: Estimate, margin: float) -> Outcome:
    if ahead.value is None or ahead.low is None or ahead.high is None:
        return "not_computed"
    if ahead.low > 0:
        return "better"
    if ahead.high < 0:
        return "worse"
    return "no_difference" if max(-ahead.low, ahead.high) <= margin else "not_enough_data"


def _verdict(found: Sequence[Compared]) -> tuple[Verdict, str, str]:
    """Return the verdict, its short form, and the text beside it."""
    worse = [one for one in found if one.outcome == "worse"]
    rest = [one for one in found if one.outcome != "better"]
    if not found:
        return "partly", "Better than chance", "models without pixels: not computed"
    if worse:
        least = min(worse, key=lambda one: one.size)
        by = format_estimate(flipped(least.ahead), interval="")
        return "refuted", f"The {least.name} model is better", f"by {by}"
    if not rest:
        least = min(found, key=lambda one: one.size)
        models = f"{all_of(len(found))} models" if len(found) > 1 else f"the {least.name} model"
        return "supported", f"Better than chance and {models}", _beside(least)
    least = min(rest, key=lambda one: one.size)
    if len(rest) == len(found) and least.outcome == "not_enough_data":
        return "unclear", "Not enough data", _beside(least)
    if len(rest) == len(found):
        return "partly", "Better than chance only", _beside(least)
    models = f"{len(found) - len(rest)} of {len(found)} models"
    return "partly", f"Better than chance and {models}", _beside(least)


def _beside(one: Compared) -> str:
    return f"vs {one.name} {format_estimate(one.ahead, signed=True, interval='')}"


def _sentence(selected: Selected, found: Sequence[Compared]) -> str:
    row = selected.row
    shown = format_estimate(row.metric("macro_auc"))
    parts = [f"Better than chance: macro AUC is {shown} on {row.n_test:g} test images."]
    parts += [_of_reference(one, margin_of(selected.summary.margin)) for one in found]
    if found:
        parts.append("The models are compared on the test images that can be masked.")
    else:
        parts.append("Models without pixels were not computed.")
    return " ".join(parts)


def _of_reference(one: Compared, margin: str) -> str:
    signed = format_estimate(one.ahead, signed=True)
    return {
        "better": f"Better than the {one.name} model by {format_estimate(one.ahead)}.",
        "worse": f"The {one.name} model, without pixels, is better by "
        f"{format_estimate(flipped(one.ahead))}.",
        "no_difference": f"No difference above {margin} from the {one.name} model: {signed}.",
        "not_enough_data": f"Not enough data to tell whether it is better than the {one.name} "
        f"model: {signed}.",
        "not_computed": f"The difference from the {one.name} model was not computed.",
    }[one.outcome]


def _plot(selected: Selected) -> IntervalPlot | None:
    """Return the plot of macro AUC beside chance and the models without pixels.

    Macro AUC is that on the test images that can be masked, as that of the models without pixels.
    Without such models, it is that on all test images.
    """
    own, label = selected.row.metric("macro_auc"), "macro AUC"
    references = [
        (one.name.replace("_", " "), one.macro_auc.value)
        for one in selected.references
        if one.macro_auc.value is not None
    ]
    unmodified = selected.row.shortcuts.get(UNMODIFIED)
    if references and unmodified is not None:
        own, label = unmodified.macro_auc, "macro AUC on the test images that can be masked"
    if own is None or own.value is None:
        return None
    one, lines = mark(own, selected.kind, label), [("chance", CHANCE), *references]
    start, end = axis([one], 0.4, *(value for _, value in lines))
    return IntervalPlot(start, end, (one,), tuple(lines))
