"""Measure what a split leaks between its partitions, and refuse splits that cannot be used."""

import pandas as pd

from btxrd.artifacts.audit import Leakage, Shares
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import SplitConfig
from btxrd.data.constants import CLASSES
from btxrd.errors import InputError


def leakage(cases: pd.DataFrame, pairs: pd.DataFrame) -> Leakage:
    """Count the groups, likely patients and near-duplicates that are split across partitions.

    Args:
        cases: Cases with `stem`, `patient`, `group` and `partition`.
        pairs: Near-duplicates, with their stems `one` and `other`. Pairs with a case that is not in
            `cases` are not counted.
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
    """Compute how often each combination of values occurs in each partition.

    Args:
        cases: Cases with `partition`, `label` and `columns`.
        columns: Columns whose combinations are counted.

    Returns:
        Shares of the cases of a partition, by partition and by the values joined with spaces.
        Labels are given as class names. Empty partitions and shares of 0 are left out.
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
    """Refuse a split that leaks, or a partition that lacks a class.

    Args:
        cases: Cases with `stem`, `label`, `group` and `partition`.
        split: Config of the split. With `groups=none`, groups may be split across partitions. With
            `strategy=random`, the test partition also serves as the validation partition.

    Raises:
        InputError: If the split cannot be used.
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
                    f"{key}: {name} has no {title} case; "
                    "change the shares or the centers, or add data"
                )
    partitions = cases.groupby("group")["partition"].transform("nunique")
    if split.groups == "whole" and (partitions > 1).any():
        leaking = cases[partitions > 1]
        first = leaking[leaking["group"] == leaking["group"].iloc[0]]
        shown = " and ".join(
            f"{row['stem']} in {name}"
            for name, part in first.groupby("partition")
            for _, row in part[:1].iterrows()
        )
        raise InputError(
            f"{key}: groups are split across partitions: {leaking['group'].nunique()} "
            f"(first: {shown}); keep each group in one partition, or set split.groups=none"
        )
