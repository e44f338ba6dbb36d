"""Write a synthetic data set in the layout of BTXRD."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from btxrd.config.schema import DataConfig
from btxrd.data.constants import CLASSES, COLUMNS, REGIONS, VIEWS
from btxrd.errors import InputError
from btxrd.phantom.anatomy import Lesion, Limb, outline
from btxrd.phantom.flaws import Flaws
from btxrd.phantom.image import draw_image, with_letter, with_plate
from btxrd.runtime.files import describe_os_error, lock, write_json
from btxrd.runtime.folders import refuse_readonly

MARKER = "phantom.json"  # written last: a folder without it is incomplete
LOCK, CONTENT = "lock", "whole"  # names inside the temporary folder
VERSION = 2  # of the drawing; raise it when an image changes
SHORTCUT = "shortcut"  # kind of data set in which a letter on each image reveals the class
CENTER_SHARES = (0.72, 0.14, 0.14)
TIE = 0.9  # at center 1: probability that the plate follows the class; otherwise it is random
CLASS_SHARES = (0.4, 0.36, 0.24)
BONES = {"femur": 2, "tibia": 2, "humerus": 1, "radius": 1}  # site -> index of its region + 1


@dataclass(frozen=True)
class Patient:
    """Properties that all images of one patient share."""

    center: int
    label: int
    age: int
    gender: str
    site: str
    subtype: str | None
    limb: Limb
    lesion: Lesion | None


def ensure_phantom(data: DataConfig) -> None:
    """Write the synthetic radiographs that a config asks for, unless they exist already.

    Raises:
        InputError: If `data.root` contains something else, or cannot be written.
    """
    if data.phantom is not None:
        write_phantom(Path(data.root), data.phantom.cases, data.phantom.seed, data.phantom.kind)


def write_phantom(root: Path, cases: int, seed: int, kind: str = "clean") -> None:
    """Write a data set of synthetic images, with table and outlines, unless it exists already.

    The folder has the peculiarities of BTXRD: some images end in .jpg, there is a nested annotation
    folder and an Excel lock file, some outlines are rectangles, and some images are RGB.

    Args:
        root: Folder to create.
        cases: Number of images, without the copies that a `kind` adds.
        seed: Seed of all random numbers.
        kind: One of `btxrd.phantom.flaws.KINDS`, whose flaws are planted and listed in the marker
            file; or SHORTCUT.

    Raises:
        InputError: If `root` contains something else, or cannot be written.
    """
    made = {"version": VERSION, "cases": cases, "seed": seed, "kind": kind}
    _remove_leftovers(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        found = _read_marker(root)
        if {name: found.get(name) for name in made} != made:
            raise InputError(
                f"data.root={root}: already exists, but is not the synthetic data set kind={kind}, "
                f"cases={cases}, seed={seed}; delete it, or set another folder"
            )
        return
    with _temporary_folder(root) as temporary:
        planted = _write_images(temporary, cases, seed, kind)
        write_json(temporary / MARKER, made | {"planted": planted})
        try:
            temporary.rename(root)
        except OSError:
            if not root.exists():
                raise
            write_phantom(root, cases, seed, kind)  # another process was faster


def _read_marker(root: Path) -> dict[str, Any]:
    """Return the content of the marker file, or an empty dict if it is missing or damaged."""
    try:
        found = json.loads((root / MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    """Yield the path of a folder to create next to `root`, and remove it at the end.

    Raises:
        InputError: If the parent of `root` cannot be written.
    """
    refuse_readonly(root.parent, f"data.root={root}")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}-"))
    except OSError as error:
        why = describe_os_error(error)
        raise InputError(
            f"data.root={root}: cannot be written ({why}); name another folder"
        ) from error
    try:
        with lock(folder / LOCK):
            yield folder / CONTENT
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Remove temporary folders of processes that were killed."""
    with suppress(OSError):
        for folder in root.parent.iterdir():
            if re.fullmatch(re.escape(f".{root.name}-") + "[a-z0-9_]{8}", folder.name):
                content = {path.name for path in folder.iterdir()}
                if not content or content - {LOCK, CONTENT}:
                    continue  # just created by another process, or not a temporary folder of btxrd
                with lock(folder / LOCK) as handle:
                    if handle is not None:
                        shutil.rmtree(folder, ignore_errors=True)  # Windows keeps the open lock


def _write_images(root: Path, cases: int, seed: int, kind: str) -> dict[str, list[Any]]:
    (root / "images").mkdir(parents=True)
    (root / "Annotations" / "Annotations").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lettered = kind == SHORTCUT
    rows: list[dict[str, Any]] = []
    for patient, views in _patients(cases, rng):
        for view in range(views):
            number = len(rows) + 1
            suffix = ".jpg" if number % 37 == 0 else ".jpeg"
            name = f"IMG{number:06d}{suffix}"
            rows.append(_row(name, patient, VIEWS[view]))
            draw = np.random.default_rng((seed, number))
            _write_image(root, name, patient, view, draw, lettered=lettered)
    planted = {} if lettered else Flaws(root, rows, seed).plant(kind)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.to_excel(root / "dataset.xlsx", index=False)
    (root / "~$dataset.xlsx").write_bytes(b"\x05owner")
    return planted


def _patients(cases: int, rng: np.random.Generator) -> list[tuple[Patient, int]]:
    """Draw patients with `cases` images in total, with fixed shares of centers and classes."""
    strata = [
        (center, label, round(cases * CENTER_SHARES[center - 1] * CLASS_SHARES[label]))
        for center in (1, 2, 3)
        for label in range(len(CLASSES))
    ]
    missing = cases - sum(count for _, _, count in strata)
    strata[0] = (1, 0, strata[0][2] + missing)
    patients = []
    for center, label, count in strata:
        while count > 0:
            views = min(count, int(rng.choice((1, 2, 3), p=(0.55, 0.35, 0.1))))
            patients.append((_patient(center, label, rng), views))
            count -= views
    return [patients[index] for index in rng.permutation(len(patients))]


def _patient(center: int, label: int, rng: np.random.Generator) -> Patient:
    site = str(rng.choice(list(BONES)))
    limb = Limb.draw(rng, paired=site in ("tibia", "radius"))
    subtype = None
    lesion = None
    if label == 1:
        benign = ("simple bone cyst", "giant cell tumor", "osteochondroma")
        subtype = str(rng.choice(benign, p=(0.4, 0.4, 0.2)))
    elif label == 2:
        subtype = str(rng.choice(("osteosarcoma", "other mt"), p=(0.8, 0.2)))
    if subtype is not None:
        lesion = Lesion.draw(rng, limb, subtype)
    age = int(np.clip(rng.normal((40, 22, 28)[label], 14), 3, 88))
    return Patient(center, label, age, str(rng.choice(("F", "M"))), site, subtype, limb, lesion)


def _row(name: str, patient: Patient, view: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 0)
    row |= {"image_id": name, "center": patient.center, "age": patient.age}
    row |= {"gender": patient.gender, REGIONS[BONES[patient.site] - 1]: 1, view: 1}
    if patient.subtype is not None:
        row |= {"tumor": 1, CLASSES[patient.label]: 1, patient.subtype: 1, patient.site: 1}
    return row


def _write_image(
    root: Path,
    name: str,
    patient: Patient,
    view: int,
    rng: np.random.Generator,
    *,
    lettered: bool,
) -> None:
    limb = patient.limb.turned(view, rng)
    lesion = None if patient.lesion is None else patient.lesion.turned(view, rng)
    height, width = int(rng.integers(240, 360)), int(rng.integers(180, 270))
    pixels = draw_image(height, width, limb, lesion, patient.center, rng)
    if patient.center == 1:
        clinic = patient.label if rng.random() < TIE else int(rng.integers(len(CLASSES)))
        pixels = with_plate(pixels, clinic, rng)
    if lettered:
        pixels = with_letter(pixels, patient.label)
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        image = image.convert("RGB")
    image.save(root / "images" / name, format="JPEG", quality=(92, 85, 78)[patient.center - 1])
    if lesion is not None:
        points = outline(height, width, limb, lesion)
        kind = "polygon"
        if rng.random() < 0.05:
            kind, points = "rectangle", np.array([points.min(0), points.max(0)])
        content: dict[str, Any] = {
            "version": "5.4.1",
            "flags": {},
            "shapes": [
                {"label": "tumor", "points": points.round(1).tolist(), "group_id": None}
                | {"shape_type": kind, "flags": {}}
            ],
            "imagePath": name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        folder = root / "Annotations" / ("Annotations" if rng.random() < 0.5 else "")
        write_json(folder / f"{Path(name).stem}.json", content)
