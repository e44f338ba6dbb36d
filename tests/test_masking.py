from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import BENIGN_SUBTYPES, CLASSES, MALIGNANT_SUBTYPES, SITES
from btxrd.data.dataset import load_dataset
from btxrd.evaluation.inference import (
    WITHOUT_PIXELS,
    can_be_masked,
    mask_all_but_lesion,
    mask_border,
    mask_lesion,
    predict_without_pixels,
    regions,
)

SIZE, EDGE = 40, 6  # an image on which the border is 6 pixels wide and a margin 1


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 255, (SIZE, SIZE), dtype=np.uint8)


def block(top, bottom, left, right):
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[top:bottom, left:right] = 1
    return region


def with_margin(top, bottom, left, right):
    taller = block(max(0, top - 1), bottom + 1, left, right)
    return (taller | block(top, bottom, max(0, left - 1), right + 1)).astype(bool)


def test_only_the_lesion_and_its_margin_are_masked(image):
    box = (10, 20, 15, 30)
    covered = with_margin(*box)
    masked = mask_lesion(image, block(*box))
    assert masked.dtype == np.uint8
    assert (masked[~covered] == image[~covered]).all()
    assert len(np.unique(masked[covered])) == 1


def test_mask_is_the_mean_of_the_surroundings_of_the_lesion():
    image = np.full((SIZE, SIZE), 9, np.uint8)
    image[5:25, 10:35] = 80
    image[with_margin(10, 20, 15, 30)] = 250
    masked = mask_lesion(image, block(10, 20, 15, 30))
    assert (masked[5:25, 10:35] == 80).all()
    assert (masked[30:] == 9).all()


def test_lesion_that_fills_the_image_is_masked_with_its_own_mean(image):
    masked = mask_lesion(image, block(0, SIZE, 0, SIZE))
    assert (masked == int(image.mean())).all()


def test_all_but_lesion_and_margin_is_black(image):
    box = (10, 20, 15, 30)
    masked = mask_all_but_lesion(image, block(*box))
    assert (masked == image * with_margin(*box)).all()


def test_border_is_black_and_the_inside_is_kept(image):
    masked = mask_border(image, block(15, 20, 15, 20))
    assert (masked == image * block(EDGE, SIZE - EDGE, EDGE, SIZE - EDGE)).all()


@pytest.mark.parametrize("box", [(0, 12, 20, 30), (15, 25, 36, 40), (37, 40, 0, 3)])
def test_region_in_the_border_is_kept(image, box):
    masked = mask_border(image, block(*box))
    inside = block(EDGE, SIZE - EDGE, EDGE, SIZE - EDGE)
    assert (masked == image * (inside | with_margin(*box))).all()


@pytest.fixture(scope="module")
def dataset(phantom, tmp_path_factory):
    data = DataConfig(root=str(phantom), cache=str(tmp_path_factory.mktemp("cache")))
    return load_dataset(data, SplitConfig(strategy="stratified"), SIZE)


def test_images_without_a_lesion_are_masked_at_the_lesion_of_another_image(dataset):
    rows = np.arange(len(dataset.cases))
    own, areas = dataset.masks(rows), regions(dataset, rows)
    assert set(own) == set(np.flatnonzero(dataset.labels))
    for row, area in zip(rows, areas, strict=True):
        lenders = [own[row]] if row in own else own.values()
        assert any((area == lender).all() for lender in lenders)
    assert len(areas) == len(rows)


def test_size_of_the_region_does_not_reveal_a_tumour(dataset):
    areas = regions(dataset, np.arange(len(dataset.cases)))
    sizes = [area.sum() for area in areas]
    assert min(sizes) > 0
    assert roc_auc_score(dataset.labels > 0, sizes) == pytest.approx(0.5, abs=0.15)


def test_without_any_lesion_there_is_no_region(dataset):
    assert regions(dataset, np.flatnonzero(dataset.labels == 0)) is None


def test_baselines_without_pixels_are_fitted_on_train_alone(dataset):
    test, train = dataset.rows("test"), dataset.rows("train")
    kept, changed = test[::2], [*test[1::2], *dataset.rows("val")]
    cases = dataset.cases.copy()
    columns = ["label", "center", "width", "height", "age", "gender", *SITES]
    cases.loc[changed, columns] = [2, 9, 5000, 30, 119, "X", *(1 for _ in SITES)]
    shuffled = dataset.cases.copy()
    shuffled.loc[train, "label"] = shuffled.loc[train, "label"].to_numpy()[::-1]
    before, after, refitted = (
        predict_without_pixels(replace(dataset, cases=each), kept, 3)
        for each in (dataset.cases, cases, shuffled)
    )
    for name in WITHOUT_PIXELS:
        assert (after[name] == before[name]).all()
        assert (refitted[name] != before[name]).any()
        assert before[name].sum(axis=1) == pytest.approx(1)


def test_baselines_without_pixels_use_no_column_that_implies_the_label(dataset):
    implying = ["tumor", *CLASSES[1:], *BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES]
    blind = dataset.cases.drop(columns=implying)
    rows = dataset.rows("test")
    before = predict_without_pixels(dataset, rows, 3)
    after = predict_without_pixels(replace(dataset, cases=blind), rows, 3)
    assert not {column for seen in WITHOUT_PIXELS.values() for column in seen} & set(implying)
    assert set(before) == set(WITHOUT_PIXELS)
    assert all((after[name] == before[name]).all() for name in WITHOUT_PIXELS)


def test_a_column_that_is_empty_in_train_is_not_used(dataset):
    train = dataset.rows("train")
    ages = dataset.cases["age"].astype(float).copy()
    ages.iloc[train] = np.nan
    other = replace(dataset, cases=dataset.cases.assign(age=ages))
    without = replace(dataset, cases=dataset.cases.drop(columns="age"))
    rows = dataset.rows("test")
    found = [predict_without_pixels(one, rows, 3)["table"] for one in (other, without)]
    assert (found[0] == found[1]).all()


def test_if_train_has_one_class_that_class_is_predicted(dataset):
    cases = dataset.cases.copy()
    cases.loc[cases["partition"] == "train", "label"] = 1
    found = predict_without_pixels(replace(dataset, cases=cases), dataset.rows("test"), 3)
    assert all((probs == [0, 1, 0]).all() for probs in found.values())


@pytest.mark.parametrize("background", [0, None])
def test_tumours_without_an_outline_are_left_out_of_masking(dataset, background):
    """Detects masking of all test images, of tumours alone, or of another background class."""
    rows = dataset.rows("test")
    stems = dataset.cases["stem"].iloc[rows].to_numpy()
    without = stems[dataset.labels[rows] > 0][0]
    lesions = {stem: mask for stem, mask in dataset.lesions.items() if stem != without}
    found = can_be_masked(replace(dataset, lesions=lesions), rows, background)
    want = stems != without
    if background is None:
        want &= dataset.labels[rows] > 0
    assert found.tolist() == want.tolist()
    assert 0 < found.sum() < len(rows)


@pytest.mark.parametrize("name", WITHOUT_PIXELS)
@pytest.mark.parametrize("column", ["center", "width", "height"])
def test_baselines_without_pixels_use_center_width_and_height(dataset, name, column):
    """Detects a baseline without one of the columns that the documentation lists."""
    constant = dict.fromkeys(WITHOUT_PIXELS["table"], 1)
    cases = dataset.cases.assign(**constant).assign(**{column: dataset.labels})
    rows = dataset.rows("test")
    probs = predict_without_pixels(replace(dataset, cases=cases), rows, 3)[name]
    assert len(np.unique(probs, axis=0)) > 1  # no other column varies
