"""Folders that commands write into, and the temporary files that they remove."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from checkout import environment

from btxrd.artifacts.summary import write_summary
from btxrd.audit.page import claim_audit_folder
from btxrd.config.schema import Config, DataConfig
from btxrd.errors import InputError
from btxrd.execution.ahead.preflight import check_sweep_folder
from btxrd.execution.status import is_complete
from btxrd.html.publish import summarize
from btxrd.phantom.write import write_phantom
from btxrd.report.summary import summary_of
from btxrd.runtime.folders import refuse_readonly

OLD = Path(__file__).parent / "fixtures" / "format-1"
FOREIGN = ["notes.txt", "config.yaml", "split.csv", "summary.csv", ".hydra/config.yaml", "a/b.tmp"]


CONFIG = replace(Config(), data=DataConfig(root="data", cache="outputs/cache"))


def check_run(folder):
    return is_complete(folder, CONFIG)


def check_sweep(folder):
    check_sweep_folder(folder, [CONFIG])


def check_audit(folder):
    claim_audit_folder(folder, CONFIG.data)


def check_summary(folder):
    summarize([OLD], folder)


OF_DATA = [check_run, check_sweep, check_audit]
CHECKS = [*OF_DATA, check_summary]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_btxrd_did_not_make_is_refused(check, name, tmp_path):
    if (check, name) == (check_run, ".hydra/config.yaml"):
        pytest.skip("a run that was killed as it began has it, too")
    with pytest.raises(InputError, match="contains files that btxrd did not create, such as "):
        check(touch(tmp_path, name))
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", [".DS_Store", "status.json.7.btxrd.tmp", "status.json.7.tmp"])
@pytest.mark.parametrize("check", OF_DATA)
def test_an_empty_folder_is_accepted(check, name, tmp_path):
    assert not check(touch(tmp_path, name))


@pytest.mark.parametrize("check", OF_DATA)
def test_the_data_and_the_cache_may_lie_in_the_folder(check, tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path, "data/images/a", "outputs/cache/b"))
    assert not check(Path())
    assert not check(tmp_path)


def test_a_run_that_was_killed_as_it_began_is_accepted(tmp_path):
    touch(tmp_path, ".lock", ".reserve", "run.log", ".hydra/hydra.yaml", "config.yaml.7.tmp")
    assert not check_run(tmp_path)


def test_a_run_without_its_status_is_accepted(tmp_path):
    run_dir = next(OLD.rglob("metrics.json")).parent
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "status.json").unlink()
    assert not check_run(tmp_path / "run")


@pytest.mark.parametrize("missing", [None, "plan.json"])
def test_a_sweep_of_an_earlier_version_is_accepted(missing, tmp_path):
    shutil.copytree(OLD, tmp_path / "sweep")
    if missing:
        (tmp_path / "sweep" / missing).unlink()
    check_sweep(tmp_path / "sweep")


def test_a_run_is_no_place_for_a_sweep(tmp_path):
    with pytest.raises(InputError, match="is the folder of a run"):
        check_sweep(touch(tmp_path, "status.json"))


def test_a_summary_is_written_again_into_its_folder(tmp_path):
    write_summary(tmp_path, summary_of([], []))
    summarize([OLD], tmp_path)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("check", CHECKS)
def test_a_file_in_place_of_a_folder_is_one_line(check, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(InputError, match="is not a folder"):
            check(place)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match=r"x=1: cannot be written \(.* is read-only\)"):
        refuse_readonly(tmp_path / "a" / "b", "x=1")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_in_which_even_root_cannot_create_a_file_is_one_line():
    with pytest.raises(InputError, match=r"^x=1: cannot be written \(/proc: no file can be"):
        refuse_readonly(Path("/proc/nonesuch/run"), "x=1")


def test_a_folder_that_was_checked_is_as_before(tmp_path):
    refuse_readonly(tmp_path / "a", "x=1")
    assert not list(tmp_path.iterdir())


def test_parallel_runs_check_one_folder_at_the_same_time(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        checks = [pool.submit(refuse_readonly, tmp_path, "x=1") for _ in range(2000)]
    assert all(check.exception() is None for check in checks)


def test_a_phantom_removes_what_killed_processes_left_and_nothing_else(tmp_path):
    touch(tmp_path, ".p-abcdefgh/whole/images/a", ".p-abcdefgi/lock", ".p-settings/a")
    touch(tmp_path, ".p-settinga/lock", ".p-settinga/mine", "p/phantom.json")
    with pytest.raises(InputError, match="already exists"):
        write_phantom(tmp_path / "p", 60, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"p", ".p-settings", ".p-settinga"}


@pytest.mark.parametrize("command", ["run", "run -m", "audit"])
def test_the_current_folder_with_files_of_the_user_is_refused_untouched(command, data, tmp_path):
    names = ["w/notes.tmp", "d.1.tmp", "config.yaml", "split.csv"]
    touch(tmp_path, *names)
    place = "hydra.sweep.dir=." if "-m" in command else "hydra.run.dir=."
    module, *options = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"btxrd.{module}", *options, *data, place, "evaluate=false"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "contains files that btxrd did not create, such as config.yaml" in done.stderr
    assert sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    ) == sorted(names)


@pytest.fixture(scope="module")
def data(shrunk):
    return [argument for argument in shrunk if argument.startswith("data.")]
