from pathlib import Path

import numpy as np
import pytest

from btxrd.data import dataset as data
from btxrd.data.annotations import find_outlines, lesion_mask, read_outline
from btxrd.data.dataset import load_dataset
from btxrd.data.pixels import decode_image
from btxrd.data.survey import digest_images
from btxrd.errors import InputError
from btxrd.training.guidance import training_masks


@pytest.fixture
def dataset(compose):
    config = compose()
    return load_dataset(config.data, config.split, 64)


def masks_of(dataset, kind="lesion", sham="none", seed=0):
    masks, said = training_masks(dataset, kind, sham, seed, "somewhere")
    assert said == []
    return masks


def test_only_training_tumours_have_their_own_outline(dataset):
    train = dataset.rows("train")
    tumours = train[dataset.labels[train] > 0]
    masks = masks_of(dataset)
    assert sorted(masks) == tumours.tolist()
    own = dataset.masks(tumours)
    assert all((masks[row] == own[row]).all() for row in masks)
    assert masks_of(dataset, kind="none") is None


def test_shuffled_outlines_are_those_of_other_tumours(dataset):
    own, sham = masks_of(dataset), masks_of(dataset, sham="shuffled")
    assert sorted(own) == sorted(sham)
    assert all((own[row] != sham[row]).any() for row in own)
    areas = [sorted(int(mask.sum()) for mask in of.values()) for of in (own, sham)]
    assert areas[0] == areas[1]
    again = masks_of(dataset, sham="shuffled")
    assert all((again[row] == sham[row]).all() for row in sham)
    other = masks_of(dataset, sham="shuffled", seed=1)
    assert any((other[row] != sham[row]).any() for row in sham)


def test_outlines_on_normals_do_not_change_those_of_tumours(dataset):
    train = dataset.rows("train")
    own, sham = masks_of(dataset), masks_of(dataset, sham="normals")
    assert sorted(sham) == sorted(train.tolist())
    assert all((own[row] == sham[row]).all() for row in own)
    assert all(sham[row].any() for row in train)


def test_no_outline_at_all_is_refused(dataset):
    dataset.lesions.clear()
    with pytest.raises(InputError, match=r"annotations.kind=cam: somewhere.* has no outline of a"):
        training_masks(dataset, "cam", "none", 0, "somewhere")


def test_tumours_without_an_outline_are_counted(dataset):
    train = dataset.rows("train")
    stem = dataset.cases["stem"].iloc[train[dataset.labels[train] > 0][0]]
    del dataset.lesions[stem]
    masks, (line,) = training_masks(dataset, "lesion", "none", 0, "somewhere")
    assert line.startswith("1 of ")
    assert len(masks) == np.sum(dataset.labels[train] > 0) - 1


def test_pixels_and_masks_are_prepared_according_to_the_config(compose, monkeypatch):
    """Detects a data set that ignores a setting, or places masks differently from images."""
    config = compose("data.aspect=keep", "data.clahe_clip=3.5", "data.clahe_tiles=4")
    asked = {}

    def noted(name, make):
        def call(*given, **settings):
            asked[name] = settings
            return make(*given, **settings)

        return call

    for name in ("load_pixels", "load_masks"):
        monkeypatch.setattr(data, name, noted(name, getattr(data, name)))
    dataset = load_dataset(config.data, config.split, 32)
    pixels = asked["load_pixels"]
    assert (pixels["clahe_clip"], pixels["clahe_tiles"]) == (3.5, 4)
    assert pixels["keep_aspect"] is asked["load_masks"]["keep_aspect"] is True
    row = len(dataset.cases) // 2
    path = Path(dataset.cases["path"].iloc[row])
    assert pixels["digests"][row] == digest_images([str(path)])[0]
    assert np.array_equal(dataset.pixels[row], decode_image(path, 32, 3.5, 4, keep_aspect=True))
    stem, mask = next(iter(dataset.lesions.items()))
    outline = read_outline(find_outlines(Path(config.data.root))[0][stem])
    assert np.array_equal(mask, lesion_mask(outline, 32, keep_aspect=True))
