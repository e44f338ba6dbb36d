"""The generalisation gap: which settings, centers and cases it uses."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sweeps import cases_of, config_of, summary_in_memory, write_run, write_scored

from btxrd.artifacts.config import write_config
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.report.comparison_sets import SeedVariance

SEEN = cases_of("stratified-test", 60, 0.3)
VAL = cases_of("stratified-val", 40, 0.5)


def area(cases):
    return roc_auc_score(cases.labels, cases.probs, multi_class="ovr")


def accuracy(cases):
    return accuracy_score(cases.labels, cases.probs.argmax(1))


def balanced(cases):
    return balanced_accuracy_score(cases.labels, cases.probs.argmax(1))


def gaps_between(folder, seen, unseen, split="center", **config):
    """The gaps of a setting that predicts `seen` on stratified, and `unseen` on another split."""
    write_scored(write_run(folder, "split=stratified"), VAL, seen)
    run_dir = write_run(folder, f"split={split}", split=split)
    write_config(run_dir, config_of(split, **{"centers": (2, 3), **config}), {"experiment": "E9"})
    write_scored(run_dir, VAL, unseen)
    return summary_in_memory(folder).generalisation_gap


def unseen(power=0.1, n=90, centers=(2, 3)):
    return cases_of("center-test", n, power, noise=3, centers=centers)


def test_gap_is_seen_minus_unseen(tmp_path):
    (gap,) = gaps_between(tmp_path, SEEN, unseen())
    for metric, compute in (("macro_auc", area), ("accuracy", accuracy)):
        found = gap.metrics[metric]
        assert found.gap.value == pytest.approx(compute(SEEN) - compute(unseen()))
        assert found.gap.low < found.gap.value < found.gap.high
        assert (found.seen, found.unseen) == pytest.approx((compute(SEEN), compute(unseen())))


def test_gap_of_settings_that_differ_otherwise_is_not_computed(tmp_path):
    assert gaps_between(tmp_path, SEEN, unseen(), backbone="other") == ()


def test_gap_needs_equal_groups(tmp_path):
    """Detects a gap between a split by groups and one that splits groups."""
    assert gaps_between(tmp_path, SEEN, unseen(), groups="none") == ()


def test_gap_needs_equal_seeds_of_the_split(tmp_path):
    write_scored(write_run(tmp_path, "split=stratified"), VAL, SEEN)
    run_dir = write_run(tmp_path, "split=center", split="center")
    config = config_of("center")
    write_config(run_dir, replace(config, split=replace(config.split, seed=1)), {})
    assert summary_in_memory(tmp_path).generalisation_gap == ()


@pytest.mark.parametrize(
    ("split", "gaps"), [("center", 1), ("leave_one_center_out", 1), ("kfold", 0), ("random", 0)]
)
def test_gap_is_to_splits_that_hold_centers_out(tmp_path, split, gaps):
    """Detects a gap to folds, and to a split whose val is test."""
    found = gaps_between(tmp_path, SEEN, unseen(centers=(1,)), split)
    assert [gap.split for gap in found] == ([found[0].split] if gaps else [])


def test_only_held_out_centers_are_unseen(tmp_path):
    """Detects a gap over all test cases: held-out groups may have cases of other centers."""
    mixed = unseen(centers=(1, 2, 3))
    (gap,) = gaps_between(tmp_path, SEEN, mixed)
    held_out = mixed.where(mixed.centers > 1)
    assert 0 < len(held_out.labels) < len(mixed.labels)
    assert gap.metrics["macro_auc"].unseen == pytest.approx(area(held_out))
    assert gap.metrics["accuracy"].unseen == pytest.approx(accuracy(held_out))


def test_left_out_center_alone_is_unseen(tmp_path):
    mixed = unseen(centers=(1, 2, 3))
    (gap,) = gaps_between(tmp_path, SEEN, mixed, "leave_one_center_out")
    assert gap.metrics["accuracy"].unseen == pytest.approx(
        accuracy(mixed.where(mixed.centers == 1))
    )


def test_groups_that_are_tested_in_both_are_resampled_together(tmp_path):
    """Detects independent resamples of the two sides: equal cases have no gap in any of them."""
    same = replace(SEEN, centers=np.full(60, 2))
    (gap,) = gaps_between(tmp_path, SEEN, same)
    assert gap.metrics["macro_auc"].gap == gap.metrics["accuracy"].gap == Estimate(0, 0, 0)


def test_interval_of_a_gap_is_over_groups(tmp_path):
    """Detects a gap whose resamples are over cases."""
    copies = {
        number: gaps_between(
            tmp_path / str(number),
            cases_of("stratified-test", 60, 0.3, copies=number),
            cases_of("center-test", 90, 0.1, noise=3, centers=(2, 3), copies=number),
        )[0].metrics["accuracy"]
        for number in (1, 3)
    }
    assert copies[3].gap.low == pytest.approx(copies[1].gap.low)
    assert copies[3].gap.high == pytest.approx(copies[1].gap.high)


def test_class_balanced_gap_has_equal_class_weights_on_both_sides(tmp_path):
    everything = unseen()
    rare = everything.where((everything.labels != 2) | (np.arange(90) % 2 == 0))
    (gap,) = gaps_between(tmp_path, SEEN, rare)
    found, even = gap.metrics["accuracy"], balanced(SEEN) - balanced(rare)
    assert found.class_balanced_gap.value == pytest.approx(even)
    assert found.prior_shift.value == pytest.approx(found.gap.value - even)
    assert abs(found.prior_shift.value) > 0.001


def test_seeds_of_both_sides_widen_a_gap(tmp_path):
    """Detects a gap without the variance of seeds, on either side."""
    widths = {}
    for several in ("none", "stratified", "center"):
        folder = tmp_path / several
        for split in ("stratified", "center"):
            for seed in (0, 1) if split == several else (0,):
                write_run(folder, f"split={split},seed={seed}", split=split, seed=seed,
                          skill=(0.5, 0.2 + 0.2 * seed))  # fmt: skip
        (gap,) = summary_in_memory(folder).generalisation_gap
        found = gap.metrics["accuracy"].gap
        widths[several] = found.high - found.low
    assert widths["stratified"] > 1.5 * widths["none"]
    assert widths["center"] > 1.5 * widths["none"]


def test_the_two_sides_of_a_gap_draw_independent_noise(tmp_path, monkeypatch):
    """Detects noise that both sides share, which would count twice."""
    streams = []
    plain = SeedVariance.noise

    def noise(self, count, *settings, stream=0):
        streams.append((settings[0].split, stream))
        return plain(self, count, *settings, stream=stream)

    gaps_between(tmp_path, SEEN, unseen())
    monkeypatch.setattr(SeedVariance, "noise", noise)
    summary_in_memory(tmp_path)
    of_gap = [of for of in streams if of[1] > 0]
    assert {split for split, _ in of_gap} == {"center"}
    two_seeds, variance = SimpleNamespace(runs=(1, 2)), SeedVariance(0.1, 3)
    assert (plain(variance, 5, two_seeds) != plain(variance, 5, two_seeds, stream=1)).any()
