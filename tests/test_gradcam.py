import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from btxrd.data.batches import Normalisation
from btxrd.errors import InputError
from btxrd.evaluation.gradcam import gradcam_maps, kind_of, score_maps
from btxrd.evaluation.localisation import BY_CHANCE, EMPTY, OF_OTHERS, OK, SATURATED, SCORES


class BrightIsBenign(nn.Module):
    """Predicts class 1 for bright images: its map is the image itself."""

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


def test_map_is_highest_at_the_location_of_the_evidence():
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, 2:6, 20:28] = 255  # top right
    pixels[1, 24:30, 3:9] = 255  # bottom left
    rows, benign = np.array([0, 1]), np.array([1, 1])
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, rows, benign)))
    assert np.allclose(maps > 0.5, pixels > 0)


def test_map_with_test_flip_is_the_mean_with_the_mirrored_map_of_the_mirror_image():
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


def test_map_is_empty_without_evidence_for_the_class():
    pixels = np.full((1, 32, 32), 255, np.uint8)
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, np.array([0]), np.array([0]))))
    assert maps.max() == 0


def test_layer_without_height_and_width_is_refused():
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


def test_a_uniform_map_is_saturated_and_not_empty():
    pixels = np.full((1, 32, 32), 255, np.uint8)
    maps = np.stack(list(gradcam_maps(BrightIsBenign(), pixels, np.array([0]), np.array([1]))))
    assert maps.min() == 1
    assert kind_of(maps[0]) == SATURATED
    assert kind_of(np.zeros((4, 4), np.float32)) == EMPTY
    assert kind_of(np.eye(4, dtype=np.float32)) == OK


def test_iou_is_of_the_highest_part_with_the_area_of_the_lesion():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 1
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, 0, :2] = 1, 0.9
    heat[0, 3, 1:] = 0.1, 0.7, 0.8
    table = score_maps(heat, [mask])
    assert table["iou"][0] == pytest.approx(2 / 6)
    assert table["iou_by_chance"][0] == pytest.approx(0.25 / 1.75)


def test_chance_level_is_the_score_of_random_maps():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 1
    noise = np.random.default_rng(0).random((8, 50, 32, 32)).astype(np.float32)
    table = pd.concat([score_maps(maps, [mask] * 50) for maps in noise])
    assert set(table["map"]) == {OK}
    for score, by_chance in BY_CHANCE.items():
        assert table[score].mean() == pytest.approx(table[by_chance].iloc[0], abs=0.02)


def test_maps_of_other_images_are_scored_on_each_lesion():
    left, right = np.zeros((2, 64, 64), np.uint8)
    left[20:30, 5:15], right[20:30, 45:55] = 1, 1
    maps = np.stack([left, left, right]).astype(np.float32)
    table = score_maps(maps, [left, left, right])
    assert table["peak_inside"].tolist() == [1, 1, 1]
    assert table["peak_inside_of_others"].tolist() == [0.5, 0.5, 0]
    assert table["energy_inside_of_others"].tolist() == pytest.approx([0.5, 0.5, 0])


@pytest.mark.parametrize("unusable", [np.zeros((64, 64)), np.ones((64, 64))])
def test_only_usable_maps_of_other_images_count(unusable):
    """Detects empty or saturated maps in the mismatched-map baseline."""
    lesion = np.zeros((64, 64), np.uint8)
    lesion[20:30, 5:15] = 1
    maps = np.stack([lesion, lesion, unusable]).astype(np.float32)
    table = score_maps(maps, [lesion] * 3)
    assert table["map"].tolist()[:2] == [OK, OK]
    assert table[list(OF_OTHERS.values())].to_numpy() == pytest.approx(1)
    assert table.loc[2, list(SCORES)].isna().all()


@pytest.mark.parametrize(("above_half", "kind"), [(89, OK), (92, SATURATED)])
def test_map_above_half_of_its_peak_on_nine_tenths_is_saturated(above_half, kind):
    """Detects another share of the image, or of the peak."""
    heat = np.full(100, 0.49, np.float32)
    heat[:above_half] = 0.51
    heat[0] = 1
    assert kind_of(heat.reshape(10, 10)) == kind
