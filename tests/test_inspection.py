"""An inspection finds exactly the flaws that were planted in a synthetic data set."""

import json
import shutil

import pandas as pd
import pytest

from btxrd.audit.findings import audit
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.dataset import load_dataset
from btxrd.data.inspection import inspect
from btxrd.errors import InputError
from btxrd.phantom.flaws import KINDS

WARNINGS = {
    "I;16": "I;16 images, converted to grey",
    "RGBA": "RGBA images, converted to grey",
    "LA": "LA images, converted to grey",
    "turned": "images turned upright by EXIF",
    "PNG": "PNG images named .jpeg",
    "image without case": "images without a case, not used",
    "no outline": "tumours without an outline",
    "tiny": "outlines smaller than 0.01% of the image",
    "crossing": "outlines that extend beyond the image, cut at its border",
    "outlined normal": "normal cases with an outline, not used",
    "outline without case": "outlines without a case, not used",
}
FAULTS = {"images": "images", "outlines": "outlines", "no image": "cases without an image"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module", params=KINDS)
def planted(request, flawed):
    """Return a synthetic data set of each kind, and its planted flaws."""
    root = flawed(request.param)
    return root, json.loads((root / "phantom.json").read_text())["planted"]


def test_exactly_the_planted_flaws_are_found(planted, folder):
    root, flaws = planted
    found = inspect(root, folder / "cache", strict=False)
    pairs = found.pairs[["one", "other", "contradict"]].to_numpy().tolist()
    assert sorted(pair[:2] for pair in pairs) == sorted(flaws.get("duplicates", []))
    assert [pair[:2] for pair in pairs if pair[2]] == flaws.get("contradictory", [])
    assert found.warnings == {WARNINGS[name]: flaws[name] for name in WARNINGS if name in flaws}
    rows = [name.split(" in row ")[0] for name in found.errors["rows"]]
    assert sorted(rows) == sorted(flaws.get("rows", []))
    for name, kind in FAULTS.items():
        assert sorted(found.errors[kind]) == sorted(flaws.get(name, []))


def test_a_duplicate_joins_two_patients(planted, folder):
    root, flaws = planted
    found = inspect(root, folder / "cache", strict=False)
    group = found.cases.set_index("stem")["group"]
    assert all(group[one] == group[other] for one, other in flaws.get("duplicates", []))


def test_a_run_stops_at_errors_but_not_at_warnings(planted, folder):
    root, flaws = planted
    if "rows" in flaws:
        with pytest.raises(InputError, match=r"dataset.xlsx: IMG\d+.* and 3 more rows"):
            inspect(root, folder / "cache", strict=True)
    else:
        assert len(inspect(root, folder / "cache", strict=True).cases) >= 60


def test_oddities_of_table_and_labels_cause_one_warning_each(phantom, tmp_path):
    root = shutil.copytree(phantom, tmp_path / "data")
    table = pd.read_excel(root / "dataset.xlsx")
    table.loc[0, "gender"] = table.loc[0, "gender"].lower() + " "
    table = table.rename(columns={"hand": "hannd"}).assign(hospital="x")
    table.to_excel(root / "dataset.xlsx", index=False)
    outlines = sorted((root / "Annotations").glob("*.json"))[:2]
    for path in outlines:
        content = json.loads(path.read_text())
        content["shapes"][0]["label"] = "Ruler (ignore)"
        path.write_text(json.dumps(content))
    assert inspect(root, tmp_path / "cache", strict=False).warnings == {
        "columns with names similar to a column of BTXRD, not used": ["hannd (did you mean hand?)"],
        "other additional columns, not used": ["hospital"],
        "cases with a different spelling in gender, treated as the usual one": ["IMG000001"],
        "outline labels that BTXRD does not have (ruler (ignore)), used as lesions": [
            outlines[0].stem
        ],
    }


def test_an_audit_continues_after_a_case_with_two_images(phantom, tmp_path):
    root = shutil.copytree(phantom, tmp_path / "data")
    image = next((root / "images").glob("*.jpeg"))
    shutil.copyfile(image, image.with_suffix(".png"))
    outline = next((root / "Annotations").glob("*.json"))
    nested = root / "Annotations" / "Annotations" / outline.name
    nested.write_text(outline.read_text().replace("tumor", "other"))
    found = inspect(root, tmp_path / "cache", strict=False)
    assert list(found.errors["cases with two images"]) == [image.stem]
    assert list(found.errors["cases with two outlines"]) == [outline.stem]
    assert image.stem not in set(found.cases["stem"])
    assert outline.stem not in found.outlines


def test_a_table_without_usable_rows_is_reported(phantom, tmp_path):
    root = shutil.copytree(phantom, tmp_path / "data")
    pd.read_excel(root / "dataset.xlsx").assign(center=0).to_excel(root / "dataset.xlsx")
    with pytest.raises(InputError, match=r"contains no usable case; first error: .* has center=0"):
        inspect(root, tmp_path / "cache", strict=False)


def test_duplicates_with_different_labels_are_reported_and_left_out_on_request(folder, flawed):
    root = flawed("oddities")
    flaws = json.loads((root / "phantom.json").read_text())["planted"]
    split = SplitConfig(strategy="stratified")
    kept, dropped = (
        DataConfig(root=str(root), cache=str(folder / "cache"), contradictions=what)
        for what in ("keep", "drop")
    )
    (pair,) = flaws["contradictory"]
    whole, without = (load_dataset(data, split, 32) for data in (kept, dropped))
    assert set(whole.cases["stem"]) - set(without.cases["stem"]) == set(pair)
    (line,) = [
        line for line in whole.warnings if line.startswith("Near-duplicates with different labels")
    ]
    assert all(stem in line for stem in pair)
    _, report = audit(dropped, split)
    assert report.splits[0].whole.leakage.groups == 0
