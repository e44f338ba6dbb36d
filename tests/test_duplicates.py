"""Exactly the copies of real and synthetic images are found."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btxrd.data.cases import load_cases
from btxrd.data.groups import near_duplicates
from btxrd.data.survey import survey_images

COPIES = {
    "identical": lambda image, path: None,
    "encoded again": lambda image, path: image.save(path, quality=25),
    "half as large": lambda image, path: image.resize((image.width // 2, image.height // 2)).save(
        path
    ),
    "larger": lambda image, path: image.resize((image.width * 2, image.height * 2)).save(path),
    "brightened": lambda image, path: image.point(lambda value: min(255, value * 1.2 + 6)).save(
        path
    ),
    "darkened": lambda image, path: image.point(lambda value: value * 0.8).save(path),
    "in colour, as PNG": lambda image, path: image.convert("RGB").save(path, format="PNG"),
}


@pytest.fixture(params=["phantom", "sample"])
def images(request, shared):
    """Return the cases of a synthetic data set or of the real sample, and a cache folder."""
    cases = load_cases(request.getfixturevalue(request.param))
    return cases[["stem", "path", "label"]], shared / "cache"


def pairs_of(cases, cache):
    return near_duplicates(cases, survey_images(cases["path"].tolist(), cache))


@pytest.mark.parametrize("how", COPIES)
def test_exactly_the_copies_are_found(images, how, tmp_path):
    cases, cache = images
    before = pairs_of(cases, cache)
    single = ~cases["stem"].isin([*before["one"], *before["other"]])
    chosen = cases[single].sample(30, random_state=5)
    rows = []
    for _, case in chosen.iterrows():
        path = tmp_path / f"copy-{Path(case['path']).name}"
        shutil.copyfile(case["path"], path)
        with Image.open(case["path"]) as image:
            COPIES[how](image.convert("L"), path)
        rows.append({"stem": path.stem, "path": str(path), "label": case["label"]})
    found = pairs_of(pd.concat([cases, pd.DataFrame(rows)], ignore_index=True), cache)
    new = found[found["other"].str.startswith("copy-")]
    assert set(new["one"]) == set(chosen["stem"])
    assert (new["other"] == "copy-" + new["one"]).all()
    assert len(found) == len(before) + len(new)
    assert new["identical"].all() == (how == "identical")


def test_the_sample_has_its_two_known_duplicates(sample, tmp_path):
    pairs = pairs_of(load_cases(sample), tmp_path)
    assert pairs[["one", "other"]].to_numpy().tolist() == [
        ["IMG001948", "IMG002166"],
        ["IMG001956", "IMG002172"],
    ]


def test_synthetic_images_are_all_different(cases, tmp_path):
    assert pairs_of(cases, tmp_path).empty


def test_different_labels_of_duplicates_are_marked(cases, tmp_path):
    twice = pd.concat([cases, cases[:2].assign(stem=["x", "y"])], ignore_index=True)
    twice.loc[len(cases), "label"] = (cases["label"][0] + 1) % 3
    pairs = pairs_of(twice, tmp_path)
    assert pairs["contradict"].tolist() == [True, False]
    assert pairs["identical"].all()


def test_images_are_surveyed_once(cases, tmp_path, monkeypatch):
    first = survey_images(cases["path"].tolist(), tmp_path)
    monkeypatch.setattr("btxrd.data.survey.decode", None)
    again = survey_images(cases["path"].tolist(), tmp_path)
    assert again.infos == first.infos
    assert np.array_equal(again.hashes, first.hashes)


def test_damaged_cache_is_built_again(cases, tmp_path):
    paths = cases["path"].tolist()
    first = survey_images(paths, tmp_path)
    (kept,) = tmp_path.glob("survey-*.npz")
    kept.write_bytes(kept.read_bytes()[:500])
    assert survey_images(paths, tmp_path).infos == first.infos
