import json

import numpy as np
import pytest

from btxrd.data.annotations import Outline, find_outlines, lesion_mask, outline_error, read_outline
from btxrd.errors import InputError


def labelme(*shapes, width=200, height=100):
    listed = [{"label": "tumor", "shape_type": kind, "points": points} for kind, points in shapes]
    return {"shapes": listed, "imageWidth": width, "imageHeight": height}


SQUARE = [[50, 25], [150, 25], [150, 75], [50, 75]]


@pytest.mark.parametrize(
    "shape", [("polygon", SQUARE), ("rectangle", [[150, 75], [50, 25]]), ("rectangle", SQUARE)]
)
def test_mask_scales_with_the_image(shape, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labelme(shape)))
    mask = lesion_mask(read_outline(path), 80)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max()) == pytest.approx((20, 59), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((20, 59), abs=1)
    assert mask.mean() == pytest.approx(0.25, abs=0.02)


def test_several_lesions_are_all_filled():
    far = np.array(SQUARE, float) * 0.2
    mask = lesion_mask(Outline(200, 100, (far, far + np.array([150, 75]))), 100)
    assert mask[10, 10] == mask[85, 85] == 1
    assert mask[50, 50] == 0


def test_parts_outside_the_image_are_cut():
    mask = lesion_mask(Outline(200, 100, (np.array(SQUARE, float) + np.array([100, 0]),)), 100)
    assert mask[50, 99] == 1
    assert mask.mean() == pytest.approx(0.125, abs=0.02)


def test_nested_folder_is_read_and_lock_files_are_not(tmp_path):
    inner = tmp_path / "Annotations" / "Annotations"
    inner.mkdir(parents=True)
    (inner / "b.json").write_text(json.dumps(labelme(("polygon", SQUARE))))
    (inner / "~$b.json").write_text("lock")
    assert find_outlines(tmp_path) == ({"b": inner / "b.json"}, {})


def test_linked_folders_are_entered_once(tmp_path):
    top, store = tmp_path / "Annotations", tmp_path / "store"
    for folder in (top, store / "deep"):
        folder.mkdir(parents=True)
    (store / "deep" / "b.json").write_text(json.dumps(labelme(("polygon", SQUARE))))
    for name in ("batch1", "batch2"):
        (top / name).symlink_to(store)
    (store / "loop").symlink_to(top)
    assert find_outlines(tmp_path) == ({"b": top / "batch1" / "deep" / "b.json"}, {})


@pytest.mark.parametrize("name", ["Annotations", "Annotations/batch1", "Annotations/a.json"])
def test_a_broken_link_is_reported(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(No such file"):
        files, _ = find_outlines(tmp_path)
        read_outline(files["a"])


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    (tmp_path / "Annotations").mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=r"Annotations: cannot be read \(Permission denied\)"):
        find_outlines(tmp_path)


def test_labels_are_read_in_lower_case(tmp_path):
    content = labelme(("polygon", SQUARE), ("polygon", SQUARE))
    content["shapes"][1]["label"] = " Ruler (ignore) "
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_outline(tmp_path / "a.json").labels == {"tumor", "ruler (ignore)"}


@pytest.mark.parametrize("kind", [None, "Polygon", "POLYGON"])
@pytest.mark.parametrize("sides", [(200, 100), ("200", "100.0"), (200.0, 100.0)])
def test_files_of_other_labelme_versions_are_read(kind, sides, tmp_path):
    content = labelme((kind, SQUARE)) | {"imageWidth": sides[0], "imageHeight": sides[1]}
    (tmp_path / "a.json").write_bytes(json.dumps(content).encode("utf-16"))
    outline = read_outline(tmp_path / "a.json")
    assert (outline.width, outline.height, outline.share) == (200, 100, pytest.approx(0.25))


def test_two_outline_files_of_an_image_must_be_equal(tmp_path):
    inner = tmp_path / "Annotations" / "Annotations"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "a.json").write_text(json.dumps(labelme(("polygon", SQUARE))))
    assert find_outlines(tmp_path) == ({"a": inner / "a.json"}, {})
    (inner / "a.json").write_text(json.dumps(labelme(("rectangle", SQUARE))))
    _, doubles = find_outlines(tmp_path)
    assert "differs from" in doubles["a"]


def square(shift=0.0, image=None):
    return Outline(200, 100, (np.array(SQUARE, float) + np.array([shift, 0]),), image)


def test_outline_must_fit_its_image():
    assert outline_error(square(), "a", 200, 100) is None
    assert outline_error(square(image="a"), "a", 200, 100) is None
    assert "names b; must name a" in outline_error(square(image="b"), "a", 200, 100)
    assert "image of 200 x 100 pixels, but a has 100 x 200" in outline_error(
        square(), "a", 100, 200
    )
    assert "completely outside the image" in outline_error(square(160), "a", 200, 100)


def test_share_and_crossing_refer_to_the_image():
    assert square().share == pytest.approx(0.25)
    assert not square().crosses_frame
    assert square(60).crosses_frame


@pytest.mark.parametrize("name", ["a.jpeg", "..\\images\\a.jpeg", "../images/a.png"])
def test_image_path_of_any_system_is_read(name, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labelme(("polygon", SQUARE)) | {"imagePath": name}))
    assert read_outline(path).image == "a"


DAMAGE = {
    "{": "cannot be read as JSON",
    "[]": "not a LabelMe file",
    json.dumps(labelme()): "must outline at least one lesion",
    json.dumps(labelme(("polygon", SQUARE[:2]))): "a polygon with 2 points",
    json.dumps(labelme(("circle", SQUARE[:2]))): "a circle with 2 points",
    json.dumps(labelme(("polygon", [[1, 2], [3, None], [5, 6]]))): "invalid coordinates",
    json.dumps(labelme(("polygon", SQUARE), width=0)): "imageWidth=0",
    json.dumps(labelme(("polygon", SQUARE), width=200.5)): "200.5 pixels",
    json.dumps({"imageWidth": 1, "imageHeight": 1}): "not a LabelMe file",
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_reported_in_one_line(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError) as got:
        read_outline(path)
    assert str(got.value).startswith(str(path))
    assert DAMAGE[text] in str(got.value)
    assert "\n" not in str(got.value)
