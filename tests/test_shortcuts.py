import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import BENIGN_SUBTYPES, CLASSES, MALIGNANT_SUBTYPES, SITES
from btxrd.data.dataset import load_dataset
from btxrd.evaluation.shortcuts import (
    FILMLESS,
    paint_all_but_lesion,
    paint_border,
    paint_lesion,
    predict_without_film,
    regions,
    score_shortcuts,
)

SIZE, EDGE = 40, 6  # a film on which the border is 6 pixels wide and a margin 1
LEARNS_A_LETTER = [
    "data.phantom.cases=160", "split.test=0.4", "training.epochs=10", "training.lr=1e-3",
    "training.batch_size=16", "training.flip=false", "training.rotation=0",
]  # fmt: skip


@pytest.fixture
def film():
    return np.random.default_rng(0).integers(1, 255, (SIZE, SIZE), dtype=np.uint8)


def block(top, bottom, left, right):
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[top:bottom, left:right] = 1
    return region


def with_margin(top, bottom, left, right):
    taller = block(max(0, top - 1), bottom + 1, left, right)
    return (taller | block(top, bottom, max(0, left - 1), right + 1)).astype(bool)


def test_lesion_and_margin_are_covered_and_the_rest_is_kept(film):
    place = (10, 20, 15, 30)
    covered = with_margin(*place)
    painted = paint_lesion(film, block(*place))
    assert painted.dtype == np.uint8
    assert (painted[~covered] == film[~covered]).all()
    assert len(np.unique(painted[covered])) == 1


def test_paint_is_the_grey_of_what_surrounds_the_lesion():
    film = np.full((SIZE, SIZE), 9, np.uint8)
    film[5:25, 10:35] = 80
    film[with_margin(10, 20, 15, 30)] = 250
    painted = paint_lesion(film, block(10, 20, 15, 30))
    assert (painted[5:25, 10:35] == 80).all()
    assert (painted[30:] == 9).all()


def test_lesion_that_fills_the_film_is_painted_in_its_own_grey(film):
    painted = paint_lesion(film, block(0, SIZE, 0, SIZE))
    assert (painted == int(film.mean())).all()


def test_all_but_lesion_and_margin_is_black(film):
    place = (10, 20, 15, 30)
    painted = paint_all_but_lesion(film, block(*place))
    assert (painted == film * with_margin(*place)).all()


def test_border_is_black_and_the_inside_is_kept(film):
    painted = paint_border(film, block(15, 20, 15, 20))
    assert (painted == film * block(EDGE, SIZE - EDGE, EDGE, SIZE - EDGE)).all()


@pytest.mark.parametrize("place", [(0, 12, 20, 30), (15, 25, 36, 40), (37, 40, 0, 3)])
def test_region_that_reaches_into_the_border_is_kept_there(film, place):
    painted = paint_border(film, block(*place))
    inside = block(EDGE, SIZE - EDGE, EDGE, SIZE - EDGE)
    assert (painted == film * (inside | with_margin(*place))).all()


@pytest.fixture(scope="module")
def dataset(phantom, tmp_path_factory):
    data = DataConfig(root=str(phantom), cache=str(tmp_path_factory.mktemp("cache")))
    return load_dataset(data, SplitConfig(strategy="stratified"), SIZE)


def test_tumours_have_their_own_region_and_normals_borrow_one(dataset):
    rows = np.arange(len(dataset.cases))
    own, areas = dataset.masks(rows), regions(dataset, rows)
    assert set(own) == set(np.flatnonzero(dataset.labels))
    for row, area in zip(rows, areas, strict=True):
        lenders = [own[row]] if row in own else own.values()
        assert any((area == lender).all() for lender in lenders)
    assert len(areas) == len(rows)


def test_size_of_the_region_does_not_tell_a_tumour(dataset):
    areas = regions(dataset, np.arange(len(dataset.cases)))
    sizes = [area.sum() for area in areas]
    assert min(sizes) > 0
    assert roc_auc_score(dataset.labels > 0, sizes) == pytest.approx(0.5, abs=0.15)


def test_without_any_lesion_there_is_no_region(dataset):
    assert regions(dataset, np.flatnonzero(dataset.labels == 0)) is None


@pytest.fixture
def guesses():
    draw = np.random.default_rng(0)
    labels, groups = draw.integers(3, size=90), draw.integers(40, size=90)
    return labels, groups, *draw.dirichlet(np.ones(3), (2, 90))


def test_figures_of_a_way_are_those_of_scikit_learn(guesses):
    labels, groups, probs, other = guesses
    found = score_shortcuts(labels, probs, groups, {"other": other})["other"]
    whole, area = (roc_auc_score(labels, each, multi_class="ovr") for each in (probs, other))
    assert found["macro_auc"]["value"] == pytest.approx(area)
    assert found["difference"]["value"] == pytest.approx(area - whole)
    right = accuracy_score(labels, other.argmax(axis=1))
    assert found["accuracy"]["value"] == pytest.approx(right)
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in found.values())


def test_difference_is_resampled_on_the_same_cases(guesses):
    labels, groups, probs, _ = guesses
    found = score_shortcuts(labels, probs, groups, {"same": probs})["same"]
    assert found["difference"] == {"value": 0, "low": 0, "high": 0}


def test_baselines_without_film_are_fitted_on_train_alone(dataset):
    test, train = dataset.rows("test"), dataset.rows("train")
    kept, changed = test[::2], [*test[1::2], *dataset.rows("val")]
    cases = dataset.cases.copy()
    columns = ["label", "center", "width", "height", "age", "gender", *SITES]
    cases.loc[changed, columns] = [2, 9, 5000, 30, 119, "X", *(1 for _ in SITES)]
    shuffled = dataset.cases.copy()
    shuffled.loc[train, "label"] = shuffled.loc[train, "label"].to_numpy()[::-1]
    before, after, refitted = (
        predict_without_film(replace(dataset, cases=each), kept)
        for each in (dataset.cases, cases, shuffled)
    )
    for name in FILMLESS:
        assert (after[name] == before[name]).all()
        assert (refitted[name] != before[name]).any()
        assert before[name].sum(axis=1) == pytest.approx(1)


def test_baselines_without_film_do_not_see_what_restates_the_label(dataset):
    restating = ["tumor", *CLASSES[1:], *BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES]
    blind = dataset.cases.drop(columns=restating)
    rows = dataset.rows("test")
    before = predict_without_film(dataset, rows)
    after = predict_without_film(replace(dataset, cases=blind), rows)
    assert not {column for seen in FILMLESS.values() for column in seen} & set(restating)
    assert set(before) == set(FILMLESS)
    assert all((after[name] == before[name]).all() for name in FILMLESS)


def test_a_column_that_train_does_not_have_is_not_used(dataset):
    train = dataset.rows("train")
    ages = dataset.cases["age"].astype(float).copy()
    ages.iloc[train] = np.nan
    other = replace(dataset, cases=dataset.cases.assign(age=ages))
    without = replace(dataset, cases=dataset.cases.drop(columns="age"))
    rows = dataset.rows("test")
    found = [predict_without_film(one, rows)["table"] for one in (other, without)]
    assert (found[0] == found[1]).all()


def test_where_train_has_one_class_that_class_is_said(dataset):
    cases = dataset.cases.copy()
    cases.loc[cases["partition"] == "train", "label"] = 1
    found = predict_without_film(replace(dataset, cases=cases), dataset.rows("test"))
    assert all((probs == [0, 1, 0]).all() for probs in found.values())


@pytest.mark.slow
def test_letter_in_the_corner_is_found_out_and_a_clean_film_has_none(do_run, compose, tmp_path):
    found = {}
    for kind in ("shortcut", "clean"):
        data = [f"data.root={tmp_path / kind}", f"data.phantom.kind={kind}"]
        run = do_run(compose(*LEARNS_A_LETTER, *data, f"data.cache={tmp_path / 'cache'}"))
        found[kind] = json.loads((run.run_dir / "metrics.json").read_text())
    assert found["shortcut"]["test"]["macro_auc"]["value"] > 0.9
    ways = found["shortcut"]["shortcuts"]
    assert ways["border_painted_out"]["difference"]["high"] < 0
    assert ways["lesion_painted_out"]["macro_auc"]["low"] > 0.5
    clean = found["clean"]["shortcuts"]["border_painted_out"]["difference"]
    assert clean["high"] >= 0
    assert clean["value"] > -0.1
