import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from btxrd.data.batches import Normalisation
from btxrd.errors import InputError
from btxrd.explain import choose_examples, gradcam_maps, score_maps


class BrightIsBenign(nn.Module):
    """Class 1 for what is bright, wherever it is: its map is the film itself."""

    def __init__(self):
        super().__init__()
        self.arguments = {"backbone": "toy"}
        self.normalisation, self.device = Normalisation((0.0,), (1.0,)), torch.device("cpu")
        self.layer = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.layer.weight)

    @property
    def gradcam_target_layer(self):
        return self.layer

    def spatial(self, activation):
        return activation

    def forward(self, images):
        light = self.layer(images).mean(dim=(2, 3))
        return torch.cat([-light, light, torch.zeros_like(light)], dim=1)


def test_map_lies_where_the_evidence_is_and_is_not_turned():
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, 2:6, 20:28] = 255  # top right
    pixels[1, 24:30, 3:9] = 255  # bottom left
    rows, benign = np.array([0, 1]), np.array([1, 1])
    maps = gradcam_maps(BrightIsBenign(), pixels, rows, benign)
    assert np.allclose(maps > 0.5, pixels > 0)


def test_map_is_empty_where_nothing_speaks_for_the_class():
    pixels = np.full((1, 32, 32), 255, np.uint8)
    maps = gradcam_maps(BrightIsBenign(), pixels, np.array([0]), np.array([0]))
    assert maps.max() == 0


def test_layer_without_a_place_is_refused():
    class Flat(BrightIsBenign):
        def spatial(self, activation):
            return activation.flatten(1)

    with pytest.raises(InputError, match=r"model.gradcam_layer: Conv2d of toy gives no map"):
        pixels = np.zeros((1, 32, 32), np.uint8)
        gradcam_maps(Flat(), pixels, np.array([0]), np.array([1]))


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
