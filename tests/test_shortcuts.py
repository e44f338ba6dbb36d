import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from btxrd.artifacts.scores.estimates import Estimate
from btxrd.evaluation.bootstrap import bootstrap_weights
from btxrd.evaluation.formulas import macro_auc
from btxrd.evaluation.shortcuts import score_shortcuts

LEARNS_A_LETTER = [
    "data.phantom.cases=320", "split=leave_one_center_out", "training.epochs=10",
    "training.lr=1e-3", "training.batch_size=16", "training.flip=false", "training.rotation=0",
]  # fmt: skip


@pytest.fixture
def guesses():
    draw = np.random.default_rng(0)
    labels, groups = draw.integers(3, size=90), draw.integers(40, size=90)
    return labels, groups, *draw.dirichlet(np.ones(3), (2, 90))


def test_metrics_of_a_variant_equal_those_of_scikit_learn(guesses):
    labels, groups, probs, other = guesses
    found = score_shortcuts(labels, probs, groups, {"other": other})["other"]
    whole, area = (roc_auc_score(labels, each, multi_class="ovr") for each in (probs, other))
    assert found.macro_auc.value == pytest.approx(area)
    assert found.difference.value == pytest.approx(area - whole)
    right = accuracy_score(labels, other.argmax(axis=1))
    assert found.accuracy.value == pytest.approx(right)
    for metric in (found.macro_auc, found.accuracy, found.difference):
        assert metric.low < metric.value < metric.high


def test_difference_is_resampled_on_the_same_cases(guesses):
    labels, groups, probs, _ = guesses
    found = score_shortcuts(labels, probs, groups, {"same": probs})["same"]
    assert found.difference == Estimate(0, 0, 0)


def test_intervals_of_a_variant_are_over_groups(guesses):
    """Detects intervals over cases."""
    labels, groups, probs, other = guesses
    found = score_shortcuts(labels, probs, groups, {"other": other})["other"]
    weights = bootstrap_weights(groups)
    area = macro_auc(labels, other, weights)
    for metric, values in (
        (found.macro_auc, area),
        (found.difference, area - macro_auc(labels, probs, weights)),
    ):
        ends = np.nanquantile(values, [0.025, 0.975])
        assert (metric.low, metric.high) == pytest.approx(tuple(ends))


@pytest.mark.slow
def test_letter_in_the_corner_is_found_and_a_clean_image_has_none(do_run, compose, tmp_path):
    found = {}  # of models that saw no identification plate, which only the test center has
    for kind in ("shortcut", "clean"):
        data = [f"data.root={tmp_path / kind}", f"data.phantom.kind={kind}"]
        run = do_run(compose(*LEARNS_A_LETTER, *data, f"data.cache={tmp_path / 'cache'}"))
        found[kind] = json.loads((run.run_dir / "metrics.json").read_text())
    assert found["shortcut"]["test"]["macro_auc"]["value"] > 0.9
    variants = found["shortcut"]["shortcuts"]
    assert variants["border_masked"]["difference"]["high"] < 0
    assert variants["lesion_masked"]["macro_auc"]["low"] > 0.5
    clean = found["clean"]["shortcuts"]["border_masked"]["difference"]
    assert clean["high"] >= 0
    assert clean["value"] > -0.1
