"""Sentences about the Grad-CAM localisation of the selected setting, and about masking."""

from btxrd.artifacts.scores.localisation import Localisation, MapScore
from btxrd.report.sentences.finding import Finding, IntervalPlot, Verdict
from btxrd.report.sentences.selected import CHANCE, Selected, mark, not_assessed
from btxrd.report.sentences.wording import count, flipped, format_estimate, margin_of, percent

KEY = "localisation"
MOST = 0.5  # share of the tumours that an interval must exceed to show "in most tumours"


def find_localisation(selected: Selected) -> Finding:
    """Judge the share of the test tumours that have the Grad-CAM maximum on the lesion.

    An interval above both references shows localisation better than chance. The references are the
    chance level and the score of the maps of other images. An interval above one half shows it for
    most tumours.
    """
    found = selected.row.gradcam.get("all")
    if found is None:
        reason = "no test tumour has an outline"
        return not_assessed(KEY, "Not computed", f"Not computed: {reason}.", reason)
    peak, unusable = found.peak_inside, found.maps.empty + found.maps.saturated
    if unusable > found.maps.ok or peak.value is None or peak.low is None or peak.high is None:
        verb = "map is" if found.n == 1 else "maps are"
        reason = f"{unusable:g} of {found.n:g} {verb} {_kinds(found)}"
        return not_assessed(KEY, "Maps are unusable", f"Not assessed: {reason}.", reason)
    references = [
        (label, value)
        for label, value in (("others", peak.of_others), ("chance", peak.by_chance))
        if value is not None
    ]
    reference = max((value for _, value in references), default=0.0)
    verdict, short = _verdict(peak, reference)
    beside = f"{format_estimate(peak, as_percent=True, interval='')} of {found.maps.ok:g}"
    one = mark(peak, selected.kind, "maximum on the lesion")
    plot = IntervalPlot(0.0, 1.0, (one,), tuple(references), as_percent=True)
    return Finding(KEY, verdict, short, beside, _sentence(found, short), plot)


def _kinds(found: Localisation) -> str:
    """Return the adjective for the unusable maps: empty, saturated, or both."""
    if not found.maps.saturated:
        return "empty"
    return "empty or saturated" if found.maps.empty else "saturated"


def _verdict(peak: MapScore, reference: float) -> tuple[Verdict, str]:
    low, high = peak.low or 0, peak.high or 0
    if high <= reference:
        return "refuted", "Not above chance"
    if low <= reference:
        return "unclear", "Not shown to exceed chance"
    if low > MOST:
        return "supported", "In most tumours"
    return "partly", "Above chance, minority" if high < MOST else "Above chance, most not shown"


def _sentence(found: Localisation, short: str) -> str:
    peak, unusable = found.peak_inside, found.maps.empty + found.maps.saturated
    shown = format_estimate(peak, as_percent=True)
    levels = (
        [f"the chance level is {percent(peak.by_chance)}"] if peak.by_chance is not None else []
    )
    if peak.of_others is not None:
        levels.insert(0, f"maps of other images reach {percent(peak.of_others)}")
    start = {
        "In most tumours": "The Grad-CAM maximum is on the lesion in",
        "Above chance, minority": "Above chance, in a minority: the Grad-CAM maximum is on the "
        "lesion in",
        "Above chance, most not shown": "Above chance, but not shown for most: the Grad-CAM "
        "maximum is on the lesion in",
    }.get(short, f"{short}: the Grad-CAM maximum is on the lesion in")
    tumours = count(found.maps.ok, "test tumour")
    text = f"{start} {shown} of {'; '.join([tumours, ', '.join(levels)] if levels else [tumours])}."
    if unusable:
        verb = "map is" if unusable == 1 else "maps are"
        text += f" {unusable:g} of {found.n:g} {verb} {_kinds(found)} and excluded."
    return text


def of_masking(selected: Selected) -> list[str]:
    """Return the sentences on macro AUC with the lesion masked and with the border masked."""
    variants, margin = selected.row.shortcuts, selected.summary.margin
    texts = []
    if "lesion_masked" in variants:
        texts.append(_of_lesion(variants["lesion_masked"].macro_auc.low, selected))
    if "border_masked" in variants:
        texts.append(_of_border(selected, margin))
    return [text for text in texts if text]


def _of_lesion(low: float | None, selected: Selected) -> str:
    shown = format_estimate(selected.row.shortcuts["lesion_masked"].macro_auc)
    if low is None:
        return ""
    caveat = "Masking itself can change predictions."
    if low > CHANCE:
        return (
            f"With the lesion masked, macro AUC is still {shown}, so the model uses more than the "
            f"lesion. {caveat}"
        )
    return (
        f"With the lesion masked, macro AUC is {shown}, which is not shown to exceed chance. This "
        f"does not show that the model uses the lesion alone. {caveat}"
    )


def _of_border(selected: Selected, margin: float) -> str:
    change = selected.row.shortcuts["border_masked"].difference
    if change.value is None or change.low is None or change.high is None:
        return ""
    limit, signed = margin_of(margin), format_estimate(change, signed=True)
    if change.high < 0:
        lower = format_estimate(flipped(change)).partition(" ")
        small = f", by less than {limit}" if change.low >= -margin else ""
        return f"Macro AUC is {lower[0]} lower with the border masked {lower[2]}{small}."
    if change.low > 0:
        return f"Macro AUC is higher with the border masked: {signed}."
    if change.low >= -margin:
        return f"No drop above {limit} with the border masked: {signed}."
    return f"Not enough data to tell whether masking the border changes macro AUC: {signed}."
