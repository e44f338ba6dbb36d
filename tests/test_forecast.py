"""The expected duration of a sweep, which is printed before its first run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from btxrd.config.schema import AnnotationsConfig, Config, ModelConfig
from btxrd.execution.ahead import forecast
from btxrd.execution.ahead.forecast import (
    Speed,
    describe_duration,
    makespan,
    run_seconds,
)
from btxrd.execution.ahead.preflight import Findings
from btxrd.execution.ahead.space import Counts

COUNTS = Counts(train=64, val=10, test=20, outlined=32, outlined_in_test=10, masked=16)
SPEED = Speed(load=4.0, update=0.5, train=0.25, predict=0.125)


def config(kind="none", epochs=3, **changes):
    made = Config(model=ModelConfig(backbone="resnet18", image_size=224), device="cpu")
    made.annotations = AnnotationsConfig(kind=kind)
    made.training.epochs = epochs
    return replace(made, **changes)


@pytest.fixture
def plan(tmp_path):
    """A sweep of four runs of one model, three of which are to be done."""
    runs = {tmp_path / str(seed): config(epochs=10, seed=seed) for seed in range(4)}
    for one in runs.values():
        one.data.cache = str(tmp_path / "cache")
    return SimpleNamespace(is_local=True, sweeper=None, use_gpus=False, runs=runs)


@pytest.fixture
def found(plan):
    return Findings(counts=dict.fromkeys(list(plan.runs)[1:], replace(COUNTS, train=10_000)))


@pytest.fixture
def measured(monkeypatch):
    """Replace the measurement; return the number of models of each call."""
    calls = []

    def measure(configs, at_once):
        calls.append(len(configs))
        return [SPEED] * len(configs)

    monkeypatch.setattr(forecast, "_measure", measure)
    return calls


def test_duration_is_that_of_training_and_evaluation():
    epoch = 2 * 0.5 + 64 * 0.25 + 10 * 0.125
    evaluation = (10 + 20 + 3 * 16 + 1.2 * 10) * 0.125
    overhead = forecast.OVERHEAD * 4.0
    assert run_seconds(config(), COUNTS, SPEED) == pytest.approx(3 * epoch + evaluation + overhead)
    no_evaluation = run_seconds(config(evaluate=False), COUNTS, SPEED)
    assert no_evaluation == pytest.approx(3 * epoch + overhead)


def test_second_views_of_outlined_tumours_take_their_time():
    longer = run_seconds(config("guided"), COUNTS, SPEED) - run_seconds(config(), COUNTS, SPEED)
    assert longer == pytest.approx(3 * (0.5 + 32 * 0.25))


def test_finished_epochs_are_not_expected_again():
    whole, rest = (run_seconds(config(), COUNTS, SPEED, finished) for finished in (0, 2))
    assert whole - rest == pytest.approx(2 * (1 + 64 * 0.25 + 10 * 0.125))


@pytest.mark.parametrize(("at_once", "seconds"), [(1, 9), (2, 6), (8, 4)])
def test_a_run_starts_once_a_place_is_free(at_once, seconds):
    assert makespan([2, 3, 4], at_once) == seconds


def test_line_names_the_runs_to_do_and_their_duration(plan, found, measured):
    line = describe_duration(plan, found, 2)
    assert line is not None
    assert line.startswith("3 runs to do: about ")
    assert "early stopping can make it shorter" in line


def test_each_model_is_measured_once(plan, found, measured):
    first = describe_duration(plan, found, 2)
    assert describe_duration(plan, found, 2) == first
    assert measured == [1]
    describe_duration(plan, found, 1)
    assert measured == [1, 1], "each run has other threads"


@pytest.mark.parametrize("change", [{"is_local": False}, {"sweeper": object()}, {"use_gpus": True}])
def test_nothing_is_said_of_what_cannot_be_measured_here(
    change, plan, found, measured, monkeypatch
):
    monkeypatch.setattr(forecast, "visible_gpus", lambda: ["0"])
    assert describe_duration(SimpleNamespace(**vars(plan) | change), found, 2) is None
    assert measured == []


def test_nothing_is_measured_for_complete_runs_or_little_work(plan, measured):
    assert describe_duration(plan, Findings(), 1) is None
    few = Findings(counts={next(iter(plan.runs)): replace(COUNTS, train=2, val=1, test=1)})
    assert describe_duration(plan, few, 1) is None
    assert measured == []


def test_a_measurement_that_fails_is_no_estimate_and_is_not_kept(
    plan, found, monkeypatch, tmp_path
):
    monkeypatch.setattr(forecast, "_measure", lambda *_: [])
    assert describe_duration(plan, found, 2) is None
    assert json.loads((tmp_path / "cache" / forecast.SPEEDS).read_text()) == {}


def test_epochs_of_an_interrupted_run_are_counted(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,lr\n1,0.1\n2,0.1\n")
    assert forecast._finished_epochs(tmp_path) == 0, "without a state it starts again"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").touch()
    assert forecast._finished_epochs(tmp_path) == 2


@pytest.mark.parametrize("kind", ["guided", "lesion", "cam"])
def test_a_few_steps_are_measured(kind):
    small = config(kind)
    small.model = ModelConfig(backbone="test_resnet", image_size=32)
    found = forecast._speed(small, 1.0)
    assert found.load == 1.0
    assert 0 < found.predict < 1
    assert 0 < found.train < 1


@pytest.mark.slow
def test_processes_measure_in_parallel():
    small = config()
    small.model = ModelConfig(backbone="test_resnet", image_size=32)
    (found,) = forecast._measure([small], 2)
    assert found.load > 0.1
    small.model.backbone = "nonesuch"
    assert forecast._measure([small], 1) == []
