import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from btxrd.data.batches import Normalisation
from btxrd.errors import InputError
from btxrd.evaluation.gradcam import choose_examples, gradcam_maps
from btxrd.evaluation.localisation import (
    BY_CHANCE,
    EMPTY,
    OK,
    SATURATED,
    SCORES,
    kind_of,
    score_maps,
    summarize_looks,
)


class BrightIsBenign(nn.Module):
    """Class 1 for what is bright, wherever it is: its map is the film itself."""

    def __init__(self):
        super().__init__()
        self.arguments, self.lesion_head = {"backbone": "toy"}, None
        self.normalisation, self.device = Normalisation((0.0,), (1.0,)), torch.device("cpu")
        self.layer, self.test_flip = nn.Conv2d(1, 1, 1, bias=False), False
        nn.init.ones_(self.layer.weight)

    @property
    def gradcam_target_layer(self):
        return self.layer

    def gradcam_activation(self, activation):
        return activation

    def forward(self, images):
        light = self.layer(images).mean(dim=(2, 3))
        return torch.cat([-light, light, torch.zeros_like(light)], dim=1)


def test_map_lies_where_the_evidence_is_and_is_not_turned():
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, 2:6, 20:28] = 255  # top right
    pixels[1, 24:30, 3:9] = 255  # bottom left
    rows, benign = np.array([0, 1]), np.array([1, 1])
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, rows, benign)))
    assert np.allclose(maps > 0.5, pixels > 0)


def test_map_of_a_model_that_scores_mirror_images_is_the_mean_of_both_turned_back():
    class LeftIsBenign(BrightIsBenign):
        def forward(self, images):
            light = self.layer(images * (torch.arange(32) < 16)).mean(dim=(2, 3))
            return torch.cat([-light, light, torch.zeros_like(light)], dim=1)

    model = LeftIsBenign()
    pixels = np.full((1, 32, 32), 255, np.uint8)
    row, benign = np.array([0]), np.array([1])
    (one_side,) = gradcam_maps(model, pixels, row, benign)
    model.test_flip = True
    (both,) = gradcam_maps(model, pixels, row, benign)
    assert one_side[:, 20:].max() == 0
    assert both.min() == 1


def test_map_is_empty_where_nothing_speaks_for_the_class():
    pixels = np.full((1, 32, 32), 255, np.uint8)
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, np.array([0]), np.array([0]))))
    assert maps.max() == 0


def test_layer_without_a_place_is_refused():
    class Flat(BrightIsBenign):
        def gradcam_activation(self, activation):
            return activation.flatten(1)

    with pytest.raises(InputError, match=r"model.gradcam_layer: Conv2d of toy gives no map"):
        pixels = np.zeros((1, 32, 32), np.uint8)
        list(gradcam_maps(Flat(), pixels, np.array([0]), np.array([1])))


def test_scores_by_hand():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 1
    on, half, empty = np.zeros((3, 4, 4), np.float32)
    on[0, 0] = 1
    half[1, 1], half[3, 3] = 0.5, 1.5
    table = score_maps(np.stack([on, half, empty]), [mask] * 3)
    assert table["lesion_share"].tolist() == [0.25] * 3
    assert table["peak_inside"].tolist()[:2] == [1, 0]
    assert table["energy_inside"].tolist()[:2] == [1.0, 0.25]
    assert table.loc[2, ["peak_inside", "energy_inside"]].isna().all()


def test_a_map_that_is_the_same_everywhere_is_saturated_and_not_empty():
    pixels = np.full((1, 32, 32), 255, np.uint8)
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, np.array([0]), np.array([1]))))
    assert maps.min() == 1
    assert kind_of(maps[0]) == SATURATED
    assert kind_of(np.zeros((4, 4), np.float32)) == EMPTY
    assert kind_of(np.eye(4, dtype=np.float32)) == OK


def test_overlap_is_that_of_the_highest_part_of_the_lesions_area():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 1
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, 0, 0], heat[0, 0, 1], heat[0, 3, 3], heat[0, 3, 2], heat[0, 3, 1] = (
        1,
        0.9,
        0.8,
        0.7,
        0.1,
    )
    table = score_maps(heat, [mask])
    assert table["iou"][0] == pytest.approx(2 / 6)
    assert table["iou_by_chance"][0] == pytest.approx(0.25 / 1.75)


def test_chance_is_what_maps_of_noise_score():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 1
    noise = np.random.default_rng(0).random((400, 32, 32)).astype(np.float32)
    table = score_maps(noise, [mask] * 400)
    assert set(table["map"]) == {OK}
    for score, by_chance in zip(SCORES, BY_CHANCE, strict=True):
        assert table[score].mean() == pytest.approx(table[by_chance][0], abs=0.02)


def test_maps_of_other_films_are_laid_on_a_lesion_too():
    left, right = np.zeros((2, 64, 64), np.uint8)
    left[20:30, 5:15], right[20:30, 45:55] = 1, 1
    maps = np.stack([left, left, right]).astype(np.float32)
    table = score_maps(maps, [left, left, right])
    assert table["peak_inside"].tolist() == [1, 1, 1]
    assert table["peak_inside_of_others"].tolist() == [0.5, 0.5, 0]
    assert table["energy_inside_of_others"].tolist() == pytest.approx([0.5, 0.5, 0])


def test_looks_are_summed_up_by_class_center_and_outcome():
    table = pd.DataFrame(
        {
            "label": ["benign", "benign", "malignant"], "called": ["benign", "normal", "malignant"],
            "center": [1, 1, 2], "group": ["a", "b", "c"], "map": ["ok", "empty", "ok"],
            "lesion_share": 0.1, "iou_by_chance": 0.05, "peak_inside": [1, None, 0],
            "energy_inside": [0.8, None, 0.2], "iou": [0.5, None, 0.1],
            "peak_inside_of_others": 0.2, "energy_inside_of_others": 0.1, "iou_of_others": 0.1,
        }
    )  # fmt: skip
    found = summarize_looks(table)
    assert set(found) == {"all", "right", "wrong", "benign", "malignant", "center 1", "center 2"}
    assert found["all"]["maps"] == {"ok": 2, "empty": 1, "saturated": 0}
    assert found["all"]["peak_inside"]["value"] == 0.5
    assert found["benign"]["energy_inside"]["value"] == pytest.approx(0.8)
    assert found["wrong"]["peak_inside"] == {
        "value": None, "low": None, "high": None, "by_chance": None, "of_others": None
    }  # fmt: skip


def test_examples_are_the_surest_of_their_kind():
    test = pd.DataFrame(
        {
            "label": [0, 0, 1, 2, 2],
            "called": [0, 0, 2, 2, 0],
            "confidence": [0.5, 0.9, 0.6, 0.7, 0.8],
        },
        index=[10, 11, 12, 13, 14],
    )
    assert choose_examples(test) == {
        "normal_hit": 11,
        "normal_false_alarm": 14,
        "benign_miss": 12,
        "malignant_hit": 13,
        "malignant_miss": 14,
        "malignant_false_alarm": 12,
    }
