import shutil

import pandas as pd
import pytest

from btxrd.data.cases import load_cases
from btxrd.errors import InputError


def write_folder(root, rows, images=None):
    (root / "images").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(root / "dataset.csv", index=False)
    for name in [row["image_id"] for row in rows] if images is None else images:
        (root / "images" / name).write_bytes(b"")
    return root


def row(name, center=1, tumor=0, benign=0, malignant=0):
    return {"image_id": name, "center": center} | {
        "tumor": tumor,
        "benign": benign,
        "malignant": malignant,
    }


def test_five_columns_are_enough(tmp_path):
    rows = [row("a2.jpeg", 3, 1, 0, 1), row("a1.jpg", 1), row("a10.jpeg", 2, 1, 1)]
    cases = load_cases(write_folder(tmp_path / "d", rows))
    assert cases["stem"].tolist() == ["a1", "a2", "a10"]
    assert cases["label"].tolist() == [0, 2, 1]
    assert cases["center"].tolist() == [1, 3, 2]


def test_ids_are_in_their_natural_order(tmp_path):
    names = ["P2_1.jpeg", "P1_2.jpeg", "P1_10.jpeg", "P10_1.jpeg", "P1_1.jpeg", "0007.jpeg"]
    cases = load_cases(write_folder(tmp_path / "d", [row(name) for name in names]))
    assert cases["stem"].tolist() == ["0007", "P1_1", "P1_2", "P1_10", "P2_1", "P10_1"]


def test_ids_of_digits_keep_their_zeros(tmp_path):
    cases = load_cases(write_folder(tmp_path / "d", [row("0007")], images=["0007.jpeg"]))
    assert cases["stem"].tolist() == ["0007"]


def test_malignant_goes_before_benign(tmp_path):
    cases = load_cases(write_folder(tmp_path / "d", [row("a1.jpeg", 1, 1, 1, 1)]))
    assert cases["label"].tolist() == [2]


def test_csv_and_xlsx_give_the_same_cases(phantom, cases, tmp_path):
    root = tmp_path / "csv"
    shutil.copytree(phantom / "images", root / "images")
    pd.read_excel(phantom / "dataset.xlsx").to_csv(root / "dataset.csv", index=False)
    pd.testing.assert_frame_equal(load_cases(root).drop(columns="path"), cases.drop(columns="path"))


def test_suffix_is_matched_on_the_stem(tmp_path):
    cases = load_cases(write_folder(tmp_path / "d", [row("a1.jpeg")], images=["a1.JPG"]))
    assert cases["path"].tolist() == [str(tmp_path / "d/images/a1.JPG")]


BAD_ROWS = {
    "contradiction": ([row("a1.jpeg", tumor=0, benign=1)], "a1.jpeg has tumor=0, benign=1"),
    "tumour of no kind": ([row("a1.jpeg", tumor=1)], "a1.jpeg has tumor=1, benign=0, malignant=0"),
    "twice": ([row("a1.jpeg"), row("a1.jpg")], "a1.jpg is there more than once"),
    "center": ([row("a1.jpeg", center=0)], "a1.jpeg has center=0; must be a whole number from 1"),
    "no center": ([row("a1.jpeg", center=None)], "a1.jpeg has center=nan"),
    "flag": ([row("a1.jpeg", tumor="yes")], "a1.jpeg has tumor=yes; must be 0 or 1"),
    "column": (
        [{"image_id": "a1.jpeg", "center": 1}],
        "lacks the columns tumor, benign, malignant",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_table_is_named_in_one_line(name, tmp_path):
    rows, message = BAD_ROWS[name]
    root = write_folder(tmp_path / "d", rows)
    with pytest.raises(InputError) as got:
        load_cases(root)
    assert str(got.value).startswith(str(root / "dataset.csv"))
    assert message in str(got.value)
    assert "\n" not in str(got.value)


def test_missing_places_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        load_cases(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither dataset.xlsx nor dataset.csv"):
        load_cases(tmp_path)
    root = write_folder(tmp_path / "d", [row("a1.jpeg"), row("a2.jpeg")], images=["a1.jpeg"])
    with pytest.raises(InputError, match=r"no image of a2; looked for a2.jpeg, a2.jpg, a2.png"):
        load_cases(root)
    with pytest.raises(InputError, match=r"is it data.root=.*/BTXRD\?"):
        load_cases(write_folder(tmp_path / "outer/BTXRD", [row("a1.jpeg")]).parent)


def test_a_table_that_is_none_is_named(tmp_path):
    root = write_folder(tmp_path / "d", [row("a1.jpeg")])
    (root / "dataset.csv").unlink()
    (root / "dataset.xlsx").write_bytes(b"no workbook")
    with pytest.raises(InputError, match=r"dataset.xlsx: cannot be read as a table"):
        load_cases(root)
