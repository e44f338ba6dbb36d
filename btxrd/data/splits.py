"""Cases -> train, val and test."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.errors import InputError
from btxrd.vocabulary import CLASSES, PARTITIONS

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
        if not dealt.any():
            raise InputError(f"split.held_out={list(held_out)}: leaves no center to train on")
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
    """Deal groups out, largest first, each to where it brings the counts nearest to their wants.

    Counted are cases, cases by class, and cases by class within center; nearness is chi-squared. It
    is scikit-learn's StratifiedGroupKFold for unequal shares.
    """
    by_class = np.eye(len(CLASSES))[cases["label"]]
    by_stratum = pd.get_dummies(cases["label"].astype(str) + "@" + cases["center"].astype(str))
    traits = np.hstack([np.ones((len(cases), 1)), by_class, by_stratum.to_numpy(float)])
    traits = traits[:, traits.any(axis=0)]
    group, names = pd.factorize(cases["group"])
    counts = np.zeros((len(names), traits.shape[1]))
    np.add.at(counts, group, traits)

    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order, 0], kind="stable")]
    wanted = np.array(list(shares.values()))[:, None] * counts.sum(axis=0)
    have = np.zeros_like(wanted)
    chosen = np.zeros(len(names), int)
    for index in order:
        more = counts[index]
        growth = (more * (more + 2 * (have - wanted)) / wanted).sum(axis=1)
        chosen[index] = np.argmin(growth)
        have[chosen[index]] += more
    return np.array(list(shares), dtype="<U5")[chosen[group]]


def split_hash(cases: pd.DataFrame) -> str:
    """Name a split by its content: two runs with one hash have equal partitions and labels."""
    rows = cases.sort_values("image_id")[["image_id", "label", "partition"]]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]
