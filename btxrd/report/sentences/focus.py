"""Sentences about the operating point and the calibration of the selected setting."""

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.scores.clinical import Clinical, OperatingPoint
from btxrd.artifacts.scores.estimates import Count, Estimate
from btxrd.evaluation.calibration import (
    PointVerdict,
    judged,
    loses_focus,
    of_missed,
    of_unusable,
    share,
)
from btxrd.evaluation.selection import is_at_bound
from btxrd.report.sentences.finding import Finding, IntervalPlot, Verdict
from btxrd.report.sentences.selected import Selected, axis, kind_of, mark, not_assessed
from btxrd.report.sentences.wording import count, format_estimate, percent

KEY = "focus"
CALIBRATION = "calibration"
FEWEST = 50  # validation images; a temperature that was fitted on fewer is not judged
CLOSE = 0.05  # ECE that an interval must not exceed if the probabilities are called calibrated


def find_focus(selected: Selected) -> Finding:
    """Judge the operating point of the selected setting; see `of_point`."""
    return of_point(selected.row)


def of_point(row: SettingRow) -> Finding:
    """Judge the sensitivity on test at the threshold that was chosen on val."""
    point = row.clinical.operating_point if row.clinical else None
    if point is None:
        reason = f"no validation image is {row.focus}"
        if row.clinical is None:
            reason = "validation and test are the same images"
        return not_assessed(KEY, "Not computed", f"Not computed: {reason}.", reason)
    outcome = judged(point)
    if outcome == "not_known":
        reason = f"no test image is {row.focus}"
        return not_assessed(KEY, "Not computed", f"Not computed: {reason}.", reason)
    missed = _missed(row)
    verdict, short = _verdict(outcome, point, row)
    found, asked = point.test.sensitivity, point.val_sensitivity_asked
    beside = f"{share(found, against=asked)}{_of(row)}"
    if point.test.specificity.value is not None:
        beside += f", specificity {percent(point.test.specificity.value)}"
    one = mark(found, kind_of(row), "sensitivity")
    target = (f"target {percent(asked)}", asked)
    plot = IntervalPlot(0.0, 1.0, (one,), (target,), as_percent=True)
    sentence = " ".join(part for part in (_sentence(outcome, point, row), missed) if part)
    return Finding(KEY, verdict, short, beside, sentence, plot)


def _of(row: SettingRow) -> str:
    """Return " of N", where N is the number of test cases of the focus class."""
    found = row.per_class.get(row.focus)
    return "" if found is None else f" of {found.support:g}"


def _verdict(outcome: PointVerdict, point: OperatingPoint, row: SettingRow) -> tuple[Verdict, str]:
    target = percent(point.val_sensitivity_asked)
    rate = _rate(row)
    if outcome == "reached" and rate is not None and loses_focus(rate, point):
        return "partly", f"{percent(rate.value or 0)} predicted {row.background}"
    verdicts: dict[PointVerdict, tuple[Verdict, str]] = {
        "unusable": ("refuted", "Unusable threshold"),
        "below": ("refuted", f"Below {target}"),
        "not_shown": ("partly", f"{target} not shown"),
        "reached": ("supported", f"At least {target}"),
    }
    return verdicts[outcome]


def _sentence(outcome: PointVerdict, point: OperatingPoint, row: SettingRow) -> str:
    asked, test = point.val_sensitivity_asked, point.test
    shown = share(test.sensitivity, against=asked, interval="95% CI ")
    specificity = share(test.specificity, interval="95% CI ")
    target = percent(asked)
    if outcome == "unusable":
        return of_unusable(point, row.focus)
    ending = {
        "reached": "",
        "not_shown": f" A sensitivity of {target} is not shown.",
        "below": f" The sensitivity is below {target}.",
    }[outcome]
    return (
        f"The model finds {shown}{_of(row)} {row.focus} test images, with a specificity of "
        f"{specificity}, at the threshold chosen to find {target} on validation.{ending}"
    )


def _rate(row: SettingRow) -> Estimate | None:
    """Return the share of the focus class that is predicted as background; None if undefined."""
    found = row.metric(f"{row.focus}_predicted_{row.background}")
    return None if found is None or found.value is None else found


def _missed(row: SettingRow) -> str:
    """Return a sentence on the cases of the focus class that are predicted as background."""
    rate, support = _rate(row), row.per_class.get(row.focus)
    if rate is None or support is None:
        return ""
    return of_missed(rate, support.support, row.class_names)


def find_calibration(selected: Selected) -> Finding:
    """Judge the calibration error and the slope of the probabilities after temperature scaling."""
    row, clinical = selected.row, selected.row.clinical
    if clinical is None:
        reason = "validation and test are the same images"
        return not_assessed(CALIBRATION, "Not computed", f"Not computed: {reason}.", reason)
    ece, slope = clinical.calibration.after.ece, row.calibration_slope
    if ece.value is None:
        return not_assessed(CALIBRATION, "Not computed", "Not computed: ECE is undefined.")
    verdict, short = _usable(clinical, slope, row.n_val)
    beside = f"ECE {format_estimate(ece, interval='')}"
    if slope.value is not None:
        beside += f", slope {slope.value:.2f}"
    one = mark(ece, selected.kind, "ECE")
    start, end = axis([one], 0.0, 0.2, step=0.1)
    plot = IntervalPlot(max(start, 0.0), end, (one,), ((f"{CLOSE:g}", CLOSE),))
    sentence = _of_calibration(clinical, slope)
    if _is_small(row.n_val):
        images = count(row.n_val or 0, "image")
        sentence += f" The temperature was fitted on {images}, fewer than {FEWEST}."
    return Finding(CALIBRATION, verdict, short, beside, sentence, plot)


def _is_small(n_val: Count | None) -> bool:
    return n_val is not None and n_val < FEWEST


def _usable(clinical: Clinical, slope: Estimate, n_val: Count | None) -> tuple[Verdict, str]:
    ece = clinical.calibration.after.ece
    if is_at_bound(clinical.temperature):
        return "unclear", "Temperature at its bound"
    if _is_small(n_val):
        return "unclear", "Few validation images"
    if slope.high is not None and slope.high < 1:
        return "refuted", "Too confident"
    if slope.low is not None and slope.low > 1:
        return "refuted", "Not confident enough"
    if ece.low is None or ece.high is None:
        return "unclear", "Not enough data"
    if ece.low > CLOSE:
        return "refuted", f"Error above {CLOSE:g}"
    if ece.high <= CLOSE:
        return "supported", f"Error at most {CLOSE:g}"
    return "partly", f"Error below {CLOSE:g} not shown"


def _of_calibration(clinical: Clinical, slope: Estimate) -> str:
    ece = format_estimate(clinical.calibration.after.ece)
    if is_at_bound(clinical.temperature):
        return (
            "The temperature is at the bound of its range, so it cannot be interpreted. ECE is "
            f"{ece} after temperature scaling."
        )
    if slope.value is None:
        return f"ECE is {ece} after temperature scaling."
    shown = f"{slope.value:.2f}"
    if slope.low is not None and slope.high is not None:
        shown += f" (95% CI {slope.low:.2f} to {slope.high:.2f})"
    if slope.high is not None and slope.high < 1:
        return f"Too confident: the slope is {shown}. ECE is {ece} after temperature scaling."
    if slope.low is not None and slope.low > 1:
        return (
            f"Not confident enough: the slope is {shown}. ECE is {ece} after temperature scaling."
        )
    return f"ECE is {ece} after temperature scaling, and the slope is {shown}."
