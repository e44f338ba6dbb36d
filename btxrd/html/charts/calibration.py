"""The calibration of the focus class of one setting, as a square chart."""

import math

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.curves import CalibrationCurve, CurveSet
from btxrd.html.charts.square import Bar, Chart, Dot, Drawn, Frame, csv_of, unit

HEAD = ["setting", "temperature-scaled", "predicted", "observed", "low", "high", "n"]
TALLEST = 60  # height of the highest bar, in units of the picture


def calibration_chart(
    curves: CurveSet, row: SettingRow | None, name: str, style: str, *, key: str, title: str
) -> Chart:
    """Return the calibration chart of a setting: observed over predicted share of the focus class.

    Args:
        curves: Curves of a test set.
        row: Metrics of the setting; None if they are not known.
        name: Name of the setting, which is one of those in colour.
        style: Style of its line.
        key: Key of the chart.
        title: Title of the chart.
    """
    found = [one for one in curves.calibration if one.setting == name]
    *before, shown = found
    frame = Frame(unit("predicted probability"), unit("observed share"))
    scaled = "after temperature scaling (dashed grey: before)" if before else "raw probabilities"
    most = max(shown.count)
    return Chart(
        key,
        title,
        f"Probability of {curves.focus} by {name}, {scaled}. Bars: number of images. ECE is that "
        "of the most probable class.",
        frame,
        (
            Drawn("", "reference", frame.line((0, 1), (0, 1))),
            *(Drawn("", "raw", frame.line(one.predicted, one.observed)) for one in before),
            Drawn(
                name,
                style,
                frame.line(shown.predicted, shown.observed),
                frame.band(shown.predicted, shown.low, shown.high),
            ),
        ),
        dots=tuple(
            Dot(name, style, frame.left(x), frame.top(y), f"{count:g} images")
            for x, y, count in zip(shown.predicted, shown.observed, shown.count, strict=True)
        ),
        bars=tuple(
            Bar(frame.left(x) - 12, 24, max(math.ceil(TALLEST * count / most), 2), f"{count:g}")
            for x, count in zip(shown.predicted, shown.count, strict=True)
        ),
        values=_errors(row, style),
        table=csv_of(HEAD, [cells for one in curves.calibration for cells in _cells(one)]),
    )


def _errors(row: SettingRow | None, style: str) -> tuple[tuple[str, str], ...]:
    if row is None or row.clinical is None:
        return ()
    change = row.clinical.calibration
    before, after = change.before.ece.value, change.after.ece.value
    if before is None or after is None:
        return ()
    return (("raw", f"ECE {before:.3f} before"), (style, f"{after:.3f} after"))


def _cells(one: CalibrationCurve) -> list[list[object]]:
    values = zip(one.predicted, one.observed, one.low, one.high, one.count, strict=True)
    return [[one.setting, one.is_scaled, *numbers] for numbers in values]
