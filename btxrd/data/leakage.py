"""What crosses the partitions of a split, and how near it is to what was wanted."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.errors import InputError
from btxrd.schema import SplitConfig
from btxrd.vocabulary import CLASSES, PARTITIONS


@dataclass(frozen=True)
class Leakage:
    """Counts of what lies in more than one partition.

    Attributes:
        groups: that are parted.
        patients: likely patients that are parted.
        duplicates: pairs of near-duplicates that are parted.
        test_cases: in all.
        test_with_patient: test cases with a film of their likely patient in train.
        test_with_duplicate: test cases with a near-duplicate in train.
        test_with_group: test cases with a case of their group in train.
    """

    groups: int
    patients: int
    duplicates: int
    test_cases: int
    test_with_patient: int
    test_with_duplicate: int
    test_with_group: int


def leakage(cases: pd.DataFrame, pairs: pd.DataFrame) -> Leakage:
    """Count what a split parts.

    Args:
        cases: with `stem`, `patient`, `group` and `partition`.
        pairs: near-duplicates, with `one` and `other`.
    """
    partition = cases.set_index("stem")["partition"]
    one, other = partition.loc[pairs["one"]].to_numpy(), partition.loc[pairs["other"]].to_numpy()
    copied = {
        *pairs.loc[(one == "test") & (other == "train"), "one"],
        *pairs.loc[(other == "test") & (one == "train"), "other"],
    }
    test, train = cases["partition"] == "test", cases["partition"] == "train"

    def parted(name: str) -> int:
        return int((cases.groupby(name)["partition"].agg("nunique") > 1).sum())

    def with_sibling(name: str) -> int:
        return int(cases.loc[test, name].isin(cases.loc[train, name]).sum())

    return Leakage(
        groups=parted("group"),
        patients=parted("patient"),
        duplicates=int((one != other).sum()),
        test_cases=int(test.sum()),
        test_with_patient=with_sibling("patient"),
        test_with_duplicate=len(copied),
        test_with_group=with_sibling("group"),
    )


def class_shares(cases: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Shares of the classes in each partition that has cases, by name of partition and class."""
    return {
        name: dict(
            zip(CLASSES, map(float, _shares(cases[cases["partition"] == name])), strict=True)
        )
        for name in PARTITIONS
        if (cases["partition"] == name).any()
    }


def _shares(cases: pd.DataFrame) -> npt.NDArray[np.float64]:
    return np.bincount(cases["label"], minlength=len(CLASSES)) / len(cases)


def check_split(cases: pd.DataFrame, split: SplitConfig) -> None:
    """Refuse a split that leaks, or whose partitions lack a class.

    Args:
        cases: with `stem`, `label`, `group` and `partition`.
        split: that dealt them. With groups=none films are parted on purpose, and with `random` val
            is test.

    Raises:
        InputError: where it cannot be used.
    """
    key = f"split.strategy={split.strategy}"
    if split.manifest is not None:
        key = f"split.manifest={split.manifest}"
    for name in PARTITIONS:
        if split.strategy == "random" and name == "val":
            continue
        present = set(cases.loc[cases["partition"] == name, "label"])
        for label, title in enumerate(CLASSES):
            if label not in present:
                raise InputError(
                    f"{key}: {name} has no {title} case; choose other shares, centers or more data"
                )
    places = cases.groupby("group")["partition"].transform("nunique")
    if split.groups == "whole" and (places > 1).any():
        parted = cases[places > 1]
        first = parted[parted["group"] == parted["group"].iloc[0]]
        shown = " and ".join(
            f"{row['stem']} in {name}"
            for name, part in first.groupby("partition")
            for _, row in part[:1].iterrows()
        )
        raise InputError(
            f"{key}: leaks, {parted['group'].nunique()} groups lie in more than one partition "
            f"({shown} the first); keep groups whole, or say split.groups=none"
        )
