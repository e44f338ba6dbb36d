import numpy as np
import pytest

from btxrd.data.dataset import load_dataset
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


def test_training_tumours_have_their_own_outline_and_no_other_film_has_one(dataset):
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


def test_sham_outlines_on_normals_leave_those_of_tumours(dataset):
    train = dataset.rows("train")
    own, sham = masks_of(dataset), masks_of(dataset, sham="normals")
    assert sorted(sham) == sorted(train.tolist())
    assert all((own[row] == sham[row]).all() for row in own)
    assert all(sham[row].any() for row in train)


def test_no_outline_at_all_is_refused(dataset):
    dataset.lesions.clear()
    with pytest.raises(InputError, match=r"annotations.kind=cam: somewhere.* outlines no training"):
        training_masks(dataset, "cam", "none", 0, "somewhere")


def test_tumours_without_an_outline_are_counted(dataset):
    train = dataset.rows("train")
    stem = dataset.cases["stem"].iloc[train[dataset.labels[train] > 0][0]]
    del dataset.lesions[stem]
    masks, (line,) = training_masks(dataset, "lesion", "none", 0, "somewhere")
    assert line.startswith("1 of ")
    assert len(masks) == np.sum(dataset.labels[train] > 0) - 1
