import math

import pytest

from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.config.schema import Config, ModelConfig, TrainingConfig
from btxrd.execution import concurrency
from btxrd.execution.concurrency import Trial, TrialError, choose_at_once, decide, measure, try_out


def config(tmp_path, size=224):
    made = Config(model=ModelConfig(backbone="resnet18", image_size=size), device="cpu")
    made.training = TrainingConfig(epochs=10, patience=4, batch_size=2)
    made.data.cache = str(tmp_path / "cache")
    return made


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(concurrency, "cores", lambda: 8)
    monkeypatch.setattr(concurrency, "visible_gpus", list)


def speeds(monkeypatch, by_count, memory=0.01):
    """Let trials give these speeds in all; returns the counts that were tried."""
    tried = []

    def trial(_, count):
        tried.append(count)
        if by_count.get(count) is None:
            raise TrialError(f"{count} fail")
        return [Trial(by_count[count] / count, memory)] * count

    monkeypatch.setattr(concurrency, "try_out", trial)
    return tried


@pytest.mark.parametrize(
    ("by_count", "tried", "chosen", "line"),
    [
        ({1: 10, 2: 10.5}, [1, 2], 1, "2 parallel runs have 1.05 times the throughput of one"),
        ({1: 10, 2: 18, 4: 18.5}, [1, 2, 4], 2, "2 parallel runs have 1.80 times"),
        ({1: 10, 2: 18, 4: 30, 8: 50}, [1, 2, 4, 8], 8, "8 parallel runs have 5.00 times"),
    ],
)
def test_more_runs_at_once_where_they_do_more(by_count, tried, chosen, line, monkeypatch, tmp_path):
    asked = speeds(monkeypatch, by_count)
    count, reason = choose_at_once(tmp_path, [(config(tmp_path), 1000)] * 8, False)
    assert (asked, count) == (tried, chosen)
    assert line in reason
    assert "resnet18, 224 px" in reason
    again = choose_at_once(tmp_path, [(config(tmp_path), 1000)] * 8, False)
    assert again == (count, reason)
    assert asked == tried, "measured twice"


def test_a_trial_that_fails_is_said_and_not_kept(monkeypatch, tmp_path):
    runs = [(config(tmp_path), 1000)] * 8
    asked = speeds(monkeypatch, {1: 10, 2: None})
    count, reason = choose_at_once(tmp_path, runs, False)
    assert (count, reason) == (1, "the throughput of more could not be measured (2 fail)")
    choose_at_once(tmp_path, runs, False)
    assert asked == [1, 2, 1, 2]


def test_fewer_runs_are_measured_by_themselves(monkeypatch, tmp_path):
    speeds(monkeypatch, {1: 10, 2: 20, 4: 40, 8: 80})
    chosen = [choose_at_once(tmp_path, [(config(tmp_path), 1000)] * n, False)[0] for n in (8, 3, 2)]
    assert chosen == [8, 2, 2]


def test_no_more_runs_than_memory_holds(monkeypatch, tmp_path):
    asked = speeds(monkeypatch, {1: 1, 2: 2, 4: 4, 8: 8}, memory=0.2)
    assert measure(config(tmp_path), [1, 2, 4]) == {1: 1, 2: 2}
    assert asked == [1, 2]
    assert "may not fit" in decide({1: 1}, config(tmp_path))[1]


def test_an_implausible_measurement_is_neither_used_nor_kept(monkeypatch, tmp_path):
    asked = speeds(monkeypatch, {1: 1, 2: 9.6})
    runs = [(config(tmp_path), 10**6)] * 2
    for _ in range(2):
        count, reason = choose_at_once(tmp_path, runs, False)
        assert (count, "other programs were using the machine" in reason) == (1, True)
    assert asked == [1, 2, 1, 2]


def test_nothing_is_measured_for_little_work(monkeypatch, tmp_path):
    asked = speeds(monkeypatch, {1: 1, 2: 2, 4: 2})
    few = [(config(tmp_path), 24)] * 4  # 4 runs x 24 cases x 5 epochs, which come for sure
    assert choose_at_once(tmp_path, few, False)[0] == 1
    assert choose_at_once(tmp_path, [(config(tmp_path), 10**6)], False)[0] == 1
    assert asked == []
    assert choose_at_once(tmp_path, [(config(tmp_path), 26)] * 4, False)[0] == 2


def test_a_sweep_goes_on_as_it_began(monkeypatch, tmp_path):
    asked = speeds(monkeypatch, {1: 1, 2: 2})
    for begun, expected in ((3, 3), (64, 8)):  # on a larger machine
        write_plan(tmp_path, SweepPlan(("a",), at_once=begun))
        runs = [(config(tmp_path), 10**6)] * 4
        assert choose_at_once(tmp_path, runs, False)[0] == expected
    assert asked == []


def test_runs_share_gpus_by_measurement(monkeypatch, tmp_path):
    monkeypatch.setattr(concurrency, "visible_gpus", lambda: ["0", "1"])
    asked = speeds(monkeypatch, {1: 1, 2: 2, 4: 3, 8: 3.1})
    assert choose_at_once(tmp_path, [(config(tmp_path), 1000)] * 8, True)[0] == 4
    assert asked == [1, 2, 4, 8]


def test_each_of_several_gpus_counts_with_few_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(concurrency, "visible_gpus", lambda: ["0", "1", "2"])
    asked = speeds(monkeypatch, {1: 1, 2: 2, 3: 3})
    assert choose_at_once(tmp_path, [(config(tmp_path), 1000)] * 3, True)[0] == 3
    assert asked == [1, 2, 3]


def test_speed_decides_not_the_number(tmp_path):
    assert decide({1: 10, 2: 10.9, 4: 11}, config(tmp_path))[0] == 4
    assert decide({1: 10, 2: 12, 4: 13}, config(tmp_path))[0] == 2


@pytest.mark.slow
def test_processes_are_timed_together(tmp_path):
    trials = try_out(config(tmp_path, size=32), 2)
    assert len(trials) == 2
    for trial in trials:
        assert 1 < trial.images_per_second < math.inf
        assert 0.001 < trial.memory < 1


def test_a_broken_trial_is_told(tmp_path):
    broken = config(tmp_path)
    broken.model.backbone = "resnet_of_no_kind"
    with pytest.raises(TrialError, match="one of 1 parallel runs failed"):
        try_out(broken, 1)
