import json

import pytest

from benchmarks.__main__ import _line, _write
from benchmarks.images import full_size
from benchmarks.measure import Row, in_turn
from btxrd.data.inspection import inspect


def row(ratio, target):
    return Row("a", 1.0, "s", "b", 2.0, ratio, target)


@pytest.mark.parametrize(
    ("ratio", "target", "is_met"),
    [(1.3, "<= 1.3", True), (1.31, "<= 1.3", False), (0.94, ">= 0.95", False), (1, "", None)],
)
def test_a_target_is_met_or_missed(ratio, target, is_met):
    assert row(ratio, target).is_met is is_met
    assert ("missed" in _line(row(ratio, target))) == (is_met is False)


def test_ratio_is_the_median_over_alternate_measurements():
    ours, theirs = iter([9.0, 2.0, 30.0, 4.0]), iter([9.0, 1.0, 10.0, 8.0])
    found = in_turn(
        "x", "s", lambda: next(ours), "y", lambda: next(theirs), turns=3, doubled=lambda: 6.0
    )
    assert (found.ours, found.theirs) == (4.0, 8.0)
    assert found.ratio == 2.0  # of 2, 3 and 0.5; the first pair is a warm-up
    assert found.doubled == 1.5


def test_the_table_is_written_with_machine_and_versions(tmp_path):
    _write(tmp_path, [row(0.5, "<= 0.8"), row(2, "<= 0.8")])
    table = json.loads((tmp_path / "table.json").read_text())
    assert [found["is_met"] for found in table["rows"]] == [True, False]
    assert {"device", "cores", "packages"} <= table["machine"].keys()
    text = (tmp_path / "table.md").read_text()
    assert "torch 2" in text
    assert "**missed**" in text


@pytest.mark.slow
def test_full_size_images_form_a_data_set_with_the_sizes_of_btxrd(tmp_path):
    found = inspect(full_size(tmp_path / "images", 60), tmp_path / "cache", strict=True)
    widths = [info.width for info in found.survey.infos]
    assert 1400 < sum(widths) / len(widths) < 1850
    assert max(info.height for info in found.survey.infos) > 2500
    assert len(found.outlines) == (found.cases["label"] > 0).sum()
