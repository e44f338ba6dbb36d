"""What crosses the partitions of a split, and how near it is to what was wanted."""

import pandas as pd

from btxrd.artifacts.audit import Leakage, Shares
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import SplitConfig
from btxrd.data.constants import CLASSES
from btxrd.errors import InputError


def leakage(cases: pd.DataFrame, pairs: pd.DataFrame) -> Leakage:
    """Count what a split parts.

    Args:
        cases: with `stem`, `patient`, `group` and `partition`.
        pairs: near-duplicates, with `one` and `other`; those of cases left out do not count.
    """
    partition = cases.set_index("stem")["partition"]
    pairs = pairs[pairs["one"].isin(partition.index) & pairs["other"].isin(partition.index)]
    one, other = partition.loc[pairs["one"]].to_numpy(), partition.loc[pairs["other"]].to_numpy()
    copied = {
        *pairs.loc[(one == "test") & (other == "train"), "one"],
        *pairs.loc[(other == "test") & (one == "train"), "other"],
    }
    test, train = cases["partition"] == "test", cases["partition"] == "train"

    def split_up(name: str) -> int:
        return int((cases.groupby(name)["partition"].agg("nunique") > 1).sum())

    def with_group_in_train(name: str) -> int:
        return int(cases.loc[test, name].isin(cases.loc[train, name]).sum())

    return Leakage(
        groups=split_up("group"),
        patients=split_up("patient"),
        duplicates=int((one != other).sum()),
        test_cases=int(test.sum()),
        test_with_patient=with_group_in_train("patient"),
        test_with_duplicate=len(copied),
        test_with_group=with_group_in_train("group"),
    )


def proportions(cases: pd.DataFrame, columns: list[str]) -> Shares:
    """Shares of the values of columns in each partition that has cases.

    Args:
        cases: with `partition`, `label` and `columns`.
        columns: whose combinations are counted; a label is given by its name.

    Returns:
        Shares by partition and by the values, joined by spaces; a share of 0 is left out.
    """
    named = cases.assign(label=[CLASSES[label] for label in cases["label"]])
    cells = named[columns].astype(str).agg(" ".join, axis=1)
    return {
        name: {
            str(cell): float(share)
            for cell, share in cells[cases["partition"] == name]
            .value_counts(normalize=True)
            .items()
        }
        for name in PARTITIONS
        if (cases["partition"] == name).any()
    }


def check_split(cases: pd.DataFrame, split: SplitConfig) -> None:
    """Refuse a split that leaks, or whose partitions lack a class.

    Args:
        cases: with `stem`, `label`, `group` and `partition`.
        split: that dealt them. With groups=none images are parted on purpose, and with `random` val
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
    partitions = cases.groupby("group")["partition"].transform("nunique")
    if split.groups == "whole" and (partitions > 1).any():
        parted = cases[partitions > 1]
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
