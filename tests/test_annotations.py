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
def test_mask_scales_with_the_film(shape, tmp_path):
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


def test_corners_out_of_the_frame_are_cut_off():
    mask = lesion_mask(Outline(200, 100, (np.array(SQUARE, float) + np.array([100, 0]),)), 100)
    assert mask[50, 99] == 1
    assert mask.mean() == pytest.approx(0.125, abs=0.02)


def test_nested_folder_is_read_and_lock_files_are_not(tmp_path):
    inner = tmp_path / "Annotations" / "Annotations"
    inner.mkdir(parents=True)
    (inner / "b.json").write_text(json.dumps(labelme(("polygon", SQUARE))))
    (inner / "~$b.json").write_text("lock")
    assert find_outlines(tmp_path) == ({"b": inner / "b.json"}, {})


def test_two_files_of_one_film_must_be_equal(tmp_path):
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


def test_outline_must_belong_to_its_film():
    assert outline_error(square(), "a", 200, 100) is None
    assert outline_error(square(image="a"), "a", 200, 100) is None
    assert "names b; must name a" in outline_error(square(image="b"), "a", 200, 100)
    assert "film of 200 x 100 pixels, but a has 100 x 200" in outline_error(square(), "a", 100, 200)
    assert "wholly out of the frame" in outline_error(square(160), "a", 200, 100)


def test_share_and_crossing_are_of_the_frame():
    assert square().share == pytest.approx(0.25)
    assert not square().crosses_frame
    assert square(60).crosses_frame


@pytest.mark.parametrize("name", ["a.jpeg", "..\\images\\a.jpeg", "../images/a.png"])
def test_image_path_is_read_wherever_it_was_drawn(name, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labelme(("polygon", SQUARE)) | {"imagePath": name}))
    assert read_outline(path).image == "a"


DAMAGE = {
    "{": "is no JSON",
    "[]": "is no LabelMe file",
    json.dumps(labelme()): "must outline a lesion",
    json.dumps(labelme(("polygon", SQUARE[:2]))): "a polygon with 2 points",
    json.dumps(labelme(("circle", SQUARE[:2]))): "a circle with 2 points",
    json.dumps(labelme(("polygon", [[1, 2], [3, None], [5, 6]]))): "no numbers",
    json.dumps(labelme(("polygon", SQUARE), width=0)): "imageWidth=0",
    json.dumps({"imageWidth": 1, "imageHeight": 1}): "is no LabelMe file",
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_named_in_one_line(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError) as got:
        read_outline(path)
    assert str(got.value).startswith(str(path))
    assert DAMAGE[text] in str(got.value)
    assert "\n" not in str(got.value)
