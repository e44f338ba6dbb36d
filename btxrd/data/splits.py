"""Assign cases to the partitions train, val and test."""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from btxrd.artifacts.hashes import verify_member
from btxrd.artifacts.tables import PARTITIONS, SPLIT, table_content
from btxrd.config.schema import SplitConfig
from btxrd.data.constants import CLASSES
from btxrd.data.table import stems_of
from btxrd.errors import InputError
from btxrd.runtime.reading import read_bytes

log = logging.getLogger(__name__)

EXCLUDED = "excluded"  # partition, in a manifest only, of a case that is left out

Partition = npt.NDArray[np.str_]


def assign_partitions(cases: pd.DataFrame, split: SplitConfig) -> Partition:
    """Assign each case to a partition.

    - `stratified` and `kfold` stratify all cases by class and center.
    - `center` and `leave_one_center_out` test on the held-out centers, and stratify the other
      cases into train and val.
    - `random` draws the test cases, which also serve as val.
    - `manifest` reads the partitions from a file.

    Args:
        cases: Cases with `stem`, `label`, `center` and `group`.
        split: A checked config. Its seed sets the order in which units of equal size are assigned,
            and the cases that `random` draws. With `groups=whole`, all cases of a group get one
            partition, and a group with an image of a held-out center is in the test partition. A
            manifest is not changed.

    Returns:
        (n,) `train`, `val`, `test` or, in a manifest, EXCLUDED. With `random`, none is `val`.

    Raises:
        InputError: If a held-out center does not exist, or a manifest does not fit the cases.
    """
    unit = cases["group"] if split.groups == "whole" else cases["stem"]
    cases = cases.assign(unit=unit)
    match split.strategy:
        case "stratified":
            shares = {"train": 1 - split.val - split.test, "val": split.val, "test": split.test}
            return assign(cases, shares, split.seed)
        case "center" | "leave_one_center_out":
            tested = _of_centers(cases, split)
        case "kfold":
            folds = assign(cases, {str(k): 1 / split.folds for k in range(split.folds)}, split.seed)
            tested = folds == str(split.fold)
        case "random":
            return np.where(_draw(cases, split.test, split.seed), "test", "train")
        case _:
            return read_manifest(Path(str(split.manifest)), cases)
    partition = np.full(len(cases), "test", dtype="<U5")
    shares = {"train": 1 - split.val, "val": split.val}
    partition[~tested] = assign(cases[~tested], shares, split.seed)
    return partition


def _of_centers(cases: pd.DataFrame, split: SplitConfig) -> npt.NDArray[np.bool_]:
    """Return (n,) bool: the cases whose unit has a case of a held-out center."""
    if split.strategy == "center":
        held_out, key = split.held_out, f"split.held_out={list(split.held_out)}"
    else:
        held_out, key = [split.test_center], f"split.test_center={split.test_center}"
    have = sorted(set(cases["center"].tolist()))
    if not set(held_out) <= set(have):
        raise InputError(f"{key}: must be among the centers of the data, {have}")
    tested = cases["center"].isin(held_out).groupby(cases["unit"]).transform("any").to_numpy(bool)
    if tested.all():
        raise InputError(f"{key}: leaves no center to train on")
    return np.asarray(tested)


def assign(cases: pd.DataFrame, shares: dict[str, float], seed: int) -> Partition:
    """Assign units greedily to partitions with given shares, stratified by class and center.

    Units are assigned in order of decreasing size, each to the partition in which the counts get
    closest to the wanted ones. The counts are those of cases, of cases by class, and of cases by
    class and center; the distance is chi-squared. The method resembles StratifiedGroupKFold of
    scikit-learn, but allows unequal shares.

    Args:
        cases: Cases with `label`, `center` and `unit`. A unit stays in one partition.
        shares: Share of the cases by name of the partition.
        seed: Seed of the order in which units of equal size are assigned.

    Returns:
        (n,) names of partitions.
    """
    if cases.empty:
        return np.empty(0, "<U5")
    by_class = np.eye(len(CLASSES))[cases["label"]]
    by_stratum = pd.get_dummies(cases["label"].astype(str) + "@" + cases["center"].astype(str))
    strata = np.hstack([np.ones((len(cases), 1)), by_class, by_stratum.to_numpy(float)])
    strata = strata[:, strata.any(axis=0)]
    unit, names = pd.factorize(cases["unit"])
    counts = np.zeros((len(names), strata.shape[1]))
    np.add.at(counts, unit, strata)

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
    return np.array(list(shares))[chosen[unit]]


def _draw(cases: pd.DataFrame, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Draw units at random while they make up at most `share` of the cases."""
    unit, names = pd.factorize(cases["unit"])
    sizes = np.bincount(unit)
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = order[np.cumsum(sizes[order]) <= round(share * len(cases))]
    return np.isin(unit, drawn)


def read_manifest(path: Path, cases: pd.DataFrame) -> Partition:
    """Read the partition of each case from a CSV file with `image_id` and `partition`.

    Suffixes of the ids are ignored. If the file has `label` or `center`, they must equal those of
    the cases.

    Raises:
        InputError: If the file is not such a table, or does not fit the cases.
    """
    try:
        verify_member(path)
    except (InputError, OSError) as error:  # the split.csv of a run was edited
        raise InputError(f"split.manifest={error}") from error
    try:
        table = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str, index_col=False)
    except MemoryError:
        raise
    except Exception as error:  # pandas raises many types, depending on the damage
        raise InputError(f"split.manifest={path}: cannot be read ({error})") from error
    for name in ("image_id", "partition"):
        if name not in table.columns:
            raise InputError(f"split.manifest={path}: lacks the column {name}")
    stems = stems_of(table["image_id"].fillna("").str.strip())
    if stems.duplicated().any():
        raise InputError(f"split.manifest={path}: has {stems[stems.duplicated()].iloc[0]} twice")
    table = table.set_axis(stems, axis="index")
    unlisted = cases.loc[~cases["stem"].isin(stems), "stem"]
    if len(unlisted):
        raise InputError(
            f"split.manifest={path}: lists {len(cases) - len(unlisted)} of {len(cases)} cases "
            f"(first missing: {unlisted.iloc[0]}); list all, each as one of "
            f"{', '.join(PARTITIONS)} or {EXCLUDED}"
        )
    unused = stems[~stems.isin(cases["stem"])]
    if len(unused):
        first = unused.iloc[0]
        log.warning("%s: %d listed cases are not used (first: %s)", path, len(unused), first)
    ours = {"label": [CLASSES[label] for label in cases["label"]], "center": cases["center"]}
    listed = table.loc[cases["stem"]]
    for name, values in ours.items():
        if name in table.columns:
            found = listed[name].str.removesuffix(".0").to_numpy(str)
            differs = found != np.array(values).astype(str)
            if differs.any():
                at = int(np.argmax(differs))
                raise InputError(
                    f"split.manifest={path}: {cases['stem'].iloc[at]} has {name}="
                    f"{listed[name].iloc[at]}, but the table has {np.array(values)[at]}"
                )
    wrong = ~listed["partition"].isin([*PARTITIONS, EXCLUDED])
    if wrong.any():
        row = listed[wrong].iloc[0]
        raise InputError(
            f"split.manifest={path}: {row['image_id']} has partition={row['partition']}; "
            f"must be one of {', '.join(PARTITIONS)} or {EXCLUDED}"
        )
    return listed["partition"].to_numpy(str)


def split_rows(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of split.csv: one per case, in the order of ids."""
    return cases.assign(label=[CLASSES[label] for label in cases["label"]])


def split_hash(cases: pd.DataFrame) -> str:
    """Return the hash of a split's content: the first 16 digits of `sha256sum split.csv`."""
    content = table_content(SPLIT, split_rows(cases))
    return hashlib.sha256(content).hexdigest()[:16]
