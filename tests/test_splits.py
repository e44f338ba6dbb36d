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
    """Cases of a phantom that has each class several times at each center."""
    return load_cases(make_once(shared / "many", partial(write_phantom, cases=160, seed=0)))


@pytest.fixture(params=["phantom", "real"])
def grouped(request):
    """The cases of a phantom, and BTXRD's own table."""
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
def test_no_group_is_parted(grouped, strategy, seed):
    found = leakage(dealt(grouped, strategy, seed=seed), NO_PAIRS)
    assert (found.groups, found.patients, found.test_with_patient) == (0, 0, 0)


@pytest.mark.parametrize("strategy", ["stratified", "kfold", "random"])
def test_groups_none_parts_patients_and_says_so(grouped, strategy):
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


def test_center_tests_on_centers_that_training_never_sees(grouped):
    cases = dealt(grouped, "center")
    assert set(cases.loc[cases["partition"] == "test", "center"]) == {2, 3}
    assert set(cases.loc[cases["partition"] != "test", "center"]) == {1}
    rest = cases[cases["partition"] != "test"]
    assert (rest["partition"] == "val").mean() == pytest.approx(0.15, abs=0.03)


@pytest.mark.parametrize("center", [1, 2, 3])
def test_one_center_is_left_out(grouped, center):
    cases = dealt(grouped, "leave_one_center_out", test_center=center)
    assert set(cases.loc[cases["partition"] == "test", "center"]) == {center}
    assert set(cases.loc[cases["partition"] == "train", "center"]) == {1, 2, 3} - {center}


def test_folds_test_each_case_once(grouped):
    folds = [dealt(grouped, "kfold", fold=fold)["partition"] == "test" for fold in range(5)]
    assert (np.sum(folds, axis=0) == 1).all()
    sizes = np.sum(folds, axis=1) / len(grouped)
    assert np.abs(sizes - 0.2).max() < (0.001 if len(grouped) > 1000 else 0.02)


def test_random_draws_a_fifth_and_has_no_val_of_its_own(grouped):
    cases = dealt(grouped, "random", test=0.2)
    assert set(cases["partition"]) == {"train", "test"}
    slack = 3 / len(cases) + 0.002
    assert (cases["partition"] == "test").mean() == pytest.approx(0.2, abs=slack)


def test_group_with_a_film_of_a_held_out_center_is_tested(grouped):
    first, far = grouped.index[grouped["center"] == 1][0], grouped.index[grouped["center"] == 3][0]
    pairs = pd.DataFrame({"one": [grouped["stem"][first]], "other": [grouped["stem"][far]]})
    joined = grouped.assign(group=join_groups(grouped, pairs))
    cases = dealt(joined, "center")
    assert cases["partition"][first] == "test"
    assert leakage(cases, pairs).groups == 0
    parted = leakage(dealt(joined, "center", groups="none"), pairs)
    assert parted.duplicates == 1


def test_split_follows_from_the_data_and_its_own_seed_alone(grouped):
    one, again, other = (dealt(grouped, "stratified", seed=seed) for seed in (0, 0, 1))
    assert (one["partition"] == again["partition"]).all()
    assert (one["partition"] != other["partition"]).any()


def test_absent_class_and_unknown_center_are_named(grouped):
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


def test_hash_is_that_of_the_file(grouped):
    cases = dealt(grouped, "stratified")
    assert (
        split_hash(cases)
        == hashlib.sha256(table_content(SPLIT, split_rows(cases))).hexdigest()[:16]
    )
    moved = cases.assign(partition=np.where(cases.index == 0, "none", cases["partition"]))
    assert split_hash(moved) != split_hash(cases)


@pytest.fixture
def manifest(grouped, tmp_path):
    """Writes the stratified split, changed by `edit`, and reads it as a manifest."""
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


def test_manifest_leaves_out_what_it_excludes(manifest):
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
def test_manifest_that_does_not_fit_is_named(manifest, message):
    _, written = manifest
    with pytest.raises(InputError, match=rf"^split.manifest=.*theirs.csv: .*{message}"):
        written(MANIFESTS[message])


def test_manifest_that_leaks_is_refused_unless_that_is_wanted(manifest):
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
    assert likely_patients(table.assign(age=None)).tolist() == list("abcdef")


def test_an_empty_cell_agrees_with_an_empty_cell():
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
def test_cells_that_mean_one_thing_are_spelt_alike(column):
    table = pd.DataFrame({"stem": list("abcd"), "age": 30, "gender": "F", "femur": 0})
    values, column = SPELLINGS[column], column.strip()
    table[column] = pd.Series(values, dtype=object)
    assert likely_patients(table).tolist() == ["a"] * 4
    columns, stems = respelt(table)
    assert columns == [column]
    assert stems


def test_genders_that_are_none_of_f_and_m_are_named():
    table = pd.DataFrame({"stem": list("abcd"), "gender": ["F", "male", None, "\u041c"]})
    assert odd_genders(table) == {"d": "\u041c"}


def test_an_empty_age_is_not_the_age_of_0():
    table = pd.DataFrame({"stem": list("abc"), "age": [0, None, 0], "gender": ["F", "F", " "]})
    assert likely_patients(table).tolist() == list("abc")
    assert respelt(table) == ([], [])


def test_groups_are_the_connected_components_of_patients_and_duplicates():
    table = pd.DataFrame({"stem": list("abcdef"), "patient": list("aaccef")})
    pairs = pd.DataFrame({"one": ["b", "e"], "other": ["d", "f"]})
    assert join_groups(table, pairs).tolist() == ["a", "a", "a", "a", "e", "e"]
    assert join_groups(table, NO_PAIRS).tolist() == list("aaccef")


def test_a_column_that_is_not_btxrd_s_parts_no_patient(cases):
    noted = cases.assign(**{"Unnamed: 0": range(len(cases))})
    assert likely_patients(noted).equals(likely_patients(cases))


def test_likely_patients_of_btxrd_are_those_counted_independently(real_table):
    sizes = likely_patients(real_table).value_counts()
    assert len(sizes) == 1950
    assert sizes[sizes > 1].sum() == 2826


def one_case_each(per_stratum):
    """Cases without relatives: equally many of each class at each of three centers."""
    cells = [(label, center) for label in (0, 1, 2) for center in (1, 2, 3)] * per_stratum
    stems = [f"c{index:04d}" for index in range(len(cells))]
    labels, centers = zip(*cells, strict=True)
    table = pd.DataFrame({"stem": stems, "group": stems, "patient": stems})
    return table.assign(label=labels, center=centers)


@pytest.mark.parametrize("strategy", ["stratified", "kfold"])
def test_each_class_is_shared_out_evenly_within_each_center(strategy):
    """Kills a split that is stratified by class alone."""
    settings = {"val": 0.2, "test": 0.2} if strategy == "stratified" else {}
    cases = dealt(one_case_each(40), strategy, **settings)
    tested = cases[cases["partition"] == "test"].groupby(["label", "center"]).size()
    assert (tested == 8).all()
    assert len(tested) == 9


@pytest.mark.parametrize("strategy", ["center", "leave_one_center_out"])
def test_val_is_shared_out_evenly_within_each_center_that_is_left(strategy):
    """Kills a val partition that is drawn without regard to class or center."""
    held_out = {"held_out": [3]} if strategy == "center" else {"test_center": 3}
    cases = dealt(one_case_each(40), strategy, val=0.2, **held_out)
    val = cases[cases["partition"] == "val"].groupby(["label", "center"]).size()
    assert (val == 8).all()
    assert len(val) == 6


def test_val_and_test_have_the_shares_that_are_asked_for():
    """Kills a split that takes one share for the other."""
    cases = dealt(one_case_each(40), "stratified", val=0.1, test=0.3)
    assert cases["partition"].value_counts().to_dict() == {"train": 216, "test": 108, "val": 36}
    assert (dealt(one_case_each(40), "random", test=0.3)["partition"] == "test").sum() == 108


def test_leaks_are_counted_in_the_partitions_that_matter():
    """Kills a count that takes val for train or test, or patients for groups."""
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
def test_neighbours_are_one_patient_if_all_but_their_views_agree(column):
    """Kills a patient that is told by fewer columns, or by the view."""
    table = pd.DataFrame({"stem": ["a", "b"], **{name: [1, 1] for name in (*MATCHING, *VIEWS)}})
    table[column] = [1, 2]
    assert likely_patients(table).tolist() == (["a", "a"] if column in VIEWS else ["a", "b"])


def test_cases_that_agree_but_are_no_neighbours_are_two_patients():
    """Kills groups of all cases with equal data, wherever they are in the table."""
    table = pd.DataFrame({"stem": list("abc"), "age": [30, 31, 30], "gender": "F"})
    assert likely_patients(table).tolist() == ["a", "b", "c"]
