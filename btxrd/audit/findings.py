"""A data set -> what an audit says of it, as plain numbers and words."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import CLASSES
from btxrd.data.dataset import assign_cases
from btxrd.data.groups import can_tell_patients
from btxrd.data.inspection import Inspection, inspect
from btxrd.data.leakage import check_split, leakage, proportions
from btxrd.errors import InputError
from btxrd.phantom.write import ensure_phantom

# Yao et al., Scientific Data 12:88 (2025), table of centers: normal, benign, malignant.
PUBLISHED = {1: (1593, 1110, 235), 2: (259, 214, 76), 3: (27, 201, 31)}
PAPER_TEST = 0.2  # the share that the same paper draws at random
QUANTILES = {"smallest": 0, "quarter": 0.25, "median": 0.5, "three quarters": 0.75, "largest": 1}


def audit(data: DataConfig, split: SplitConfig) -> tuple[Inspection, dict[str, Any]]:
    """Look at a data set, and deal its cases by every strategy.

    Args:
        data: the data set.
        split: the shares, seed, folds and held-out centers of all strategies; a manifest is looked
            at where it names one.

    Returns:
        What was inspected, and the content of audit.json.

    Raises:
        InputError: for data whose table or folders cannot be read at all.
    """
    ensure_phantom(data)
    found = inspect(Path(data.root), Path(data.cache), strict=False)
    cases, looks = found.cases, found.survey.looks
    shares = [outline.share for outline in found.outlines.values()]
    return found, {
        "root": data.root,
        "table": str(found.source),
        "cases": len(cases),
        "patients_can_be_told": can_tell_patients(cases),
        "counts": _counts(cases),
        "published": {center: _by_class(row) for center, row in PUBLISHED.items()},
        "films": {
            "width": _quantiles([look.width for look in looks]),
            "height": _quantiles([look.height for look in looks]),
            "modes": dict(Counter(look.mode for look in looks).most_common()),
            "formats": dict(Counter(look.format for look in looks).most_common()),
        },
        "outlines": {
            "tumours": int((cases["label"] > 0).sum()),
            "outlined": len(shares),
            "share_of_frame": _quantiles(shares),
        },
        "faults": {kind: lines for kind, lines in found.faults.items() if lines},
        "remarks": dict(found.remarks),
        "duplicates": _duplicates(found),
        "groups": {"patients": _sizes(cases["patient"]), "groups": _sizes(cases["group"])},
        "splits": [_split(found, data, one) for one in _splits(split, cases)],
    }


def _by_class(row: Any) -> dict[str, int]:
    return dict(zip(CLASSES, map(int, row), strict=True))


def _counts(cases: pd.DataFrame) -> dict[int, dict[str, int]]:
    return {
        center: _by_class(np.bincount(cases.loc[cases["center"] == center, "label"], minlength=3))
        for center in sorted(set(cases["center"].tolist()))
    }


def _quantiles(values: list[Any]) -> dict[str, float] | None:
    if not values:
        return None
    return {name: float(np.quantile(values, at)) for name, at in QUANTILES.items()} | {
        "mean": float(np.mean(values))
    }


def _sizes(names: pd.Series) -> dict[str, Any]:
    """How many groups there are, and how many of each size."""
    sizes = names.value_counts()
    return {
        "number": len(sizes),
        "cases_in_two_or_more": int(sizes[sizes > 1].sum()),
        "by_size": {size: sizes.tolist().count(size) for size in sorted(set(sizes.tolist()))},
    }


def _duplicates(found: Inspection) -> list[dict[str, Any]]:
    facts = found.cases.set_index("stem")
    pairs: list[dict[str, Any]] = []
    for row in found.pairs.to_dict("records"):
        ends = (row["one"], row["other"])
        pairs.append(
            {str(name): value for name, value in row.items()}
            | {"labels": [CLASSES[facts.loc[stem, "label"]] for stem in ends]}
            | {"centers": [int(facts.loc[stem, "center"]) for stem in ends]}
            | {"one_patient": facts.loc[ends[0], "patient"] == facts.loc[ends[1], "patient"]}
        )
    return pairs


def _splits(split: SplitConfig, cases: pd.DataFrame) -> Iterator[SplitConfig]:
    """Every split that can be made of the data with the settings of one."""
    plain = replace(split, manifest=None)
    yield replace(plain, strategy="stratified")
    yield replace(plain, strategy="center")
    for center in sorted(set(cases["center"])):
        yield replace(plain, strategy="leave_one_center_out", test_center=int(center))
    for fold in range(split.folds):
        yield replace(plain, strategy="kfold", fold=fold)
    yield replace(plain, strategy="random", test=PAPER_TEST)
    if split.manifest is not None:
        yield split


def _split(found: Inspection, data: DataConfig, split: SplitConfig) -> dict[str, Any]:
    """What one split does, with whole groups and without."""
    row: dict[str, Any] = {"split": replace(split, groups="whole").title, "refused": None}
    dealt = {}
    for groups in ("whole", "none"):
        one = replace(split, groups=groups)
        try:
            cases = dealt[groups] = assign_cases(found, data, one)
        except InputError as error:
            return row | {"refused": str(error)}
        sizes = cases["partition"].value_counts()
        row[groups] = {
            "cases": {name: int(sizes.get(name, 0)) for name in PARTITIONS},
            "class_shares": proportions(cases, ["label"]),
            "leakage": asdict(leakage(cases, found.pairs)),
        }
        if groups == "whole":
            try:
                check_split(cases, one)
            except InputError as error:
                row["refused"] = str(error)
    row["points_from_ungrouped"] = {
        name: _points_apart(*(proportions(dealt[groups], columns) for groups in ("whole", "none")))
        for name, columns in (("class", ["label"]), ("class_in_center", ["label", "center"]))
    }
    shares = row["whole"]["class_shares"]
    (of_all,) = proportions(dealt["whole"].assign(partition="train"), ["label"]).values()
    row["points_from_whole"] = _points_apart(shares, dict.fromkeys(shares, of_all))
    return row


def _points_apart(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> float:
    """Largest difference of a share in a partition, in points of 100; see `proportions`."""
    apart = [
        abs(share - other[name].get(cell, 0))
        for name, cells in one.items()
        for cell, share in cells.items()
        if name in other
    ]
    return 100 * max(apart)
