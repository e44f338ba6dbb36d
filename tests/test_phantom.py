import hashlib
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btxrd.data.annotations import find_outlines, lesion_mask, read_outline
from btxrd.data.cases import load_cases
from btxrd.data.constants import COLUMNS
from btxrd.data.groups import likely_patients
from btxrd.data.inspection import inspect
from btxrd.errors import InputError
from btxrd.phantom.write import write_phantom


def digest(root):
    files = sorted(path for path in (root / "images").iterdir())
    return [hashlib.md5(np.asarray(Image.open(path)).tobytes()).hexdigest() for path in files]


def test_layout_is_that_of_btxrd(phantom, cases):
    table = pd.read_excel(phantom / "dataset.xlsx")
    assert tuple(table.columns) == COLUMNS
    assert len(COLUMNS) == 37
    assert {path.suffix for path in (phantom / "images").iterdir()} == {".jpeg", ".jpg"}
    assert list((phantom / "Annotations" / "Annotations").glob("*.json"))
    assert (phantom / "~$dataset.xlsx").is_file()
    modes = {Image.open(path).mode for path in cases["path"]}
    assert modes == {"L", "RGB"}


def test_every_center_has_every_class(cases):
    assert set(cases.groupby("center")["label"].nunique()) == {3}


def test_some_patients_have_several_images(cases):
    assert likely_patients(cases).value_counts().max() > 1


def test_sites_are_empty_for_normals_only(cases):
    sites = cases[["femur", "tibia", "humerus", "radius"]].sum(axis=1)
    assert (sites[cases["label"] == 0] == 0).all()
    assert (sites[cases["label"] > 0] == 1).all()


def test_exactly_the_tumours_have_an_outline_inside_the_image(phantom, cases):
    outlines = {stem: read_outline(path) for stem, path in find_outlines(phantom)[0].items()}
    assert set(outlines) == set(cases.loc[cases["label"] > 0, "stem"])
    for outline in outlines.values():
        (points,) = outline.polygons
        assert (points >= 0).all()
        assert (points <= [outline.width - 1, outline.height - 1]).all()
        assert 0.002 < lesion_mask(outline, 128).mean() < 0.3


def test_cysts_are_darker_inside_than_the_bone_around_them(phantom, cases):
    cysts = cases[(cases["simple bone cyst"] == 1) & (cases["center"] == 1)]
    outlines, _ = find_outlines(phantom)
    for _, case in cysts.iterrows():
        image = np.asarray(Image.open(case["path"]).convert("L").resize((256, 256)), float)
        lesion = lesion_mask(read_outline(outlines[case["stem"]]), 256).astype(bool)
        rows, columns = np.nonzero(lesion)
        above = image[max(rows.min() - 25, 0) : rows.min() - 8, columns.min() : columns.max()]
        core = lesion[rows, columns] & (abs(rows - rows.mean()) < np.ptp(rows) / 4)
        assert image[rows[core], columns[core]].mean() < np.percentile(above, 75)


def test_pixels_depend_only_on_the_seed(phantom, tmp_path):
    made = json.loads((phantom / "phantom.json").read_text())
    write_phantom(tmp_path / "same", made["cases"], made["seed"])
    write_phantom(tmp_path / "other", made["cases"], made["seed"] + 1)
    assert digest(phantom) == digest(tmp_path / "same")
    assert digest(phantom) != digest(tmp_path / "other")


@pytest.fixture(scope="module")
def lettered(phantom, tmp_path_factory):
    """The images of the phantom, with the letters of `shortcut`."""
    root = tmp_path_factory.mktemp("data") / "shortcut"
    made = json.loads((phantom / "phantom.json").read_text())
    write_phantom(root, made["cases"], made["seed"], "shortcut")
    return root


def test_shortcut_changes_nothing_but_the_upper_left_corner(phantom, lettered):
    for path in (phantom / "images").iterdir():
        clean, marked = (
            np.asarray(Image.open(root / "images" / path.name).convert("L"))
            for root in (phantom, lettered)
        )
        height, width = clean.shape
        assert (clean[height // 5 :] == marked[height // 5 :]).all()
        assert (clean[:, width // 5 :] == marked[:, width // 5 :]).all()
        assert (clean != marked).any()
    tables = [pd.read_excel(root / "dataset.xlsx") for root in (phantom, lettered)]
    assert tables[0].equals(tables[1])


def test_letter_of_shortcut_is_in_the_border_and_reveals_the_class(lettered):
    cases = load_cases(lettered)
    corners = []
    for path in cases["path"]:
        image = np.asarray(Image.open(path).convert("L"))
        height, width = image.shape
        top, left = round(0.02 * height), round(0.02 * width)
        corner = image[top : round(0.145 * height), left : round(0.145 * width)]
        corners.append(cv2.resize(corner, (12, 12), interpolation=cv2.INTER_AREA).astype(float))
    letters = [corners[cases["label"].tolist().index(label)] for label in range(3)]
    gaps = [[abs(corner - letter).mean() for letter in letters] for corner in corners]
    assert np.argmin(gaps, axis=1).tolist() == cases["label"].tolist()


def test_shortcut_has_no_errors_and_no_duplicates(lettered, tmp_path):
    found = inspect(lettered, tmp_path, strict=True)
    assert found.pairs.empty
    assert found.warnings == {}
    assert json.loads((lettered / "phantom.json").read_text())["planted"] == {}


def test_a_complete_phantom_is_not_written_again(phantom, tmp_path):
    before = (phantom / "dataset.xlsx").stat().st_mtime_ns
    made = json.loads((phantom / "phantom.json").read_text())
    write_phantom(phantom, made["cases"], made["seed"])
    assert (phantom / "dataset.xlsx").stat().st_mtime_ns == before


def test_a_folder_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(InputError, match=r"mine: already exists"):
        write_phantom(tmp_path / "mine", 60, 0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]
