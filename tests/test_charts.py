"""The curves of the report: which settings, cases and epochs they show."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import auc
from sweeps import cases_of, edit_val, summary_in_memory, write_run, write_scored

from btxrd.artifacts.tables import HISTORY, read_table, write_table
from btxrd.html import charts
from btxrd.html.sweep import _chance_levels, _first_pairs
from btxrd.report.runs import read_runs
from btxrd.report.settings import settings_of


@pytest.fixture
def axes():
    return Figure().subplots()


def test_mark_is_at_the_epoch_with_the_lowest_val_loss(tmp_path, axes):
    """Kills a mark at the last epoch, or at the highest macro AUC."""
    run_dir = write_run(tmp_path, "run")
    rows = read_table(run_dir, HISTORY).iloc[[0, 0, 0, 0]].copy()
    rows["epoch"], rows["val_loss"] = [1, 2, 3, 4], [3.0, 1.0, 2.0, 2.0]
    rows["val_macro_auc"] = [0.5, 0.6, 0.9, 0.7]
    write_table(run_dir, HISTORY, rows)
    charts._history(axes, settings_of(read_runs(tmp_path)))
    curve, mark = axes.lines
    assert curve.get_ydata().tolist() == [0.5, 0.6, 0.9, 0.7]
    assert (mark.get_xdata().tolist(), mark.get_ydata().tolist()) == ([2], [0.6])


def test_roc_curve_is_of_the_test_cases_of_one_class(tmp_path, axes):
    """Kills the ROC curve of another class."""
    test = cases_of("stratified-test", 60, 0.2)
    write_scored(write_run(tmp_path, "run"), cases_of("stratified-val", 40, 0.5), test)
    charts._roc(axes, settings_of(read_runs(tmp_path)), label=1)
    _, curve = axes.lines
    area = auc(curve.get_xdata(), curve.get_ydata())
    truth, score = test.labels == 1, test.probs[:, 1]
    assert area == pytest.approx(np.mean(score[truth][:, None] > score[~truth]))


def test_curves_are_of_the_settings_that_are_best_on_val(tmp_path, monkeypatch):
    """Kills the best on test, and the first ones."""
    for place in range(3):
        run_dir = write_run(tmp_path, f"m{place}", backbone=f"m{place}",
                            skill=(0.5, 0.9 - 0.3 * place))  # fmt: skip
        edit_val(run_dir, 0.5 + 0.1 * place, 0.5)
    drawn = []
    monkeypatch.setattr(charts, "_draw", lambda part: drawn.append(part.keywords["settings"]))
    monkeypatch.setattr(charts, "MOST", 2)
    charts.charts(settings_of(read_runs(tmp_path)))
    assert [[one.name for one in settings] for settings in drawn] == [["m2", "m1"]] * 5


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
