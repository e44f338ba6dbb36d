"""The square charts: where a point is drawn, against the numbers of summary.json."""

import re
from itertools import accumulate

import numpy as np
import pandas as pd
import pytest
from sweeps import cases_of, edit_val, summary_in_memory, write_run, write_scored

from btxrd.html.charts.curves import charts_of
from btxrd.html.charts.run import learning_curves
from btxrd.html.charts.square import BOTTOM, LEFT, RIGHT, TOP, Frame, Scale, unit
from btxrd.html.sweep import _chance_levels, _first_pairs


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Five settings; the fifth is best on val."""
    folder = tmp_path_factory.mktemp("sweep")
    for place in range(5):
        run_dir = write_run(folder, f"m{place}", backbone=f"m{place}", noise=place,
                            skill=(0.5, 0.15 * place))  # fmt: skip
        edit_val(run_dir, 0.5 + 0.1 * place, 0.5)
    return summary_in_memory(folder)


@pytest.fixture(scope="module")
def charts(summary):
    return charts_of(summary, {"stratified": "Seen centers"})


def points(path):
    """Return the points of a path that is written in steps."""
    start, _, steps = path.partition("l")
    numbers = [int(text) for text in re.findall(r"-?\d+", start + " " + steps)]
    return list(accumulate(np.array(numbers).reshape(-1, 2)))


def line_of(chart, name):
    return next(line for line in chart.lines if line.name == name)


def chart_of(charts, key):
    return next(chart for chart in (*charts.focus, *charts.others) if chart.key == key)


def values_at(chart, drawn):
    """Return the values of drawn points, read from the axes of a chart."""
    x, y = np.array(drawn, float).T
    across, up = (x - LEFT) / (RIGHT - LEFT), (BOTTOM - y) / (BOTTOM - TOP)
    axes = chart.frame.x, chart.frame.y
    return [one.start + share * (one.end - one.start)
            for one, share in zip(axes, (across, up), strict=True)]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "curves"), [("roc-malignant-0", "roc"), ("pr-malignant-0", "precision_recall")]
)
def test_lines_have_the_values_of_summary_json(summary, charts, key, curves):
    found, chart = summary.curves[0], chart_of(charts, key)
    for curve in getattr(found.per_class["malignant"], curves):
        x, y = values_at(chart, points(line_of(chart, curve.setting).path))
        want = np.interp(x[1:], found.grid, curve.y)
        at_steps = np.abs(want - y[1:])
        assert np.median(at_steps) < 0.002
        assert (x[-1], y[-1]) == (pytest.approx(1), pytest.approx(curve.y[-1], abs=0.001))


def test_net_benefit_is_drawn_at_its_threshold(summary, charts):
    curve, chart = summary.curves[0].net_benefit[0], chart_of(charts, "decision-0")
    x, y = values_at(chart, points(line_of(chart, curve.setting).path))
    assert x[0] == pytest.approx(summary.curves[0].thresholds[0], abs=0.001)
    assert y[0] == pytest.approx(curve.y[0], abs=0.002)


def test_operating_point_is_drawn_at_its_sensitivity_and_specificity(summary, charts):
    chart = chart_of(charts, "roc-malignant-0")
    (dot,) = [dot for dot in chart.dots if dot.name == "m4"]
    (row,) = [row for row in summary.settings if row.setting == "m4"]
    point = row.clinical.operating_point.test
    (x,), (y,) = values_at(chart, [(dot.left, dot.top)])
    assert (1 - x, y) == (pytest.approx(point.specificity.value, abs=0.001),
                          pytest.approx(point.sensitivity.value, abs=0.001))  # fmt: skip


def test_selected_setting_is_drawn_last_and_the_fourth_is_grey(charts):
    chart = chart_of(charts, "roc-malignant-0")
    assert [line.style for line in chart.lines] == ["reference", "grey", "grey", "h3", "h2", "h1"]
    assert chart.lines[-1].name == "m4"
    assert (charts.grey, [name for _, name in charts.legend]) == (2, ["m4", "m3", "m2"])


def test_table_of_a_chart_has_every_curve(summary, charts):
    chart = chart_of(charts, "roc-malignant-0")
    head, first, *_ = chart.table.splitlines()
    assert head.split(",")[0] == "1 - specificity"
    assert {row.setting for row in summary.settings} <= set(head.split(","))
    assert len(first.split(",")) == len(head.split(","))


def test_bars_and_points_of_calibration_are_of_the_same_bins(summary, charts):
    chart = chart_of(charts, "calibration-0")
    curve = [one for one in summary.curves[0].calibration if one.setting == "m4"][-1]
    assert len(chart.bars) == len(chart.dots) == len(curve.predicted)
    x, y = values_at(chart, [(dot.left, dot.top) for dot in chart.dots])
    assert x == pytest.approx(curve.predicted, abs=0.001)
    assert y == pytest.approx(curve.observed, abs=0.001)


def test_training_loss_of_a_single_epoch_is_a_point():
    history = pd.DataFrame({"epoch": [1], "train_loss": [0.9], "val_loss": [0.8]})
    chart = learning_curves(history.assign(val_macro_auc=0.7))[0]
    assert [dot.style for dot in chart.dots] == ["raw", "h1"]
    assert chart.frame.x.ticks == (1.0,)


def test_line_ends_where_it_leaves_the_frame():
    frame = Frame(unit("x"), Scale("y", 0, 1, (0, 1)))
    path = frame.line((0, 0.2, 0.4, 0.6, 0.8), (0.5, -1, -1, -1, 0.5))
    assert path.count("M") == 2


def test_chart_of_a_class_without_test_cases_gives_the_reason(tmp_path):
    test = cases_of("stratified-test", 60, 0.3)
    write_scored(write_run(tmp_path, "run"), cases_of("stratified-val", 40, 0.5),
                 test.where(test.labels < 2))  # fmt: skip
    found = charts_of(summary_in_memory(tmp_path), {})
    assert chart_of(found, "roc-malignant-0").reason == "Not computed: no test image is malignant."


def test_pairs_of_the_winner_are_shown_first(tmp_path):
    for name, val in (("a", 0.3), ("b", 0.35), ("c", 0.6)):
        write_run(tmp_path, name, backbone=name, skill=(val, 0.3), noise=ord(name))
    pairs = _first_pairs(summary_in_memory(tmp_path))
    assert [("c" in pair.runs) for pair in pairs] == [True, True, False]


def test_accuracy_without_skill_is_the_share_of_the_most_frequent_class(tmp_path):
    test = cases_of("stratified-test", 60, 0.2)
    frequent = test.where((test.labels == 0) | (np.arange(60) < 20))
    write_scored(write_run(tmp_path, "run"), cases_of("stratified-val", 40, 0.5), frequent)
    levels = _chance_levels(summary_in_memory(tmp_path).settings)["run"]
    assert levels["accuracy"] == np.mean(frequent.labels == 0)
    assert (levels["macro_auc"], levels["balanced_accuracy"]) == (0.5, pytest.approx(1 / 3))
