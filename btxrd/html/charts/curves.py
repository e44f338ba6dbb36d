"""The square charts of the pages, from the curves of summary.json."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.curves import ClassCurves, Curve, CurveSet, Points
from btxrd.artifacts.summary import Summary
from btxrd.html.charts.calibration import calibration_chart
from btxrd.html.charts.square import Chart, Dot, Drawn, Frame, Scale, table_of, unit

GREY, MOST_GREY = "grey", 20  # style of further settings, and how many of them are drawn
COLOURS = 4  # of the palette for settings; further settings are grey
THRESHOLD_TICKS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class Charts:
    """The charts of a page.

    Attributes:
        legend: Style and name of each setting in colour.
        grey: Number of further settings that are drawn, in grey: those that are best on val.
        undrawn: Number of settings that are not drawn.
        focus: Charts of the focus class.
        others: Charts of the other classes.
    """

    legend: tuple[tuple[str, str], ...]
    grey: int
    undrawn: int
    focus: tuple[Chart, ...]
    others: tuple[Chart, ...] = field(default=())


def charts_of(summary: Summary, titles: dict[str, str]) -> Charts:
    """Return the charts of the curves of a summary.

    Args:
        summary: Content of summary.json.
        titles: Label of each split on the page, by its title.
    """
    names = list(dict.fromkeys(name for one in summary.curves for name in one.highlighted))
    styles = {name: f"h{place}" for place, name in enumerate(names[:COLOURS], 1)}
    further = len({row.setting for row in summary.settings} - set(styles))
    of_sets = [
        _Drawing(one, number, _title(titles.get(one.split, one.split)), styles, summary)
        for number, one in enumerate(summary.curves)
    ]
    return Charts(
        legend=tuple((style, name) for name, style in styles.items()),
        grey=min(further, MOST_GREY),
        undrawn=max(further - MOST_GREY, 0),
        focus=(
            *(drawing.roc(drawing.curves.focus) for drawing in of_sets),
            *(drawing.precision_recall(drawing.curves.focus) for drawing in of_sets),
            *(chart for drawing in of_sets for chart in drawing.calibration()),
            *(drawing.decision() for drawing in of_sets),
        ),
        others=tuple(
            chart
            for drawing in of_sets
            for name in drawing.curves.per_class
            if name != drawing.curves.focus
            for chart in (drawing.roc(name), drawing.precision_recall(name))
        ),
    )


def _title(split: str) -> str:
    """Return the label of a split for the middle of a title, with a small first letter."""
    return split[0].lower() + split[1:]


@dataclass(frozen=True)
class _Drawing:
    """Draws the charts of one test set.

    Attributes:
        curves: Curves of the settings on the test set.
        number: Number of the test set, for the keys of the charts.
        title: Label of the split, as part of a title.
        styles: Style of each setting in colour, by its name.
        summary: Content of summary.json.
    """

    curves: CurveSet
    number: int
    title: str
    styles: dict[str, str]
    summary: Summary

    def roc(self, name: str) -> Chart:
        """Return the chart of the ROC curves of a class; with operating points for the focus."""
        of_class = self.curves.per_class[name]
        frame = Frame(unit("1 \N{MINUS SIGN} specificity"), unit("sensitivity"))
        note = f"{name} against the others. The numbers are AUC."
        if name == self.curves.focus:
            note += " Dots: operating points. Bands: pointwise 95% CI."
        return Chart(
            f"roc-{name}-{self.number}",
            f"ROC, {self.title}",
            note,
            frame,
            (
                Drawn("", "reference", frame.line((0, 1), (0, 1))),
                *self._lines(frame, self.curves.grid, self._shown(name, of_class.roc), is_roc=True),
            ),
            dots=self._operating_points(frame) if name == self.curves.focus else (),
            values=self._areas(name),
            table=table_of("1 - specificity", self.curves.grid, self._shown(name, of_class.roc)),
            reason=self._reason(name, of_class),
        )

    def precision_recall(self, name: str) -> Chart:
        """Return the chart of precision over sensitivity for a class."""
        of_class = self.curves.per_class[name]
        frame = Frame(unit("recall (sensitivity)"), unit("precision (PPV)"))
        prevalence = of_class.prevalence
        return Chart(
            f"pr-{name}-{self.number}",
            f"Precision and recall, {self.title}",
            f"{name} against the others. Dashed: prevalence in the test set, {prevalence:.0%}.",
            frame,
            (
                Drawn("", "reference", frame.line((0, 1), (prevalence, prevalence))),
                *self._lines(frame, self.curves.grid, self._shown(name, of_class.precision_recall)),
            ),
            table=table_of(
                "recall", self.curves.grid, self._shown(name, of_class.precision_recall)
            ),
            reason=self._reason(name, of_class),
        )

    def calibration(self) -> list[Chart]:
        """Return the calibration chart of the selected setting, or of the first one in colour."""
        name = self._selected()
        if name is None:
            return []
        style = self.styles.get(name, GREY)
        key, title = f"calibration-{self.number}", f"Calibration, {self.title}"
        return [calibration_chart(self.curves, self._row(name), name, style, key=key, title=title)]

    def decision(self) -> Chart:
        """Return the chart of net benefit over the threshold probability."""
        curves, prevalence = self.curves, self.curves.per_class[self.curves.focus].prevalence
        highest = max([prevalence, *(max(one.high or one.y) for one in curves.net_benefit)])
        step = next(one for one in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if highest <= 6 * one)
        ticks = tuple(
            round(step * place, 2) for place in range(-1, math.ceil(highest / step - 1e-9) + 1)
        )
        frame = Frame(
            Scale("threshold probability", 0.0, 0.6, THRESHOLD_TICKS, as_percent=True),
            Scale("net benefit", ticks[0], ticks[-1], ticks),
        )
        return Chart(
            f"decision-{self.number}",
            f"Decision curve, {self.title}",
            f"Net benefit of referring images as {curves.focus}. Grey: refer all. Dashed: refer "
            "none.",
            frame,
            (
                Drawn("", "reference", frame.line((0, 0.6), (0, 0))),
                Drawn("", "all", frame.line(curves.thresholds, curves.refer_all)),
                *self._lines(
                    frame, curves.thresholds, self._shown(self.curves.focus, curves.net_benefit)
                ),
            ),
            table=table_of(
                "threshold", curves.thresholds, self._shown(curves.focus, curves.net_benefit)
            ),
            reason=self._reason(curves.focus, curves.per_class[curves.focus]),
        )

    def _shown(self, name: str, curves: Sequence[Curve]) -> Sequence[Curve]:
        """Return the curves to draw: those in colour, and for the focus class also grey ones."""
        in_colour = [curve for curve in curves if curve.setting in self.styles]
        if name != self.curves.focus:
            return in_colour
        return in_colour + [one for one in curves if one not in in_colour][:MOST_GREY]

    def _lines(
        self, frame: Frame, grid: Points, curves: Sequence[Curve], *, is_roc: bool = False
    ) -> list[Drawn]:
        """Return the lines of curves: the grey ones first, the first setting in colour last."""
        drawn = []
        for curve in curves:
            style = self.styles.get(curve.setting, GREY)
            before = [0.0] if is_roc else []
            path = frame.line([*before, *grid], [*before, *curve.y])
            has_band = curve.low is not None and curve.high is not None
            band = frame.band(grid, curve.low or (), curve.high or ()) if has_band else ""
            drawn.append(Drawn(curve.setting, style, path, band))
        return sorted(drawn, key=lambda one: one.style.replace(GREY, "z"), reverse=True)

    def _operating_points(self, frame: Frame) -> tuple[Dot, ...]:
        dots = []
        for name, style in self.styles.items():
            row = self._row(name)
            point = row.clinical.operating_point if row and row.clinical else None
            if point is None:
                continue
            sensitivity, specificity = point.test.sensitivity.value, point.test.specificity.value
            if sensitivity is not None and specificity is not None:
                label = f"{name}: sensitivity {sensitivity:.0%}, specificity {specificity:.0%}"
                at = frame.left(1 - specificity), frame.top(sensitivity)
                dots.append(Dot(name, style, *at, label))
        return tuple(dots)

    def _areas(self, name: str) -> tuple[tuple[str, str], ...]:
        found = []
        for setting, style in self.styles.items():
            row = self._row(setting)
            area = row.per_class[name].values.get("auc") if row else None
            if area is not None and area.value is not None:
                found.append((style, f"{area.value:.3f}"))
        return tuple(found)

    def _selected(self) -> str | None:
        """Return the selected setting, otherwise the first one in colour; None without any."""
        shown = self.curves.highlighted
        selected = [
            winner.setting
            for winner in self.summary.winners
            if winner.split_hash == self.curves.split_hash and winner.setting in shown
        ]
        return next(iter((*selected, *shown)), None)

    def _row(self, name: str) -> SettingRow | None:
        of_split = (self.curves.split, self.curves.split_hash)
        return next(
            (
                row
                for row in self.summary.settings
                if row.setting == name and (row.split, row.split_hash) == of_split
            ),
            None,
        )

    def _reason(self, name: str, of_class: ClassCurves) -> str:
        if of_class.roc:
            return ""
        return f"Not computed: {'every' if of_class.prevalence else 'no'} test image is {name}."
