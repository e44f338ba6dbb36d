"""Collect the findings of an audit of a data set."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from btxrd.artifacts.audit import (
    Assignment,
    AuditReport,
    Counts,
    DuplicatePair,
    GroupSizes,
    ImageFacts,
    OutlineFacts,
    Quantiles,
    Shares,
    SplitAudit,
)
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import CLASS_NAMES, CLASSES, PUBLISHED_COUNTS
from btxrd.data.dataset import assign_cases
from btxrd.data.groups import can_tell_patients
from btxrd.data.inspection import Inspection, inspect
from btxrd.data.leakage import check_split, leakage, proportions
from btxrd.errors import InputError
from btxrd.phantom.write import ensure_phantom

PAPER_TEST = 0.2  # share of test cases in the random split of Yao et al. (2025)
QUANTILES = {"smallest": 0, "quarter": 0.25, "median": 0.5, "three quarters": 0.75, "largest": 1}


def audit(data: DataConfig, split: SplitConfig) -> tuple[Inspection, AuditReport]:
    """Inspect a data set, and assign its cases with every split strategy.

    Args:
        data: Config of the data set.
        split: Shares, seed, folds and held-out centers for all strategies. Its manifest, if set, is
            audited too.

    Returns:
        The inspection, and the content of audit.json.

    Raises:
        InputError: If the table or a folder is missing or cannot be read, or no case can be used.
    """
    ensure_phantom(data)
    found = inspect(Path(data.root), Path(data.cache), strict=False)
    cases, images = found.cases, found.survey.infos
    shares = [outline.share for outline in found.outlines.values()]
    return found, AuditReport(
        root=data.root,
        table=str(found.source),
        cases=len(cases),
        patients_can_be_told=can_tell_patients(cases),
        counts=_counts(cases),
        published={center: _by_class(row) for center, row in PUBLISHED_COUNTS.items()},
        images=ImageFacts(
            width=_quantiles([image.width for image in images]),
            height=_quantiles([image.height for image in images]),
            modes=dict(Counter(image.mode for image in images).most_common()),
            formats=dict(Counter(image.format for image in images).most_common()),
        ),
        outlines=OutlineFacts(
            tumours=int((cases["label"] != CLASS_NAMES.background_label).sum()),
            outlined=len(shares),
            share_of_frame=_quantiles(shares),
        ),
        errors={kind: lines for kind, lines in found.errors.items() if lines},
        warnings=dict(found.warnings),
        duplicates=_duplicates(found),
        groups={"patients": _sizes(cases["patient"]), "groups": _sizes(cases["group"])},
        splits=[_audit_split(found, data, one) for one in _splits(split, cases)],
    )


def _by_class(row: Iterable[int]) -> dict[str, int]:
    return dict(zip(CLASSES, map(int, row), strict=True))


def _counts(cases: pd.DataFrame) -> Counts:
    counts = {}
    for center in sorted(set(cases["center"].tolist())):
        labels = cases.loc[cases["center"] == center, "label"]
        counts[int(center)] = _by_class(np.bincount(labels, minlength=len(CLASSES)))
    return counts


def _quantiles(values: Sequence[float]) -> Quantiles | None:
    if not values:
        return None
    return {name: float(np.quantile(values, at)) for name, at in QUANTILES.items()} | {
        "mean": float(np.mean(values))
    }


def _sizes(names: pd.Series) -> GroupSizes:
    sizes = names.value_counts()
    return GroupSizes(
        number=len(sizes),
        cases_in_two_or_more=int(sizes[sizes > 1].sum()),
        by_size={size: sizes.tolist().count(size) for size in sorted(set(sizes.tolist()))},
    )


def _duplicates(found: Inspection) -> list[DuplicatePair]:
    label, center, patient = (
        dict(zip(found.cases["stem"], found.cases[name], strict=True))
        for name in ("label", "center", "patient")
    )
    return [
        DuplicatePair(
            one=(one := str(row["one"])),
            other=(other := str(row["other"])),
            bits=int(row["bits"]),
            detail_correlation=float(row["detail_correlation"]),
            identical=bool(row["identical"]),
            contradict=bool(row["contradict"]),
            labels=(CLASSES[label[one]], CLASSES[label[other]]),
            centers=(int(center[one]), int(center[other])),
            one_patient=bool(patient[one] == patient[other]),
        )
        for row in found.pairs.to_dict("records")
    ]


def _splits(split: SplitConfig, cases: pd.DataFrame) -> Iterator[SplitConfig]:
    """Yield every split of the data with the settings of `split`."""
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


def _audit_split(found: Inspection, data: DataConfig, split: SplitConfig) -> SplitAudit:
    """Audit one split, with `groups=whole` and with `groups=none`."""
    audited = SplitAudit(replace(split, groups="whole").title)
    try:
        whole, none = (
            assign_cases(found, data, replace(split, groups=groups)) for groups in ("whole", "none")
        )
    except InputError as error:
        return replace(audited, refused=str(error))
    try:
        check_split(whole, replace(split, groups="whole"))
    except InputError as error:
        audited = replace(audited, refused=str(error))
    (of_all,) = proportions(whole.assign(partition="train"), ["label"]).values()
    shares = proportions(whole, ["label"])
    return replace(
        audited,
        whole=_assignment(whole, found.pairs),
        none=_assignment(none, found.pairs),
        points_from_ungrouped={
            name: _largest_difference(proportions(whole, columns), proportions(none, columns))
            for name, columns in (("class", ["label"]), ("class_in_center", ["label", "center"]))
        },
        points_from_whole=_largest_difference(shares, dict.fromkeys(shares, of_all)),
    )


def _assignment(cases: pd.DataFrame, pairs: pd.DataFrame) -> Assignment:
    sizes = cases["partition"].value_counts()
    return Assignment(
        cases={name: int(sizes.get(name, 0)) for name in PARTITIONS},
        class_shares=proportions(cases, ["label"]),
        leakage=leakage(cases, pairs),
    )


def _largest_difference(one: Shares, other: Shares) -> float:
    """Return the largest difference between two shares, in percentage points."""
    differences = [
        abs(share - other[name].get(cell, 0))
        for name, cells in one.items()
        for cell, share in cells.items()
        if name in other
    ]
    return 100 * max(differences)
