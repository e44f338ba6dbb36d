"""GPUs and cores, shared out among runs."""

import os

import fates
import pytest

from btxrd.execution.status import read_status
from btxrd.runtime.cores import cores, threads
from btxrd.runtime.placement import Placement, placements, runs_at_once, visible_gpus


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have so many cores and GPUs."""

    def pretend(count, gpus=""):
        for place in ("btxrd.runtime.cores.cores", "btxrd.runtime.placement.cores"):
            monkeypatch.setattr(place, lambda: count)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    return pretend


@pytest.mark.parametrize(
    ("count", "gpus", "n_jobs", "runs", "per_gpu", "expected"),
    [
        (8, "", -1, 20, 1, 8),
        (8, "", 2, 20, 1, 2),
        (2, "", 8, 20, 1, 2),  # no more than cores
        (8, "", -1, 3, 1, 3),  # nor than runs
        (8, "", -2, 20, 1, 7),  # joblib's way to leave one core
        (16, "0,1", -1, 20, 1, 2),
        (16, "0,1", -1, 20, 3, 6),
        (16, "0,1", 1, 20, 3, 1),
        (4, "0,1", -1, 20, 8, 4),
        (8, "", -1, None, 1, 8),  # a search does not know
    ],
)
def test_as_many_runs_as_there_is_room_for(machine, count, gpus, n_jobs, runs, per_gpu, expected):
    machine(count, gpus)
    assert runs_at_once(n_jobs, runs, per_gpu, use_gpus=True) == expected


def test_gpus_are_left_alone_where_runs_do_not_use_them(machine):
    machine(8, "0,1")
    assert runs_at_once(-1, 20, 1, use_gpus=False) == 8


def test_parallel_runs_share_gpus_evenly_and_no_core_twice(machine):
    machine(9, "4,7")
    places = placements(4, use_gpus=True)
    assert sorted(place.gpu for place in places) == ["4", "4", "7", "7"]
    assert [place.threads for place in places] == [2, 2, 2, 2]


def test_a_run_by_itself_has_the_whole_machine(machine):
    machine(9, "4,7")
    (place,) = placements(1, use_gpus=True)
    assert place == Placement(threads=9)
    assert "CUDA_VISIBLE_DEVICES" not in place.environment


def test_environment_of_a_run_names_its_gpu_and_threads():
    environment = Placement(3, "1", in_parallel=True).environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("limited", "expected"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-a, GPU-b", None)]
)
def test_gpus_that_the_environment_names(limited, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", limited)
    assert visible_gpus() == (expected if expected is not None else ["GPU-a", "GPU-b"])


def test_gpus_that_the_driver_lists(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "GPU 0: A (UUID: x)"\necho "GPU 1: A (UUID: y)"\n')
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["0", "1"]


def test_threads_are_the_share_that_a_run_was_given(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == cores()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "5")
    assert cores() == 5


def test_runs_under_joblib_say_what_they_got(shrunk, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    fates.choose(tmp_path, {"": "completes"})
    data = [argument for argument in shrunk if argument.startswith("data.")]
    sweep = fates.start(
        tmp_path, *data, "seed=0,1,2", "hydra/launcher=joblib", "hydra.sweep.dir=out"
    )
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, errors
    run_dirs = [path.parent for path in tmp_path.glob("out/*/status.json")]
    workers = [read_status(run_dir).worker for run_dir in run_dirs]
    assert len(workers) == 3
    assert {worker.gpu for worker in workers} == {"0", "1"}
    assert {worker.threads for worker in workers} == {1}
