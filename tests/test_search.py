"""Searches by Optuna whose runs give their learning rate as objective."""

import os
import signal

import fates
import pytest
from fates import rows_of, wait_for

from btxrd.config.request import Sweeper
from btxrd.errors import InputError
from btxrd.execution.search import resume

optuna = pytest.importorskip("optuna", reason="optuna is not installed")


@pytest.fixture
def start(shrunk, tmp_path):
    data = [argument for argument in shrunk if argument.startswith("data.")]

    def starting(*arguments):
        return fates.start(tmp_path, *data, "hydra.sweep.dir=out", *arguments)

    return starting


def study_in(folder):
    return optuna.load_study(study_name="btxrd", storage=f"sqlite:///{folder / 'out/study.db'}")


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_with_as_many_trials_as_asked(start, tmp_path):
    search = ["search=recipe", "hydra.sweeper.n_trials=3"]
    fates.choose(tmp_path, {"dropout=0.4458": "waits", "": "completes"})  # the second of seed 0
    sweep = start(*search)
    waiting = wait_for(lambda: list(tmp_path.glob("out/*/waiting")))
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=30)
    fates.choose(tmp_path, {"": "completes"})
    sweep = start(*search)
    printed, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, errors
    done = [trial for trial in study_in(tmp_path).trials if trial.state.name == "COMPLETE"]
    assert len(done) == 3
    assert all(trial.value == trial.params["training.lr"] for trial in done)
    rows = rows_of(tmp_path / "out")
    assert [row["state"] for row in rows.values()] == ["complete"] * 3
    assert waiting[0].parent.name in rows
    assert "Best value" in printed
    sweep = start(*search)
    printed, _ = sweep.communicate(timeout=60)
    assert (sweep.returncode, len(study_in(tmp_path).trials)) == (0, 4)


def test_a_search_bears_some_failed_runs_and_no_more(start, tmp_path):
    fates.choose(tmp_path, {"": "raises"})
    sweep = start("search=recipe", "hydra.sweeper.n_trials=9", "max_failed=1")
    sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    assert [row["state"] for row in rows_of(tmp_path / "out").values()] == ["failed"] * 2
    assert (tmp_path / "out" / "stop").read_text() == "2 runs failed, max_failed=1\n"


def test_any_sweep_can_be_searched(start, tmp_path):
    fates.choose(tmp_path, {"": "completes"})
    space = "training.lr=tag(log,interval(1e-5,1e-2))"
    sweep = start("hydra/sweeper=optuna", space, "hydra.sweeper.n_trials=2", "seed=3")
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, errors
    study = study_in(tmp_path)
    assert study.direction.name == "MAXIMIZE"
    assert {row["seed"] for row in rows_of(tmp_path / "out").values()} == {"3"}


@pytest.mark.slow
def test_two_searches_at_once_do_not_meet(start, tmp_path):
    fates.choose(tmp_path, {"": "waits"})
    sweep = start("search=recipe")
    wait_for(lambda: list(tmp_path.glob("out/*/waiting")))
    second = start("search=recipe")
    _, errors = second.communicate(timeout=60)
    assert (second.returncode, errors.count("\n")) == (1, 1)
    assert [trial.state.name for trial in study_in(tmp_path).trials] == ["RUNNING"]
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=30)
    third = start("search=recipe", "seed=5")
    _, errors = third.communicate(timeout=60)
    assert (third.returncode, errors.count("\n")) == (1, 1)
    assert "contains a search over another config" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/sweeper=optuna"], "hydra/sweeper=optuna: no search space"),
        (["search=recipe", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: must be at"),
        (["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message, start, tmp_path):
    fates.choose(tmp_path, {})
    _, errors = start(*arguments).communicate(timeout=60)
    assert errors.startswith(message)
    assert errors.count("\n") == 1


def test_a_wrong_value_beside_a_search_is_one_line(start, tmp_path):
    fates.choose(tmp_path, {})
    sweep = start("search=recipe", "model.image_size=5")
    _, errors = sweep.communicate(timeout=60)
    assert (sweep.returncode, errors) == (1, "model.image_size=5: must be between 32 and 1024\n")
    assert not (tmp_path / "out").exists()


def test_a_search_of_one_run_is_refused(compose):
    with pytest.raises(InputError, match=r"search=recipe: needs several runs; add -m"):
        compose("search=recipe")


@pytest.mark.parametrize("name", ["plain", "a?b", "it's {x} %20 #1", "[*]", "b\\s", "${y}"])
def test_a_study_is_beside_its_runs_whatever_the_folder_is_called(name, tmp_path):
    sweep_dir = tmp_path / name
    resume(Sweeper("optuna", trials=1), sweep_dir, "config")
    settings = resume(Sweeper("optuna", trials=1), sweep_dir, "config")
    assert [path.name for path in sweep_dir.iterdir()] == ["study.db"]
    assert settings["n_trials"] == 1
    assert list(tmp_path.iterdir()) == [sweep_dir]
