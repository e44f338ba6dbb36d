"""Damage a data set: each kind stops a run before it starts, with one line that names the file."""

import functools
import json
import os
import shutil
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import make_once
from PIL import ExifTags, Image

from btxrd.config.compose import register_schema
from btxrd.data.dataset import load_dataset
from btxrd.data.table import read_table
from btxrd.errors import InputError
from btxrd.execution.launch import check
from btxrd.execution.planning import plan_run
from btxrd.phantom.write import write_phantom

IMAGES = 26


class Folder:
    """A data set to be damaged. `tumour` and `normal` are the stems of two of its cases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        cases = read_table(root / "dataset.xlsx")
        cases = cases[cases["image_id"].str.endswith(".jpeg")]
        outlined = [path.stem for path in (root / "Annotations").glob("*.json")]
        self.tumour = cases.loc[cases["stem"].isin(outlined), "stem"].iloc[0]
        self.normal = cases.loc[cases["tumor"] == 0, "stem"].iloc[0]
        self.image = root / "images" / f"{self.normal}.jpeg"
        self.outline = root / "Annotations" / f"{self.tumour}.json"

    def table(self, edit):
        """Change dataset.xlsx. `edit` returns the new table, or changes it in place."""
        table = pd.read_excel(self.root / "dataset.xlsx")
        changed = edit(table)
        table = table if changed is None else changed
        table.to_excel(self.root / "dataset.xlsx", index=False)

    def cell(self, column, value, stem=None):
        def edit(table):
            table[column] = table[column].astype(object)
            table.loc[table["image_id"].str.startswith(stem or self.normal), column] = value

        self.table(edit)

    def edit_outline(self, **changes):
        self.outline.write_text(json.dumps(json.loads(self.outline.read_text()) | changes))

    def shape(self, points, kind="polygon"):
        self.edit_outline(shapes=[{"label": "tumor", "points": points, "shape_type": kind}])

    def save(self, change, **options):
        with Image.open(self.image) as image:
            change(image).save(self.image, **options)


def two_sheets(folder):
    table = pd.read_excel(folder.root / "dataset.xlsx")
    with pd.ExcelWriter(folder.root / "dataset.xlsx") as book:
        table.to_excel(book, sheet_name="a", index=False)
        table.to_excel(book, sheet_name="b", index=False)


def only_the_lock(folder):
    (folder.root / "dataset.xlsx").unlink()


def csv_beside(folder):
    pd.read_excel(folder.root / "dataset.xlsx").to_csv(folder.root / "dataset.csv")


def as_csv(folder, **options):
    table = pd.read_excel(folder.root / "dataset.xlsx")
    (folder.root / "dataset.xlsx").unlink()
    table.to_csv(folder.root / "dataset.csv", index=False, **options)


def repeat_column(folder):
    as_csv(folder)
    path = folder.root / "dataset.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",center", *(line + ",1" for line in lines[1:])]))


def large_header(folder):
    """Write a PNG whose header claims 12,000 x 12,000 pixels."""
    Image.new("L", (60, 60)).save(folder.image, format="PNG")
    content = bytearray(folder.image.read_bytes())
    content[16:24] = (12000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    folder.image.write_bytes(content)


def middle(content, new):
    """Return `content` with its middle replaced by `new`."""
    at = (len(content) - len(new)) // 2
    return content[:at] + new + content[at + len(new) :]


def second_image(folder):
    shutil.copyfile(folder.image, folder.image.with_suffix(".png"))


def second_outline(folder):
    nested = folder.root / "Annotations" / "Annotations" / folder.outline.name
    nested.write_text(folder.outline.read_text().replace("tumor", "other"))


TRIANGLE = [[10, 10], [90, 10], [50, 80]]
TABLE = r"dataset\.(xlsx|csv): "
DAMAGE = {
    "no table": (lambda f: (f.root / "dataset.xlsx").unlink(), r"neither dataset.xlsx nor"),
    "only Excel's lock": (only_the_lock, r"~\$dataset.xlsx is only a lock file of Excel"),
    "two tables": (csv_beside, r"contains both dataset.xlsx and dataset.csv; keep one"),
    "truncated table": (
        lambda f: (f.root / "dataset.xlsx").write_bytes(
            (f.root / "dataset.xlsx").read_bytes()[:-500]
        ),
        TABLE + r"cannot be read as a table",
    ),
    "empty table": (lambda f: f.table(lambda t: t[:0]), TABLE + r"contains no cases"),
    "semicolons": (
        lambda f: as_csv(f, sep=";"),
        TABLE + r"is separated by semicolons; save it with commas",
    ),
    "Latin-1": (
        lambda f: (f.cell("gender", "m\u00e4nnlich"), as_csv(f, encoding="latin-1")),
        TABLE + r"cannot be read as a table",
    ),
    "no labels": (
        lambda f: f.table(lambda t: t.drop(columns=["benign", "malignant"])),
        TABLE + r"lacks the columns benign, malignant",
    ),
    "a column twice": (repeat_column, TABLE + r"has the column center twice"),
    "two sheets of cases": (two_sheets, TABLE + r"the sheets a and b all list cases"),
    "an id twice": (
        lambda f: f.table(lambda t: pd.concat([t, t[:1].assign(age=3)])),
        TABLE + r"IMG000001.jpeg occurs more than once",
    ),
    "no id": (lambda f: f.cell("image_id", None), TABLE + r"row \d+ has no image_id"),
    "a path as id": (
        lambda f: f.cell("image_id", "../a.jpeg"),
        TABLE + r"\.\./a.jpeg is not a plain file name",
    ),
    "no center": (lambda f: f.cell("center", None), TABLE + r"{normal}.* has center=nan; must be"),
    "center 0": (lambda f: f.cell("center", 0), TABLE + r"{normal}.* has center=0; must be"),
    "center 1.5": (lambda f: f.cell("center", 1.5), TABLE + r"{normal}.* has center=1.5; must be"),
    "a flag of 2": (lambda f: f.cell("benign", 2), TABLE + r"{normal}.* has benign=2; must be 0"),
    "a flag in words": (
        lambda f: f.cell("tumor", "yes"),
        TABLE + r"{normal}.* has tumor=yes; must be 0 or 1",
    ),
    "tumour of no kind": (lambda f: f.cell("tumor", 1), TABLE + r"{normal}.* tumor must be 1"),
    "kind without tumour": (
        lambda f: f.cell("malignant", 1),
        TABLE + r"{normal}.* has tumor=0, benign=0, malignant=1",
    ),
    "subtype of another label": (
        lambda f: f.cell("osteosarcoma", 1),
        TABLE + r"{normal}.* has osteosarcoma=1, malignant=0",
    ),
    "a site of 3": (lambda f: f.cell("hip bone", 3), TABLE + r"{normal}.* has hip bone=3; must be"),
    "age in words": (lambda f: f.cell("age", "forty"), TABLE + r"{normal}.* has age=forty; must"),
    "age of 400 digits": (
        lambda f: (f.cell("age", "1" * 400), as_csv(f)),
        TABLE + r"{normal}.* has age=1+\.\.\.; must be",
    ),
    "age of 400": (lambda f: f.cell("age", 400), TABLE + r"{normal}.* has age=400; must be"),
    "no images": (lambda f: shutil.rmtree(f.root / "images"), r"images: no such folder"),
    "an image missing": (lambda f: f.image.unlink(), r"images: no image of {normal}; looked for"),
    "two images of a case": (
        second_image,
        r"{normal}.png: {normal}.jpeg has the same id; keep one",
    ),
    "a folder as image": (
        lambda f: (f.image.unlink(), f.image.mkdir()),
        r"{normal}.jpeg: is a folder, a pipe or a device",
    ),
    "empty image": (lambda f: f.image.write_bytes(b""), r"{normal}.jpeg: is empty"),
    "truncated image": (
        lambda f: f.image.write_bytes(f.image.read_bytes()[:3000]),
        r"{normal}.jpeg: cannot be decoded as an image \(Premature end",
    ),
    "image without an end": (
        lambda f: f.image.write_bytes(f.image.read_bytes()[:-600]),
        r"{normal}.jpeg: cannot be decoded as an image \(Premature end",
    ),
    "noise in an image": (
        lambda f: f.image.write_bytes(middle(f.image.read_bytes(), os.urandom(9000))),
        r"{normal}.jpeg: cannot be decoded as an image \(",
    ),
    "zeros in an image": (
        lambda f: f.image.write_bytes(middle(f.image.read_bytes(), bytes(4096))),
        r"{normal}.jpeg: cannot be decoded as an image \(Corrupt JPEG data",
    ),
    "a pipe as image": (
        lambda f: (f.image.unlink(), os.mkfifo(f.image)),
        r"{normal}.jpeg: is a folder, a pipe or a device",
    ),
    "text as image": (
        lambda f: f.image.write_text("no image"),
        r"{normal}.jpeg: cannot be decoded as an image \(cannot identify",
    ),
    "GIF as image": (
        lambda f: f.save(lambda image: image.convert("L"), format="GIF"),
        r"{normal}.jpeg: cannot be decoded",
    ),
    "CMYK": (
        lambda f: f.save(lambda image: image.convert("CMYK")),
        r"{normal}.jpeg: is a CMYK image",
    ),
    "bilevel": (
        lambda f: f.save(lambda image: image.convert("1"), format="PNG"),
        r"{normal}.jpeg: is a 1 image; must be grey or RGB",
    ),
    "absurdly large": (large_header, r"{normal}.jpeg: has 12000 x 12000 pixels; must have at most"),
    "absurdly small": (
        lambda f: f.save(lambda image: image.resize((9, 300))),
        r"{normal}.jpeg: has 9 x 300 pixels; each side must have at least",
    ),
    "blank": (
        lambda f: f.save(lambda image: Image.new("L", image.size, 7)),
        r"{normal}.jpeg: is blank, every pixel is 7",
    ),
    "outline cut off": (
        lambda f: f.outline.write_text(f.outline.read_text()[:200]),
        r"{tumour}.json: cannot be read as JSON",
    ),
    "empty outline": (lambda f: f.outline.write_text(""), r"{tumour}.json: cannot be read as JSON"),
    "binary outline": (
        lambda f: f.outline.write_bytes(b"\xff\xfe\x00"),
        r"{tumour}.json: cannot be read as J",
    ),
    "deep outline": (
        lambda f: f.outline.write_text("[" * 100_000),
        r"{tumour}.json: cannot be read as JSON",
    ),
    "list as outline": (lambda f: f.outline.write_text("[1]"), r"{tumour}.json: not a LabelMe"),
    "no shapes": (lambda f: f.edit_outline(shapes=[]), r"{tumour}.json: .* 0 shapes; must outline"),
    "no size": (lambda f: f.edit_outline(imageWidth=None), r"{tumour}.json: not a LabelMe"),
    "size 0": (lambda f: f.edit_outline(imageHeight=0), r"{tumour}.json: .*imageHeight=0"),
    "unknown shape": (
        lambda f: f.shape(TRIANGLE[:2], "circle"),
        r"{tumour}.json: a circle with 2 points; must be a polygon",
    ),
    "line of points": (lambda f: f.shape(TRIANGLE, "linestrip"), r"{tumour}.json: a linestrip"),
    "two points": (lambda f: f.shape(TRIANGLE[:2]), r"{tumour}.json: a polygon with 2 points"),
    "points in words": (lambda f: f.shape([["a", "b"]] * 3), r"{tumour}.json: not a LabelMe"),
    "no number": (
        lambda f: f.shape([*TRIANGLE, [float("nan"), 3]]),
        r"{tumour}.json: a polygon has invalid coordinates",
    ),
    "out of the frame": (
        lambda f: f.shape((np.array(TRIANGLE) + 9000).tolist()),
        r"{tumour}.json: a lesion lies completely outside the image",
    ),
    "beside the frame": (
        lambda f: f.shape([[-100, 50], [50, -100], [-100, -100]]),
        r"{tumour}.json: a lesion lies completely outside the image",
    ),
    "absurdly far": (
        lambda f: f.shape([*TRIANGLE, [1e39, 3]]),
        r"{tumour}.json: a polygon has invalid coordinates",
    ),
    "center 1e30": (
        lambda f: f.cell("center", 1e30),
        TABLE + r"{normal}.* has center=1[e+\d]+; must be",
    ),
    "another size": (
        lambda f: f.edit_outline(imageWidth=64, imageHeight=64),
        r"{tumour}.json: was drawn on an image of 64 x 64 pixels, but {tumour} has",
    ),
    "another image": (
        lambda f: f.edit_outline(imagePath="IMG999999.jpeg"),
        r"{tumour}.json: imagePath names IMG999999; must name {tumour}",
    ),
    "two outlines": (second_outline, r"{tumour}.json: differs from .*{tumour}.json; keep one"),
}


@pytest.fixture(scope="session")
def small(shared):
    """Return a data set of few images, since each test copies and inspects it."""
    return make_once(shared / "small", partial(write_phantom, cases=IMAGES, seed=3))


@pytest.fixture
def folder(small, tmp_path):
    return Folder(shutil.copytree(small, tmp_path / "data"))


@pytest.fixture(scope="session")
def plain(small):
    """Return the loaded data set without damage."""
    return load_dataset(*loading(Folder(small)))


@functools.cache
def composed(*overrides):
    register_schema()
    (config,) = plan_run(
        ["data=btxrd", "data.root=set-below", *overrides], "config", None
    ).runs.values()
    return config


def config_of(folder, *overrides):
    config = composed(*overrides)
    cache = str(folder.root.parent / "cache")
    return replace(config, data=replace(config.data, root=str(folder.root), cache=cache))


@pytest.fixture(autouse=True)
def no_models(monkeypatch):
    """Skip the check of models, which would load torch and access a hub."""
    monkeypatch.setattr("btxrd.execution.ahead.preflight._check_models", lambda *_: None)


def listing(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix not in (".lock", ".npz"))


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_stops_a_run_with_one_line_and_leaves_nothing(kind, folder, tmp_path):
    damage, message = DAMAGE[kind]
    damage(folder)
    before = listing(tmp_path)
    with pytest.raises(InputError, match=message.format(**vars(folder))) as got:
        check({tmp_path / "run": config_of(folder)}, fail_fast=False)
    assert "\n" not in str(got.value)
    assert str(folder.root) in str(got.value)
    after = [path for path in listing(tmp_path) if path.name != "cache"]
    assert after == before


def test_a_cache_that_cannot_be_written_is_found_before_the_data_are_read(folder, tmp_path):
    (tmp_path / "file.csv").touch()
    config = config_of(folder)
    config = replace(config, data=replace(config.data, root="", cache=str(tmp_path / "file.csv")))
    with pytest.raises(InputError, match=r"^data.cache=.*is not a folder; name another one$"):
        check({tmp_path / "run": config}, fail_fast=False)


def test_errors_are_printed_in_the_order_of_the_runs(folder, tmp_path, capsys):
    runs = {}
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").touch()
        config = config_of(folder)
        cache = str(tmp_path / f"{name}.csv")
        runs[tmp_path / name] = replace(config, data=replace(config.data, cache=cache))
    with pytest.raises(InputError, match=r"c\.csv"):
        check(runs, fail_fast=False)
    first, second = capsys.readouterr().err.splitlines()
    assert "a.csv" in first and "b.csv" in second


def test_at_least_thirty_kinds_of_damage_are_tested():
    assert len(DAMAGE) >= 30


def turned(folder):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    folder.save(lambda image: image.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)


def sixteen_bit(folder):
    def deepen(image):
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16)

    folder.save(deepen, format="PNG")


def sixteen_bit_colour(folder):
    with Image.open(folder.image) as image:
        deep = np.asarray(image.convert("RGB")).astype(np.uint16) * 16
    folder.image.write_bytes(cv2.imencode(".png", deep)[1].tobytes())


USABLE = {
    "RGBA": (
        lambda f: f.save(lambda image: image.convert("RGBA"), format="PNG"),
        "RGBA images, converted to grey: 1",
    ),
    "16 bit": (sixteen_bit, "I;16 images, converted to grey: 1"),
    "16 bit in colour": (sixteen_bit_colour, "RGB;16 images, converted to grey: 1"),
    "a large profile": (
        lambda f: f.save(lambda image: image, format="PNG", icc_profile=bytes(2_000_000)),
        "PNG images named .jpeg: 1",
    ),
    "a further column": (
        lambda f: f.table(lambda t: t.assign(hospital="x")),
        "Other additional columns, not used: 1",
    ),
    "palette": (
        lambda f: f.save(lambda image: image.convert("L").convert("P"), format="PNG"),
        "P images, converted to grey: 1",
    ),
    "EXIF": (turned, "Images turned upright by EXIF: 1"),
    "PNG in name only": (
        lambda f: f.save(lambda image: image, format="PNG"),
        "PNG images named .jpeg: 1",
    ),
    "partly out of the frame": (
        lambda f: f.shape([[-30, 10], [90, 10], [90, 90]]),
        "Outlines that extend beyond the image, cut at its border: 1",
    ),
    "no outline": (lambda f: f.outline.unlink(), "Tumours without an outline: 1"),
    "stranger": (
        lambda f: shutil.copyfile(f.image, f.image.with_name("IMG999999.jpeg")),
        "Images without a case, not used: 1",
    ),
    "renamed sheet": (
        lambda f: pd.read_excel(f.root / "dataset.xlsx").to_excel(
            f.root / "dataset.xlsx", sheet_name="Tabelle 7", index=False
        ),
        None,
    ),
    "grey or RGB": (lambda f: f.save(lambda image: image.convert("RGB")), None),
    "byte order mark": (
        lambda f: f.outline.write_text(f.outline.read_text(), encoding="utf-8-sig"),
        None,
    ),
    "no age": (
        lambda f: f.table(lambda t: t.drop(columns="age")),
        "The table lacks age or gender: images of one patient may be in several partitions",
    ),
}


@pytest.mark.parametrize("kind", USABLE)
def test_unusual_but_usable_data_are_used_with_one_warning(kind, folder, plain):
    change, warning = USABLE[kind]
    change(folder)
    dataset = load_dataset(*loading(folder))
    assert len(dataset.cases) == len(plain.cases)
    said = [line for line in dataset.warnings if line not in plain.warnings]
    lines = {line.split(" (first")[0] for line in said}
    assert warning is None or warning in lines
    assert lines <= {warning, "PNG images named .jpeg: 1"}
    row = dataset.cases.index[dataset.cases["stem"] == folder.normal][0]
    off = np.abs(dataset.pixels[row].astype(float) - plain.pixels[row]).mean()
    assert off < 4


def loading(folder):
    config = config_of(folder)
    cache = str(folder.root.parent / "images")
    config.data.cache, config.data.clahe_clip = cache, 0.0
    return config.data, config.split, 64
