import hashlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import make_once

from btxrd.artifacts.tables import SPLIT, table_content
from btxrd.config.schema import SplitConfig
from btxrd.data.cases import load_cases
from btxrd.data.constants import COLUMNS, VIEWS
from btxrd.data.groups import join_groups, likely_patients, odd_genders, respelt
from btxrd.data.leakage import check_split, leakage, proportions
from btxrd.data.splits import assign_partitions, split_hash, split_rows
from btxrd.errors import InputError
from btxrd.phantom.write import write_phantom

NO_PAIRS = pd.DataFrame({"one": [], "other": []}, dtype=str)
ALL = ["stratified", "center", "leave_one_center_out", "kfold", "random"]


@pytest.fixture(scope="session")
def many(shared):
    """Return cases of a synthetic data set with several cases of each class at each center."""
    return load_cases(make_once(shared / "many", partial(write_phantom, cases=160, seed=0)))


@pytest.fixture(params=["phantom", "real"])
def grouped(request):
    """Return the cases of a synthetic data set, and those of BTXRD's table."""
    table = request.getfixturevalue("many" if request.param == "phantom" else "real_table")
    table = table.assign(patient=likely_patients(table))
    return table.assign(group=table["patient"])


def dealt(cases, strategy, **settings):
    split = SplitConfig(strategy=strategy, **settings)
    partitioned = cases.assign(partition=assign_partitions(cases, split))
    check_split(partitioned, split)
    return partitioned


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_split_across_partitions(grouped, strategy, seed):
    found = leakage(dealt(grouped, strategy, seed=seed), NO_PAIRS)
    assert (found.groups, found.patients, found.test_with_patient) == (0, 0, 0)


@pytest.mark.parametrize("strategy", ["stratified", "kfold", "random"])
def test_groups_none_splits_patients_and_the_title_shows_it(grouped, strategy):
    assert "groups=none" in SplitConfig(strategy=strategy, groups="none").title
    found = leakage(dealt(grouped, strategy, groups="none"), NO_PAIRS)
    assert found.patients > 0
    if len(grouped) > 1000:
        assert found.test_with_patient > 0.5 * found.test_cases


def test_stratified_keeps_shares_and_classes(grouped):
    cases = dealt(grouped, "stratified")
    slack = 2.5 / len(cases) + 0.003  # a phantom's group has up to three of its 160 cases
    sizes = cases["partition"].value_counts(normalize=True)
    assert sizes["val"] == pytest.approx(0.15, abs=slack)
    assert sizes["test"] == pytest.approx(0.15, abs=slack)
    whole = proportions(cases.assign(partition="train"), ["label"])["train"]
    for shares in proportions(cases, ["label"]).values():
        off = max(abs(shares[name] - whole[name]) for name in whole)
        assert off < (0.01 if len(cases) > 1000 else 0.12)


def test_center_tests_on_centers_that_are_not_in_training(grouped):
    cases = dealt(grouped, "center")
    assert set(cases.loc[cases["partition"] == "test", "center"]) == {2, 3}
    assert set(cases.loc[cases["partition"] != "test", "center"]) == {1}
    rest = cases[cases["partition"] != "test"]
    assert (rest["partition"] == "val").mean() == pytest.approx(0.15, abs=0.03)


@pytest.mark.parametrize("center", [1, 2, 3])
def test_one_center_is_held_out(grouped, center):
    cases = dealt(grouped, "leave_one_center_out", test_center=center)
    assert set(cases.loc[cases["partition"] == "test", "center"]) == {center}
    assert set(cases.loc[cases["partition"] == "train", "center"]) == {1, 2, 3} - {center}


def test_folds_test_each_case_once(grouped):
    folds = [dealt(grouped, "kfold", fold=fold)["partition"] == "test" for fold in range(5)]
    assert (np.sum(folds, axis=0) == 1).all()
    sizes = np.sum(folds, axis=1) / len(grouped)
    assert np.abs(sizes - 0.2).max() < (0.001 if len(grouped) > 1000 else 0.02)


def test_random_draws_a_fifth_and_has_no_separate_val(grouped):
    cases = dealt(grouped, "random", test=0.2)
    assert set(cases["partition"]) == {"train", "test"}
    slack = 3 / len(cases) + 0.002
    assert (cases["partition"] == "test").mean() == pytest.approx(0.2, abs=slack)


def test_a_group_with_an_image_of_a_held_out_center_is_in_test(grouped):
    first, far = grouped.index[grouped["center"] == 1][0], grouped.index[grouped["center"] == 3][0]
    pairs = pd.DataFrame({"one": [grouped["stem"][first]], "other": [grouped["stem"][far]]})
    joined = grouped.assign(group=join_groups(grouped, pairs))
    cases = dealt(joined, "center")
    assert cases["partition"][first] == "test"
    assert leakage(cases, pairs).groups == 0
    parted = leakage(dealt(joined, "center", groups="none"), pairs)
    assert parted.duplicates == 1


def test_split_depends_only_on_the_data_and_its_seed(grouped):
    one, again, other = (dealt(grouped, "stratified", seed=seed) for seed in (0, 0, 1))
    assert (one["partition"] == again["partition"]).all()
    assert (one["partition"] != other["partition"]).any()


def test_a_missing_class_and_an_unknown_center_are_reported(grouped):
    benign = grouped[grouped["label"] < 2].reset_index(drop=True)
    with pytest.raises(InputError, match=r"split.strategy=stratified: train has no malignant case"):
        dealt(benign, "stratified")
    centers = r"must be among the centers of the data, \[1, 2, 3\]"
    with pytest.raises(InputError, match=rf"split.held_out=\[9\]: {centers}"):
        dealt(grouped, "center", held_out=[9])
    with pytest.raises(InputError, match=rf"split.test_center=9: {centers}"):
        dealt(grouped, "leave_one_center_out", test_center=9)
    with pytest.raises(InputError, match=r"held_out=\[1, 2, 3\]: leaves no center to train on"):
        dealt(grouped, "center", held_out=[1, 2, 3])


def test_split_hash_is_the_hash_of_the_file(grouped):
    cases = dealt(grouped, "stratified")
    assert (
        split_hash(cases)
        == hashlib.sha256(table_content(SPLIT, split_rows(cases))).hexdigest()[:16]
    )
    moved = cases.assign(partition=np.where(cases.index == 0, "none", cases["partition"]))
    assert split_hash(moved) != split_hash(cases)


@pytest.fixture
def manifest(grouped, tmp_path):
    """Return cases, and a function that writes their split and reads it as a manifest."""
    cases = dealt(grouped, "stratified")
    path = tmp_path / "theirs.csv"

    def written(edit=lambda table: table):
        path.write_bytes(table_content(SPLIT, split_rows(cases)))
        edit(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
        return dealt(grouped, "manifest", manifest=str(path))

    return cases, written


def test_manifest_gives_the_same_split_and_hash(manifest):
    cases, written = manifest
    assert split_hash(written()) == split_hash(cases)
    bare = written(lambda table: table[["partition", "image_id"]].iloc[::-1])
    assert split_hash(bare) == split_hash(cases)


def test_excluded_cases_of_a_manifest_are_left_out(manifest):
    cases, written = manifest
    groups = cases["group"].iloc[:3].unique()

    def exclude(table):
        table.loc[table["group"].isin(groups), "partition"] = "excluded"
        return table

    partition = written(exclude)["partition"]
    assert (partition == "excluded").sum() == cases["group"].isin(groups).sum()


MANIFESTS = {
    "lists .* cases .first missing": lambda table: table.iloc[1:],
    "twice": lambda table: pd.concat([table, table[:1]]),
    "lacks the column partition": lambda table: table.drop(columns="partition"),
    "has partition=dev; must be one of": lambda table: table.replace({"partition": {"val": "dev"}}),
    "has label=.*, but the table has": lambda table: table.assign(label="normal"),
    "test has no normal case": lambda table: table.replace({"partition": {"test": "val"}}),
}


@pytest.mark.parametrize("message", MANIFESTS)
def test_a_manifest_that_does_not_fit_is_reported(manifest, message):
    _, written = manifest
    with pytest.raises(InputError, match=rf"^split.manifest=.*theirs.csv: .*{message}"):
        written(MANIFESTS[message])


def test_a_manifest_that_leaks_is_refused_unless_groups_is_none(manifest):
    cases, written = manifest
    place = cases["group"].duplicated(keep=False).to_numpy().argmax()

    def part(table):
        ours = table["group"] == table["group"][place]
        table.loc[ours, "partition"] = "train"
        table.loc[place, "partition"] = "test"
        return table

    with pytest.raises(InputError, match="groups are split across partitions: 1 "):
        written(part)
    parted = cases.assign(partition=part(cases.copy())["partition"])
    check_split(parted, SplitConfig(strategy="manifest", manifest="theirs.csv", groups="none"))


def test_equal_consecutive_cases_are_one_patient():
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
    assert likely_patients(table.assign(age=None)).tolist() == list("abcdef")


def test_two_empty_cells_are_equal():
    table = pd.DataFrame({"stem": list("abcd"), "center": 1, "gender": "F"})
    table = table.assign(age=[30, 30, None, None], hand=[None, None, None, 1])
    assert likely_patients(table).tolist() == ["a", "a", "c", "d"]


SPELLINGS = {
    "gender": ["F", "F ", "f", "\uff26"],
    "gender ": ["F", "F\u200b", '"F"', "Female"],
    "age": [30, "30", " 30.0", 30.0],
    "femur": [0, None, "0", False],
    "osteochondroma": [1, "1", 1.0, True],
}


@pytest.mark.parametrize("column", SPELLINGS)
def test_different_spellings_of_a_value_are_equal(column):
    table = pd.DataFrame({"stem": list("abcd"), "age": 30, "gender": "F", "femur": 0})
    values, column = SPELLINGS[column], column.strip()
    table[column] = pd.Series(values, dtype=object)
    assert likely_patients(table).tolist() == ["a"] * 4
    columns, stems = respelt(table)
    assert columns == [column]
    assert stems


def test_genders_other_than_f_and_m_are_reported():
    table = pd.DataFrame({"stem": list("abcd"), "gender": ["F", "male", None, "\u041c"]})
    assert odd_genders(table) == {"d": "\u041c"}


def test_an_empty_age_does_not_equal_0():
    table = pd.DataFrame({"stem": list("abc"), "age": [0, None, 0], "gender": ["F", "F", " "]})
    assert likely_patients(table).tolist() == list("abc")
    assert respelt(table) == ([], [])


def test_groups_are_the_connected_components_of_patients_and_duplicates():
    table = pd.DataFrame({"stem": list("abcdef"), "patient": list("aaccef")})
    pairs = pd.DataFrame({"one": ["b", "e"], "other": ["d", "f"]})
    assert join_groups(table, pairs).tolist() == ["a", "a", "a", "a", "e", "e"]
    assert join_groups(table, NO_PAIRS).tolist() == list("aaccef")


def test_other_columns_do_not_separate_patients(cases):
    noted = cases.assign(**{"Unnamed: 0": range(len(cases))})
    assert likely_patients(noted).equals(likely_patients(cases))


def test_likely_patients_of_btxrd_are_those_counted_independently(real_table):
    sizes = likely_patients(real_table).value_counts()
    assert len(sizes) == 1950
    assert sizes[sizes > 1].sum() == 2826


def one_case_each(per_stratum):
    """Return single cases, with equal numbers of each class at each of three centers."""
    cells = [(label, center) for label in (0, 1, 2) for center in (1, 2, 3)] * per_stratum
    stems = [f"c{index:04d}" for index in range(len(cells))]
    labels, centers = zip(*cells, strict=True)
    table = pd.DataFrame({"stem": stems, "group": stems, "patient": stems})
    return table.assign(label=labels, center=centers)


@pytest.mark.parametrize("strategy", ["stratified", "kfold"])
def test_classes_are_stratified_within_each_center(strategy):
    """Detects a split that is stratified by class alone."""
    settings = {"val": 0.2, "test": 0.2} if strategy == "stratified" else {}
    cases = dealt(one_case_each(40), strategy, **settings)
    tested = cases[cases["partition"] == "test"].groupby(["label", "center"]).size()
    assert (tested == 8).all()
    assert len(tested) == 9


@pytest.mark.parametrize("strategy", ["center", "leave_one_center_out"])
def test_val_is_stratified_within_each_training_center(strategy):
    """Detects a val partition that is drawn without regard to class or center."""
    held_out = {"held_out": [3]} if strategy == "center" else {"test_center": 3}
    cases = dealt(one_case_each(40), strategy, val=0.2, **held_out)
    val = cases[cases["partition"] == "val"].groupby(["label", "center"]).size()
    assert (val == 8).all()
    assert len(val) == 6


def test_val_and_test_have_the_requested_shares():
    """Detects a split that confuses the two shares."""
    cases = dealt(one_case_each(40), "stratified", val=0.1, test=0.3)
    assert cases["partition"].value_counts().to_dict() == {"train": 216, "test": 108, "val": 36}
    assert (dealt(one_case_each(40), "random", test=0.3)["partition"] == "test").sum() == 108


def test_leaks_are_counted_in_the_partitions_that_matter():
    """Detects a count that confuses val with train or test, or patients with groups."""
    table = pd.DataFrame(
        [
            ("a", "p", "g", "train"), ("b", "p", "g", "test"), ("c", "q", "g", "test"),
            ("d", "r", "h", "val"), ("e", "r", "h", "test"), ("f", "s", "i", "train"),
        ],
        columns=["stem", "patient", "group", "partition"],
    )  # fmt: skip
    pairs = pd.DataFrame({"one": ["a", "c", "d"], "other": ["c", "e", "f"]})
    found = leakage(table, pairs)
    assert (found.groups, found.patients, found.duplicates) == (2, 2, 2)
    assert (found.test_cases, found.test_with_patient) == (3, 1)
    assert (found.test_with_group, found.test_with_duplicate) == (2, 1)


MATCHING = [name for name in COLUMNS if name not in ("image_id", *VIEWS)]


@pytest.mark.parametrize("column", [*MATCHING, *VIEWS])
def test_consecutive_cases_are_one_patient_if_they_differ_only_in_view(column):
    """Detects patients that are identified by fewer columns, or by the view."""
    table = pd.DataFrame({"stem": ["a", "b"], **{name: [1, 1] for name in (*MATCHING, *VIEWS)}})
    table[column] = [1, 2]
    assert likely_patients(table).tolist() == (["a", "a"] if column in VIEWS else ["a", "b"])


def test_equal_cases_that_are_not_consecutive_are_two_patients():
    """Detects groups of all cases with equal data, wherever they are in the table."""
    table = pd.DataFrame({"stem": list("abc"), "age": [30, 31, 30], "gender": "F"})
    assert likely_patients(table).tolist() == ["a", "b", "c"]
