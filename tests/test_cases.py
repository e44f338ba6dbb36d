import itertools
import shutil
import unicodedata

import openpyxl
import openpyxl.chart
import pandas as pd
import pytest

from btxrd.data.cases import load_cases, row_errors
from btxrd.data.constants import BENIGN_SUBTYPES, MALIGNANT_SUBTYPES
from btxrd.data.table import other_columns, read_table
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


def test_exactly_the_contradictory_flags_and_subtypes_are_errors():
    """All combinations of tumor, benign, malignant and the nine subtypes, one row each."""
    names = ["tumor", "benign", "malignant", *BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES]
    table = pd.DataFrame(list(itertools.product((0, 1), repeat=len(names))), columns=names)
    ids = pd.Series([f"a{row}" for row in range(len(table))])
    errors = row_errors(table.assign(image_id=ids, stem=ids, center=1))
    of_benign = table[list(BENIGN_SUBTYPES)].any(axis=1)
    of_malignant = table[list(MALIGNANT_SUBTYPES)].any(axis=1)
    flags = list(zip(table["tumor"], table["benign"], table["malignant"], strict=True))
    fits = (
        pd.Series([flag in ((0, 0, 0), (1, 1, 0), (1, 0, 1)) for flag in flags])
        & ~(of_benign & (table["benign"] == 0))
        & ~(of_malignant & (table["malignant"] == 0))
    )
    assert sorted(errors) == table.index[~fits].tolist()
    assert errors[len(table) - 1].startswith(f"{ids.iloc[-1]} has tumor=1, benign=1, malignant=1;")


def test_an_empty_subtype_means_no(tmp_path):
    rows = [row("a1.jpeg", 1, 1, 1) | {"osteosarcoma": None, "osteofibroma": 1}]
    assert load_cases(write_folder(tmp_path / "d", rows))["label"].tolist() == [1]


def test_csv_and_xlsx_give_the_same_cases(phantom, cases, tmp_path):
    root = tmp_path / "csv"
    shutil.copytree(phantom / "images", root / "images")
    pd.read_excel(phantom / "dataset.xlsx").to_csv(root / "dataset.csv", index=False)
    pd.testing.assert_frame_equal(load_cases(root).drop(columns="path"), cases.drop(columns="path"))


def test_images_are_matched_without_their_suffix(tmp_path):
    cases = load_cases(write_folder(tmp_path / "d", [row("a1.jpeg")], images=["a1.JPG"]))
    assert cases["path"].tolist() == [str(tmp_path / "d/images/a1.JPG")]


BAD_ROWS = {
    "contradiction": ([row("a1.jpeg", tumor=0, benign=1)], "a1.jpeg has tumor=0, benign=1"),
    "tumour of no kind": ([row("a1.jpeg", tumor=1)], "a1.jpeg has tumor=1, benign=0, malignant=0"),
    "twice": ([row("a1.jpeg"), row("a1.jpg")], "a1.jpg occurs more than once"),
    "center": ([row("a1.jpeg", center=0)], "a1.jpeg has center=0; must be a whole number from 1"),
    "no center": ([row("a1.jpeg", center=None)], "a1.jpeg has center=nan"),
    "escape code": ([row("a\x1b[31m.jpeg")], r"a\x1b[31m.jpeg contains unprintable char"),
    "zero width": (
        [row("a1\u200b.jpeg")],
        r"a1\u200b.jpeg contains unprintable characters",
    ),
    "5,000 digits": (
        [row("1" * 5000)],
        "1111... is too long; an image_id may have at most 200 bytes",
    ),
    "equals sign": ([row("=1+1.jpeg")], "=1+1.jpeg would be a formula in a spreadsheet"),
    "at sign": ([row("@a.jpeg")], "@a.jpeg would be a formula in a spreadsheet"),
    "benign and malignant": ([row("a1.jpeg", 1, 1, 1, 1)], "a case is either benign or malignant"),
    "value of two lines": ([row("a1.jpeg", tumor="1\n0")], "a1.jpeg has tumor=1 0; must be 0 or 1"),
    "flag": ([row("a1.jpeg", tumor="yes")], "a1.jpeg has tumor=yes; must be 0 or 1"),
    "column": (
        [{"image_id": "a1.jpeg", "center": 1}],
        "lacks the columns tumor, benign, malignant",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_table_is_reported_in_one_line(name, tmp_path):
    rows, message = BAD_ROWS[name]
    root = write_folder(tmp_path / "d", rows, images=[])
    with pytest.raises(InputError) as got:
        load_cases(root)
    assert str(got.value).startswith(str(root / "dataset.csv"))
    assert message in str(got.value)
    assert "\n" not in str(got.value)


def test_missing_folders_and_files_are_reported(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        load_cases(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither dataset.xlsx nor dataset.csv"):
        load_cases(tmp_path)
    root = write_folder(tmp_path / "d", [row("a1.jpeg"), row("a2.jpeg")], images=["a1.jpeg"])
    with pytest.raises(InputError, match=r"no image of a2; looked for a2.jpeg, a2.jpg, a2.png"):
        load_cases(root)
    with pytest.raises(InputError, match=r"did you mean data.root=.*/BTXRD\?"):
        load_cases(write_folder(tmp_path / "outer/BTXRD", [row("a1.jpeg")]).parent)


def test_a_file_that_is_not_a_table_is_reported(tmp_path):
    root = write_folder(tmp_path / "d", [row("a1.jpeg")])
    (root / "dataset.csv").unlink()
    (root / "dataset.xlsx").write_bytes(b"no workbook")
    with pytest.raises(InputError, match=r"dataset.xlsx: cannot be read as a table"):
        load_cases(root)


def test_numbers_as_ids_survive_an_empty_row(tmp_path):
    (tmp_path / "images").mkdir()
    rows = pd.DataFrame([row(1001), row(None, None, None, None, None), row(1002)])
    rows.astype(object).to_excel(tmp_path / "dataset.xlsx", index=False)
    assert read_table(tmp_path / "dataset.xlsx")["stem"].tolist() == ["1001", "1002"]


def test_a_chart_sheet_is_ignored(tmp_path):
    pd.DataFrame([row("a1")]).to_excel(tmp_path / "dataset.xlsx", index=False)
    book = openpyxl.load_workbook(tmp_path / "dataset.xlsx")
    book.create_chartsheet("chart", 0).add_chart(openpyxl.chart.BarChart())
    book.save(tmp_path / "dataset.xlsx")
    assert read_table(tmp_path / "dataset.xlsx")["stem"].tolist() == ["a1"]


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "latin-1"])
def test_another_encoding_is_reported_in_one_line(encoding, tmp_path):
    table = pd.DataFrame([row("é1.jpeg")])
    table.to_csv(tmp_path / "dataset.csv", index=False, encoding=encoding)
    with pytest.raises(
        InputError, match=r"dataset.csv: cannot be read as a table, it is not UTF-8"
    ):
        read_table(tmp_path / "dataset.csv")


def test_rows_that_are_longer_than_the_header_do_not_shift_the_columns(tmp_path):
    pd.DataFrame([row("a1"), row("a2")]).to_csv(tmp_path / "dataset.csv", index=False)
    header, *rows = (tmp_path / "dataset.csv").read_text().splitlines()
    (tmp_path / "dataset.csv").write_text("\n".join([header, *(line + "," for line in rows)]))
    assert read_table(tmp_path / "dataset.csv")["stem"].tolist() == ["a1", "a2"]
    (tmp_path / "dataset.csv").write_text("\n".join([header, *(line + ",5" for line in rows)]))
    with pytest.raises(InputError, match=r"dataset.csv: cannot be read as a table \(Length of"):
        read_table(tmp_path / "dataset.csv")


@pytest.mark.parametrize(("of_table", "of_files"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_accent_may_be_a_separate_character(of_table, of_files, tmp_path):
    name = "fémur1.jpeg"
    rows = [row(unicodedata.normalize(of_table, name))]
    root = write_folder(tmp_path / "d", rows, images=[unicodedata.normalize(of_files, name)])
    assert load_cases(root)["stem"].tolist() == [unicodedata.normalize("NFC", "fémur1")]


def test_misspelt_columns_are_distinguished_from_other_ones():
    table = pd.DataFrame(
        columns=["image_id", "Femur", "age_years", "hospital", "stem", "Unnamed: 5"]
    )
    table.loc[0] = ["a1", 0, 0, "x", "a1", None]
    assert other_columns(table) == (
        ["Femur (did you mean femur?)", "age_years (did you mean age?)"],
        ["hospital"],
    )


def test_a_folder_without_permission_is_reported(tmp_path, monkeypatch):
    root = write_folder(tmp_path / "d", [row("a1.jpeg")])

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(InputError, match=r"d/images: cannot be read \(Permission denied\)"):
        load_cases(root)
