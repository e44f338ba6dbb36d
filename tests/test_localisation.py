import numpy as np
import pandas as pd
import pytest

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.scores.localisation import MapCounts, MapScore
from btxrd.evaluation.bootstrap import bootstrap_weights
from btxrd.evaluation.localisation import summarize_localisation

NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
TABLE = pd.DataFrame(
    {
        "label": ["benign", "benign", "malignant"],
        "predicted": ["benign", "normal", "malignant"],
        "center": [1, 1, 2], "group": ["a", "b", "c"], "map": ["ok", "empty", "ok"],
        "lesion_share": [0.1, 0.7, 0.2], "iou_by_chance": [0.05, 0.5, 0.07],
        "peak_inside": [1, None, 0], "energy_inside": [0.8, None, 0.2], "iou": [0.5, None, 0.1],
        "peak_inside_of_others": [0.2, 0.9, 0.4], "energy_inside_of_others": [0.1, 0.9, 0.2],
        "iou_of_others": [0.3, 0.9, 0.5],
    }
)  # fmt: skip


def test_maps_are_summarised_by_class_center_and_outcome():
    found = summarize_localisation(TABLE, NAMES)
    subsets = {name: one.n for name, one in found.items() if not name.startswith("lesion ")}
    assert subsets == {"all": 3, "right": 2, "wrong": 1, "benign": 2, "malignant": 1,
                       "center 1": 2, "center 2": 1}  # fmt: skip


def test_lesions_are_summarised_by_their_size():
    table = TABLE.assign(lesion_share=[0.009, 0.01, 0.05])
    found = summarize_localisation(table, NAMES)
    sizes = {name: one.n for name, one in found.items() if name.startswith("lesion ")}
    assert sizes == {"lesion under 1%": 1, "lesion 1% to 5%": 1, "lesion over 5%": 1}


def test_scores_are_of_the_usable_maps():
    found = summarize_localisation(TABLE, NAMES)
    assert found["all"].maps == MapCounts(ok=2, empty=1, saturated=0)
    assert found["all"].peak_inside.value == 0.5
    assert found["benign"].energy_inside.value == pytest.approx(0.8)
    assert found["wrong"].peak_inside == MapScore(None, None, None, None, None)


def test_unusable_maps_are_not_scored():
    """Detects chance levels or mismatched-map baselines over all rows, or from other columns."""
    found = summarize_localisation(TABLE, NAMES)["all"]
    scores = (found.peak_inside, found.energy_inside, found.iou)
    assert [score.value for score in scores] == pytest.approx([0.5, 0.5, 0.3])
    assert [score.by_chance for score in scores] == pytest.approx([0.15, 0.15, 0.06])
    assert [score.of_others for score in scores] == pytest.approx([0.3, 0.15, 0.4])


def test_subsets_are_of_the_classes_with_a_lesion():
    names = ClassNames(NAMES.names, "malignant", None)
    table = TABLE.assign(label=["normal", "benign", "malignant"])
    assert list(summarize_localisation(table, names))[3:6] == list(NAMES.names)
    assert list(summarize_localisation(table, NAMES))[3:5] == ["benign", "malignant"]


def test_intervals_are_over_groups():
    """Detects intervals over cases, or other resamples in a subset than in the whole."""
    draw = np.random.default_rng(0)
    rows = TABLE.iloc[np.zeros(60, int)].reset_index(drop=True)
    groups, energy = np.arange(60) // 4, draw.random(60)
    centers = np.arange(60) // 2 % 2
    rows = rows.assign(group=groups, energy_inside=energy, center=centers)
    weights = bootstrap_weights(groups.astype(str))
    found = summarize_localisation(rows, NAMES)
    for name, here in (("all", centers >= 0), ("center 1", centers == 1)):
        resampled = weights[:, here] @ energy[here] / weights[:, here].sum(axis=1)
        ends = tuple(np.nanquantile(resampled, [0.025, 0.975]))
        assert (found[name].energy_inside.low, found[name].energy_inside.high) == (
            pytest.approx(ends)
        )


def test_a_run_without_tumours_has_no_summary():
    assert summarize_localisation(TABLE.iloc[:0], NAMES) == {}
