"""The command line, as a person types it."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import environment

from btxrd.execution.status import read_status

TINY = ["training.epochs=1", "model.image_size=32", "model.backbone=test_resnet"]


def btxrd(folder, *arguments, **variables):
    command = [sys.executable, "-m", "btxrd.run", *arguments]
    settings = {"cwd": folder, "capture_output": True, "text": True, "timeout": 900}
    return subprocess.run(command, env=environment(**variables), **settings)


@pytest.fixture(scope="module")
def data(shrunk):
    """The overrides that name the phantom and the cache of this test session."""
    return [argument for argument in shrunk if argument.startswith("data.")]


@pytest.fixture(scope="module")
def sweep(data, tmp_path_factory):
    """A sweep of a good run and one that cannot be built."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "old.pt").write_bytes(b"a baseline")
    backbones = "model.attn_layer=null,nonsense"
    command = ["-m", "split=stratified", backbones, *TINY[:2], *data, "hydra.sweep.dir=out"]
    command += ["model.backbone=test_resnet"]
    done = btxrd(folder, *command)
    return folder, command, done


def runs_of(folder):
    return {path.parent.name: path.parent for path in (folder / "out").rglob("status.json")}


def test_failing_runs_do_not_stop_the_others_and_show_in_the_exit_status(sweep):
    folder, _, done = sweep
    assert done.returncode == 1, done.stderr
    states = {name: read_status(run_dir).state for name, run_dir in runs_of(folder).items()}
    assert sorted(states.values()) == ["complete", "failed"]
    for name, state in states.items():
        assert (state == "failed") == ("nonsense" in name)
    with (folder / "out" / "summary.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert {name: row["state"] for name, row in rows.items()} == states
    assert "choose one of se, " in rows[next(name for name in rows if "nonsense" in name)]["error"]
    assert (folder / "out" / "report.html").is_file()


def test_output_to_a_file_has_a_line_an_epoch_and_no_control_codes(sweep):
    _, _, done = sweep
    printed = done.stdout + done.stderr
    assert "\r" not in printed
    assert "\x1b" not in printed
    assert len(re.findall(r"epoch 1/1 ", printed)) == 1
    assert "Traceback" not in printed


def test_old_baselines_are_kept(sweep):
    folder = sweep[0]
    copy = folder / "checkpoints" / "backup_b0_baseline" / "old.pt"
    assert copy.read_bytes() == b"a baseline"


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A sweep of one complete run, in a folder of a given name."""
    folder = tmp_path_factory.mktemp("finished")
    command = ["-m", *TINY, *data, "evaluate=false", "hydra.sweep.dir=out"]
    command += ["hydra.sweep.subdir=one"]
    done = btxrd(folder, *command)
    assert done.returncode == 0, done.stderr
    return folder, command


def test_finished_sweep_loads_no_torch(finished):
    folder, command = finished
    code = f"import sys; sys.argv = ['run', *{command!r}]; from btxrd.run import main; main(); "
    code += "sys.exit('torch' in sys.modules)"
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "complete already" in again.stdout


def test_second_launch_leaves_complete_runs_as_they_are(finished):
    folder, command = finished
    files = [path for path in (folder / "out" / "one").rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    again = btxrd(folder, *command)
    assert (again.returncode, again.stdout.count("complete already")) == (0, 1)
    after = [path for path in (folder / "out" / "one").rglob("*") if path.is_file()]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in after} == before


def test_complete_run_of_another_config_stops_the_sweep(finished):
    folder, command = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")}
    done = btxrd(folder, *command, "seed=5")
    assert done.returncode == 1
    assert done.stderr == (
        "out/one: contains a complete run of another config (seed=0 there, 5 now); set another "
        "hydra.run.dir or hydra.sweep.dir\n"
    )
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")} == before


@pytest.mark.slow
def test_joblib_launcher(data, tmp_path):
    done = btxrd(
        tmp_path, "-m", "seed=0,1", *TINY, *data, "hydra/launcher=joblib", "hydra.sweep.dir=out"
    )
    assert done.returncode == 0, done.stderr
    assert len(runs_of(tmp_path)) == 2
    assert (tmp_path / "out" / "summary.csv").read_text().count("complete") == 2


def test_single_run_goes_into_outputs(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))  # as on a new machine
    done = btxrd(tmp_path, *TINY, *data, "evaluate=false")
    assert done.returncode == 0, done.stderr
    assert "font" not in done.stdout + done.stderr
    (run_dir,) = [path.parent for path in tmp_path.glob("outputs/*/*/status.json")]
    assert {path.name for path in (run_dir / ".hydra").iterdir()} == {
        "config.yaml", "hydra.yaml", "overrides.yaml"
    }  # fmt: skip
    assert "epoch 1/1" in (run_dir / "run.log").read_text()


def stop_when(is_time, folder, *arguments):
    """Start a command, and ask it to end once `is_time`; returns its exit status."""
    command = [sys.executable, "-m", "btxrd.run", *arguments]
    running = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    patience = time.monotonic() + 120
    while not is_time() and running.poll() is None and time.monotonic() < patience:
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    return running.wait(timeout=60)


@pytest.mark.slow
def test_stopped_sweep_has_a_summary_and_goes_on_where_it_was(data, tmp_path):
    command = ["-m", *TINY[1:], "training.epochs=500", "training.patience=500", *data]
    command += ["hydra.sweep.dir=out", "hydra.sweep.subdir=one"]
    run_dir = tmp_path / "out" / "one"
    begun = run_dir / "checkpoints" / "last.pt"
    assert stop_when(begun.is_file, tmp_path, *command) == 128 + signal.SIGTERM
    assert read_status(run_dir).state == "interrupted"
    assert "interrupted" in (tmp_path / "out" / "summary.csv").read_text()

    def goes_on():
        return "Resuming after epoch" in (run_dir / "run.log").read_text()

    assert not goes_on()
    assert stop_when(goes_on, tmp_path, *command) == 128 + signal.SIGTERM
    assert goes_on()
    assert read_status(run_dir).attempts == 2


def damage_film(root):
    path = next((root / "images").glob("*.jpeg"))
    path.write_bytes(path.read_bytes()[:500])
    return path


def damage_outline(root):
    path = next((root / "Annotations").glob("*.json"))
    path.write_text("{")
    return path


@pytest.mark.parametrize("damage", [damage_film, damage_outline])
def test_damaged_data_is_one_line_that_names_the_file(damage, phantom, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(phantom, root)
    path = damage(root)
    arguments = [*TINY, "data=btxrd", f"data.root={root}", "model.pretrained=false"]
    done = btxrd(tmp_path, *arguments)
    assert done.returncode == 1
    named = [line for line in (done.stdout + done.stderr).splitlines() if str(path) in line]
    assert len(named) == 1
    assert "Traceback" not in done.stdout + done.stderr
    full = btxrd(tmp_path, *arguments, HYDRA_FULL_ERROR="1")
    assert "Traceback" in full.stdout + full.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.dropout=2"], "model.dropout=2.0: must be between 0 and 0.95"),
        (["split=centre"], "split=centre: no such choice; must be one of center, kfold,"),
        (["trainig.epochs=3"], "trainig: no such key; did you mean training?"),
    ],
)
@pytest.mark.parametrize("sweep_flag", [[], ["-m"]], ids=["run", "sweep"])
def test_wrong_input_is_one_line_and_leaves_nothing(arguments, message, sweep_flag, tmp_path):
    done = btxrd(tmp_path, *sweep_flag, *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_missing_data_is_one_line(tmp_path):
    done = btxrd(tmp_path, "data=btxrd", "data.root=/nowhere", "model.pretrained=false")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("data.root=/nowhere: no such folder")


def test_showing_a_config_that_does_not_compose_is_one_line(tmp_path):
    done = btxrd(tmp_path, "--cfg", "job", "trainig.epochs=3")
    assert (done.returncode, done.stderr) == (1, "trainig: no such key; did you mean training?\n")
    done = btxrd(tmp_path, "-m", "--cfg", "job")
    assert (done.returncode, done.stderr) == (
        1,
        "--cfg shows the config of one run: leave out -m\n",
    )


@pytest.mark.slow
def test_wheel_carries_its_conf(tmp_path):
    source = Path(__file__).parents[1]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", source, "-w", tmp_path], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "-q", "--no-deps", wheel, "--target", target], check=True)
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "btxrd.run", "--cfg", "job"],
        cwd=tmp_path / "empty",
        env=os.environ | {"PYTHONPATH": str(target)},  # the wheel, and not this checkout
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "backbone: efficientnet_b0" in done.stdout
