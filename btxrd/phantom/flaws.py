"""Plant typical flaws of real data sets in a synthetic one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from btxrd.runtime.files import write_json

Rows = list[dict[str, Any]]  # of dataset.xlsx
KINDS = ("clean", "duplicates", "oddities", "damaged")  # each includes the flaws of those before
UNIQUE_AGE = 100  # no other patient is this old, so a copy never joins the patient before it


class Flaws:
    """Plant flaws in a folder of images, at most one per original image.

    Attributes:
        root: Folder of the data set.
        rows: Rows of the table, which are changed in place.
        planted: Stems of the changed images by flaw; pairs of stems for duplicates.
    """

    def __init__(self, root: Path, rows: Rows, seed: int) -> None:
        order = np.random.default_rng((seed, 1)).permutation(len(rows))
        self.root, self.rows = root, rows
        self.planted: dict[str, list[Any]] = {}
        self._tumours = [int(i) for i in order if rows[i]["benign"]]
        self._normals = [int(i) for i in order if not rows[i]["tumor"]]

    def plant(self, kind: str) -> dict[str, list[Any]]:
        """Plant the flaws of one of KINDS, and return `planted`."""
        steps = (self._duplicates, self._oddities, self._damage)
        for step in steps[: KINDS.index(kind)]:
            step()
        return self.planted

    def _victim(self, flaw: str, *, tumour: bool) -> int:
        row = (self._tumours if tumour else self._normals).pop()
        self.planted.setdefault(flaw, []).append(Path(self.rows[row]["image_id"]).stem)
        return row

    def _image(self, row: int) -> Path:
        return self.root / "images" / str(self.rows[row]["image_id"])

    def _outline(self, row: int) -> Path:
        name = f"{Path(self.rows[row]['image_id']).stem}.json"
        return next((self.root / "Annotations").rglob(name))

    def _edit_outline(self, row: int, **changes: Any) -> None:
        path = self._outline(row)
        write_json(path, json.loads(path.read_text()) | changes)

    def _points(self, row: int) -> npt.NDArray[np.float64]:
        """Return the corners (corners, 2) of the first shape of an outline, in pixels."""
        return np.array(json.loads(self._outline(row).read_text())["shapes"][0]["points"])

    def _shape(self, row: int, points: npt.ArrayLike, kind: str = "polygon") -> None:
        shape = {"label": "tumor", "shape_type": kind, "points": np.asarray(points).tolist()}
        self._edit_outline(row, shapes=[shape])

    def _duplicates(self) -> None:
        makers: dict[str, Callable[[Image.Image], Image.Image]] = {
            "identical": lambda image: image,
            "encoded again": lambda image: image,
            "resized": lambda image: image.resize((image.width // 2, image.height // 2)),
            "brightened": lambda image: image.point(lambda value: min(255, value * 1.15 + 8)),
            "of another center": lambda image: image,
            "contradictory": lambda image: image,
        }
        for number, (how, make) in enumerate(makers.items()):
            source = self._victim("duplicates", tumour=number % 2 == 1)
            row = dict(self.rows[source])
            name = f"IMG{len(self.rows) + 1:06d}.jpeg"
            row |= {"image_id": name, "age": UNIQUE_AGE + number}
            row["center"] = row["center"] % 3 + 1 if how == "of another center" else row["center"]
            target = self.root / "images" / name
            if how == "identical":
                shutil.copyfile(self._image(source), target)
            else:
                make(Image.open(self._image(source))).save(target, quality=35)
            self.rows.append(row)
            self.planted["duplicates"][-1] = [self.planted["duplicates"][-1], target.stem]
            if how == "contradictory":
                row |= {
                    column: 0 for column, value in row.items() if value == 1 and column != "center"
                }
                self.planted["contradictory"] = [self.planted["duplicates"][-1]]
            elif row["tumor"]:
                self._copy_outline(source, target)

    def _copy_outline(self, source: int, path: Path) -> None:
        content = json.loads(self._outline(source).read_text())
        with Image.open(path) as image:
            width, height = image.size
        scale = np.array([width / content["imageWidth"], height / content["imageHeight"]])
        for shape in content["shapes"]:
            shape["points"] = (np.array(shape["points"]) * scale).tolist()
        content |= {"imagePath": path.name, "imageWidth": width, "imageHeight": height}
        write_json(self.root / "Annotations" / f"{path.stem}.json", content)

    def _oddities(self) -> None:
        for mode in ("I;16", "RGBA", "LA"):
            path = self._image(self._victim(mode, tumour=False))
            grey = Image.open(path).convert("L")
            deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
            (deep if mode == "I;16" else grey.convert(mode)).save(path.with_suffix(".png"))
            path.unlink()
        path = self._image(self._victim("turned", tumour=True))
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6  # to be turned right by 90 degrees
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=90)
        path = self._image(self._victim("PNG", tumour=False))
        Image.open(path).save(path, format="PNG")

        unlisted = self.root / "images" / f"IMG{len(self.rows) + 1:06d}.jpeg"
        shutil.copyfile(path, unlisted.with_suffix(".png"))
        self.planted["image without case"] = [unlisted.stem]
        self._outline(self._victim("no outline", tumour=True)).unlink()
        tiny = self._victim("tiny", tumour=True)
        self._shape(tiny, self._points(tiny).mean(0) + np.array([[0, 0], [1, 0], [0, 1]]))
        crossing = self._victim("crossing", tumour=True)
        self._shape(crossing, [[-40, 10], [60, 10], [60, 90], [-40, 90]])
        normal = self._image(self._victim("outlined normal", tumour=False))
        self._copy_outline(tiny, normal)
        outline = self.root / "Annotations" / f"{normal.stem}.json"
        shutil.copyfile(outline, outline.with_stem(unlisted.stem))
        self.planted["outline without case"] = [unlisted.stem]

    def _damage(self) -> None:
        for column, value in (("center", None), ("age", "forty"), ("malignant", 2), ("tumor", 1)):
            self.rows[self._victim("rows", tumour=False)][column] = value
        self._image(self._victim("no image", tumour=False)).unlink()
        for damage in ("truncated", "empty", "text", "blank", "CMYK"):
            path = self._image(self._victim("images", tumour=False))
            content = path.read_bytes()
            if damage in ("blank", "CMYK"):
                image = Image.open(path)
                changed = Image.new("L", image.size) if damage == "blank" else image.convert("CMYK")
                changed.save(path)
            else:
                half = content[: len(content) // 2]
                path.write_bytes({"truncated": half, "empty": b"", "text": b"no film"}[damage])
        self._outline(self._victim("outlines", tumour=True)).write_text("{")
        row = self._victim("outlines", tumour=True)
        self._shape(row, self._points(row)[:2])
        row = self._victim("outlines", tumour=True)
        self._shape(row, self._points(row)[:2], "circle")
        self._edit_outline(self._victim("outlines", tumour=True), imagePath="IMG000000.jpeg")
        self._edit_outline(self._victim("outlines", tumour=True), imageWidth=77)
        row = self._victim("outlines", tumour=True)
        self._shape(row, self._points(row) + 5000)
