"""Cases -> train, val and test."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.data.cases import CLASSES
from btxrd.errors import InputError

PARTITIONS = ("train", "val", "test")
Strategy = Literal["stratified", "center"]


def assign_partitions(
    cases: pd.DataFrame,
    strategy: Strategy,
    *,
    val: float,
    test: float,
    held_out: Sequence[int],
    seed: int,
) -> npt.NDArray[np.str_]:
    """Assign each case to a partition, groups whole.

    `stratified` deals all cases out by class and center. `center` tests on the centers held out,
    and deals the others to train and val.

    Args:
        cases: with `label`, `center` and `group`.
        strategy: of the two.
        val: share of the dealt cases.
        test: share of the dealt cases; `stratified` only.
        held_out: the test centers; `center` only.
        seed: decides the order in which equals are dealt; nothing else is drawn.

    Returns:
        (n,) of `train`, `val` and `test`.

    Raises:
        InputError: where a partition would lack a class.
    """
    partition = np.full(len(cases), "test", dtype="<U5")
    shares = {"train": 1 - val - test, "val": val, "test": test}
    dealt = np.ones(len(cases), bool)
    if strategy == "center":
        unknown = set(held_out) - set(cases["center"])
        if unknown:
            have = sorted(set(cases["center"].tolist()))
            raise InputError(f"split.held_out={list(held_out)}: the data has the centers {have}")
        dealt = ~cases["center"].isin(list(held_out)).to_numpy()
        shares = {"train": 1 - val, "val": val}
    partition[dealt] = _deal(cases[dealt], shares, seed)
    for name in PARTITIONS:
        present = set(cases["label"][partition == name])
        for label, title in enumerate(CLASSES):
            if label not in present:
                raise InputError(
                    f"split.strategy={strategy}: {name} has no {title} case; "
                    "choose other shares, centers or more data"
                )
    return partition


def _deal(cases: pd.DataFrame, shares: dict[str, float], seed: int) -> npt.NDArray[np.str_]:
    """Deal groups out, largest first, each to the partition that is furthest from its share of them.

    The wants are counted by class and by class within center, as in scikit-learn's
    StratifiedGroupKFold, which knows equal shares only.
    """
    by_class = np.eye(len(CLASSES))[cases["label"]]
    by_stratum = pd.get_dummies(cases["label"].astype(str) + "@" + cases["center"].astype(str))
    traits = np.hstack([by_class, by_stratum.to_numpy(float)])
    group, names = pd.factorize(cases["group"])
    counts = np.zeros((len(names), traits.shape[1]))
    np.add.at(counts, group, traits)

    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    total = counts.sum(axis=0)
    share = np.array(list(shares.values()))[:, None]
    have = np.zeros((len(shares), traits.shape[1]))
    chosen = np.zeros(len(names), int)
    for index in order:
        lack = (share * total - have) / (share * total)
        chosen[index] = np.argmax((lack * counts[index]).sum(axis=1))
        have[chosen[index]] += counts[index]
    return np.array(list(shares), dtype="<U5")[chosen[group]]


def split_hash(cases: pd.DataFrame) -> str:
    """Name a split by its content: two runs with one hash have equal partitions and labels."""
    rows = cases.sort_values("image_id")[["image_id", "label", "partition"]]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]
