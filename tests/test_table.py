"""The table of runs that is updated in place while a sweep runs on a terminal."""

import itertools
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import fates
import pytest
from checkout import environment
from rich.console import Console

from btxrd.artifacts.status import RunError, RunStatus, write_status
from btxrd.execution.table import Display, RunTable, read_progress

NOW = "2026-01-31T12:00:00.000+00:00"
STATUS = RunStatus("running", "f", NOW, launch="this")
HEAD = "epoch,lr,train_loss,val_loss,val_accuracy,val_macro_auc,seconds,images_per_second\n"


@pytest.fixture
def planned(tmp_path):
    """Return what a table reads of a plan, which takes long to compose."""

    def plan(**values):
        overrides = [
            tuple(f"{key}={value}" for key, value in zip(values, one, strict=True))
            for one in itertools.product(*values.values())
        ]
        run_dirs = [tmp_path / ",".join(one) for one in overrides]
        points = [SimpleNamespace(overrides=one) for one in overrides]
        config = SimpleNamespace(training=SimpleNamespace(epochs=10))
        return SimpleNamespace(
            folder=tmp_path,
            sweeper=None,
            runs=dict.fromkeys(run_dirs, config),
            points=dict(zip(run_dirs, points, strict=True)),
        )

    return plan


def begin(run_dir, status, epochs=0):
    run_dir.mkdir(parents=True, exist_ok=True)
    write_status(run_dir, status)
    rows = [f"{n},0.1,1,1,0.5,{0.5 + n / 100},60,9\n" for n in range(1, epochs + 1)]
    (run_dir / "history.csv").write_text(HEAD + "".join(rows))


def drawn(table, width=80, height=24):
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(table.render(width, height))
    return [line.strip() for line in console.export_text().splitlines()]


def test_a_row_tells_how_far_a_run_is(planned):
    plan = planned(seed=range(4), split=["center"])
    done, failed, active, _ = plan.runs
    begin(done, replace(STATUS, state="complete", val_macro_auc=0.7, seconds=200), 10)
    begin(failed, replace(STATUS, state="failed", error=RunError("E", "why"), seconds=9))
    begin(active, STATUS, 4)
    lines = drawn(RunTable(plan, [], "this"))
    assert [re.sub(" +", " ", line) for line in lines[:-1]] == [
        "# seed state epoch val macro AUC time",
        "0 0 complete 10 of 10 0.700 took 3 min",
        "1 1 failed 0 of 10 took 9 s",
        "2 2 running 4 of 10 0.540 6 min left",
        "3 3 waiting",
        "4 runs: 1 running, 1 failed, 1 complete, 1 waiting; 0 s so far",
    ]


def test_runs_are_named_by_what_tells_them_apart(planned):
    plan = planned(experiment=["best/lite0", "best/lite2"], split=["center"], seed=[0, 1])
    table = RunTable(plan, [], "this")
    assert table.heading == "experiment, seed"
    assert list(table.names.values()) == [f"best/lite{n}, {m}" for n in (0, 2) for m in (0, 1)]


@pytest.mark.parametrize("width", [40, 60, 200])
@pytest.mark.parametrize("height", [8, 12, 24])
def test_the_table_fits_the_terminal(width, height, planned):
    plan = planned(seed=range(30), dropout=[0.123456789012345, 0.123456789012346])
    active = list(plan.runs)[40]
    begin(active, STATUS, 4)
    lines = drawn(RunTable(plan, [], "this"), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert any(line.startswith("40") and "running" in line for line in lines)


@pytest.mark.parametrize("width", [40, 80])
def test_what_a_terminal_echoes_of_two_ctrl_c_fits_after_the_last_line(width, planned):
    lines = drawn(RunTable(planned(seed=range(4)), [], "this"), width)
    assert len(lines[-1] + "^C" * 2) < width


def test_a_run_that_is_resumed_shows_no_earlier_duration(tmp_path):
    begin(tmp_path, replace(STATUS, seconds=57))
    assert read_progress(tmp_path, 10, "this").seconds is None


@pytest.mark.parametrize("damage", ["", "{", '{"state": 1}'])
def test_a_run_that_cannot_be_read_has_not_begun(damage, tmp_path):
    (tmp_path / "status.json").write_text(damage)
    assert read_progress(tmp_path, 10, "this").state == "waiting"


def test_a_run_of_an_earlier_call_is_waiting_unless_it_is_complete(tmp_path):
    begin(tmp_path, replace(STATUS, state="failed", launch="earlier"))
    assert read_progress(tmp_path, 10, "this").state == "waiting"
    begin(tmp_path, replace(STATUS, state="complete", launch="earlier"))
    assert read_progress(tmp_path, 10, "this").state == "complete"


def test_a_row_that_is_half_written_is_no_error(tmp_path):
    begin(tmp_path, STATUS)
    (tmp_path / "history.csv").write_text(HEAD + "1,0.1,1")
    assert read_progress(tmp_path, 10, "this").seconds_left is None


def test_there_is_no_table_off_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Display.here() is None


def run_on_terminal(folder, *arguments, stop_at="", **variables):
    """Run a sweep on a terminal of its own; return its exit status and all that it writes."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "btxrd.run", "-m", "evaluate=false", *arguments]
    given = environment(PYTHONPATH=str(folder), SLURM_CPUS_PER_TASK="2", **variables)
    sweep = subprocess.Popen(
        command, cwd=folder, env=given, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the terminal is closed
            break
        if stop_at and stop_at.encode() in written:
            sweep.send_signal(signal.SIGINT)
            stop_at = ""
    os.close(ours)
    return sweep.wait(timeout=60), written.decode()


def test_ctrl_c_leaves_the_terminal_as_it_was(shrunk, tmp_path):
    data = [argument for argument in shrunk if argument.startswith("data.")]
    fates.choose(tmp_path, {"seed=0": "raises", "": "waits"})
    code, written = run_on_terminal(
        tmp_path, *data, "seed=0,1,2", "hydra.sweep.dir=out", TERM="xterm", stop_at="1 failed"
    )
    assert code == 130
    assert "#0 " in written
    assert "made of cheese" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again
    after = written[written.rindex("\x1b[?25h") :]
    assert re.search(r"3 runs: .*1 failed", after)
    assert "To resume: " in after


def test_a_simple_terminal_gets_lines(shrunk, tmp_path):
    data = [argument for argument in shrunk if argument.startswith("data.")]
    fates.choose(tmp_path, {"": "completes"})
    code, written = run_on_terminal(
        tmp_path, *data, "seed=0,1", "hydra.sweep.dir=out", TERM="dumb", TQDM_DISABLE="1"
    )
    assert code == 0
    assert "\x1b" not in written
    assert "#0: out/" in written
