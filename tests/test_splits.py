import numpy as np
import pandas as pd
import pytest

from btxrd.data.groups import likely_patients
from btxrd.data.splits import assign_partitions, split_hash
from btxrd.errors import InputError

SHARES = {"val": 0.15, "test": 0.15, "held_out": [2, 3], "seed": 0}


@pytest.fixture(params=["phantom", "real"])
def grouped(request):
    """The cases of a phantom, and BTXRD's own table."""
    table = request.getfixturevalue("cases" if request.param == "phantom" else "real_table")
    return table.assign(group=likely_patients(table))


@pytest.mark.parametrize("strategy", ["stratified", "center"])
def test_no_group_is_parted(grouped, strategy):
    partition = assign_partitions(grouped, strategy, **SHARES)
    assert grouped.assign(p=partition).groupby("group")["p"].nunique().max() == 1


def test_stratified_keeps_shares_and_classes(grouped):
    partition = pd.Series(assign_partitions(grouped, "stratified", **SHARES))
    slack = 2.5 / len(grouped) + 0.003  # a phantom's group has up to three of its 72 cases
    sizes = partition.value_counts(normalize=True)
    assert sizes["val"] == pytest.approx(0.15, abs=slack)
    assert sizes["test"] == pytest.approx(0.15, abs=slack)
    whole = grouped["label"].value_counts(normalize=True)
    for _, labels in grouped["label"].groupby(partition):
        shares = labels.value_counts(normalize=True)
        assert (shares - whole).abs().max() < (0.01 if len(grouped) > 1000 else 0.12)


def test_center_tests_on_centers_that_training_never_sees(grouped):
    partition = assign_partitions(grouped, "center", **SHARES)
    assert set(grouped["center"][partition == "test"]) == {2, 3}
    assert set(grouped["center"][partition != "test"]) == {1}
    dealt = partition[partition != "test"]
    assert (dealt == "val").mean() == pytest.approx(0.15, abs=0.03)


def test_split_follows_from_the_data_and_its_own_seed_alone(grouped):
    def dealt(seed):
        return assign_partitions(grouped, "stratified", **SHARES | {"seed": seed})

    assert (dealt(0) == dealt(0)).all()
    assert (dealt(0) != dealt(1)).any()


def test_absent_class_and_unknown_center_are_named(grouped):
    benign = grouped[grouped["label"] < 2].reset_index(drop=True)
    with pytest.raises(InputError, match=r"train has no malignant case"):
        assign_partitions(benign, "stratified", **SHARES)
    with pytest.raises(
        InputError, match=r"split.held_out=\[9\]: the data has the centers \[1, 2, 3\]"
    ):
        assign_partitions(grouped, "center", **SHARES | {"held_out": [9]})
    with pytest.raises(InputError, match=r"held_out=\[1, 2, 3\]: leaves no center to train on"):
        assign_partitions(grouped, "center", **SHARES | {"held_out": [1, 2, 3]})


def test_hash_tells_partitions_apart_but_not_orders(grouped):
    table = grouped.assign(partition=assign_partitions(grouped, "stratified", **SHARES))
    assert split_hash(table) == split_hash(table.iloc[::-1])
    moved = table.assign(partition=np.where(table.index == 0, "none", table["partition"]))
    assert split_hash(moved) != split_hash(table)


def test_neighbours_that_agree_are_one_patient():
    table = pd.DataFrame(
        {
            "stem": list("abcdef"),
            "center": 1,
            "age": [30, 30, 31, 31, 31, 30],
            "gender": list("FFFFMF"),
            "femur": 0,
            "frontal": [1, 0, 1, 0, 1, 1],
            "tumor": [0, 0, 0, 0, 0, 0],
            "benign": 0,
            "malignant": 0,
        }
    )
    assert likely_patients(table).tolist() == ["a", "a", "c", "c", "e", "f"]
    assert likely_patients(table.drop(columns="age")).tolist() == list("abcdef")


def test_a_column_that_is_not_btxrd_s_parts_no_patient(cases):
    noted = cases.assign(**{"Unnamed: 0": range(len(cases))})
    assert likely_patients(noted).equals(likely_patients(cases))


def test_likely_patients_of_btxrd_are_those_counted_independently(real_table):
    sizes = likely_patients(real_table).value_counts()
    assert len(sizes) == 1950
    assert sizes[sizes > 1].sum() == 2826
