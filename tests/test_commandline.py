"""What is typed: options, quoted values, the mode, and what Hydra would do with them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import fates
import pytest
from checkout import environment
from fates import rows_of
from hydra.core.override_parser.overrides_parser import OverridesParser

from btxrd.artifacts.plan import read_plan
from btxrd.config.commandline import CommandLine, override, parse_arguments, program, resuming
from btxrd.config.compose import register_schema
from btxrd.config.messages import one_line_errors
from btxrd.errors import InputError
from btxrd.execution.planning import plan, plan_run, plan_sweep
from btxrd.execution.status import read_status


@pytest.fixture(autouse=True)
def schema():
    register_schema()


@pytest.fixture
def configs(tmp_path):
    """A further folder of configs."""

    def write(name, text):
        path = tmp_path / "more" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(tmp_path / "more")

    return write


WRONG_OPTIONS = {
    "--config-path x": "--config-path: is not an option",
    "-cp x": "--config-path: is not an option",
    "~training": "~training: a setting cannot be removed; set it, as in training=VALUE",
    "=3": "=3: must be KEY=VALUE",
    "--hydra-help": "--hydra-help: is not an option; see btxrd run --help",
    "-sc install=bash": "--shell-completion: is not an option; btxrd has a completion of its own",
    "--experimental-rerun x": "--experimental-rerun: is not an option",
    "--resolve": "--resolve: is an option of --cfg",
    "-p model": "--package: is an option of --cfg",
    "-m --cfg job": "--cfg shows the config of one run: leave out -m",
    "-m -r": "--run and --multirun: exclude each other",
    "--cfg job --info": "--cfg and --info: exclude each other",
    "--nonsense": "unrecognized arguments: --nonsense; see",
    "--multi": "unrecognized arguments: --multi; see",
    "--cfg nope": "argument -c/--cfg: invalid choice: 'nope'",
    "--cfg": "argument -c/--cfg: expected one argument",
}


@pytest.mark.parametrize("typed", WRONG_OPTIONS)
def test_a_wrong_option_is_one_line(typed):
    with pytest.raises(InputError) as got:
        parse_arguments(typed.split())
    assert str(got.value).startswith(WRONG_OPTIONS[typed])
    assert "\n" not in str(got.value)


TEXTS = [
    "out", "a=b,c", "it's", 'say "x"', "back\\slash", "ends\\", 'both\\" \\\\', "a b", " a ",
    "${x}", "[1]", "{a: 1}", "*?", "null", "1", "a:b", "~x", "-x", "+x", "ä", "(", "#x", "%Y",
    "a'\"b",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_quoted_text_is_what_hydra_reads(text, tmp_path):
    request = plan_run([override("hydra.run.dir", text)]).request
    assert request.folder.path == Path(text)


@pytest.mark.parametrize("text", ["a=b,c", "it's", "bs\\\\c", "${x}", "[1]? *", "ends\\"])
def test_a_sweep_may_be_in_any_folder(text, tmp_path):
    planned = plan_sweep(["seed=1", override("hydra.sweep.dir", text)])
    ((run_dir, point),) = planned.points.items()
    assert run_dir == Path(text) / "seed=1"
    spec = point.spec(run_dir)
    assert spec.logging["handlers"]["file"]["filename"] == str(run_dir.absolute() / "run.log")


@pytest.mark.parametrize("text", TEXTS)
def test_a_command_that_resumes_survives_the_shell(text):
    typed = ["-m", "split.manifest='x y'", "++hydra.sweep.dir=old", "hydra.sweep.subdir='a b'"]
    command = resuming(typed, "hydra.sweep.dir", Path(text))
    *kept, last = shlex.split(command)[2:]
    assert kept == ["-m", "split.manifest='x y'", "hydra.sweep.subdir='a b'"]
    assert Path(str(OverridesParser.create().parse_override(last).value())) == Path(
        text.replace("${", r"\${")
    )


def test_a_command_that_resumes_elsewhere_goes_there_first(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    command = resuming(["-m"], "hydra.sweep.dir", Path("out"), started_in=str(tmp_path / "a b"))
    words = ["&&", "btxrd", "run", "-m", f"hydra.sweep.dir={tmp_path}/out"]
    assert shlex.split(command) == ["cd", f"{tmp_path}/a b", *words]
    assert resuming([], "x", Path("y"), started_in=str(tmp_path)) == "btxrd run x=y"
    assert resuming([], "x", Path("y"), started_in="/gone") == "btxrd run x=y"


@pytest.mark.parametrize("name", ["btxrd", "python"])
def test_a_program_is_named_as_the_shell_finds_it(name, tmp_path, monkeypatch):
    for folder in ("on_path", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "on_path"))

    def called(folder):
        path = str(tmp_path / folder / name)
        monkeypatch.setattr(sys, "argv", [path if name == "btxrd" else "btxrd/run.py"])
        monkeypatch.setattr(sys, "executable", path)
        return program("run")[0]

    assert called("on_path") == name
    assert called("other") == str(tmp_path / "other" / name)


def test_a_folder_of_configs_is_added(configs):
    folder = configs("experiment/mine/plain", "# @package _global_\ntraining: {lr: 0.004}\n")
    (config,) = plan_run(["experiment=mine/plain"], config_dir=folder).runs.values()
    assert config.training.lr == 0.004


def test_a_primary_config_in_a_further_folder_is_used(configs):
    folder = configs("mine", "defaults: [config, _self_]\nseed: 7\n")
    (config,) = plan_run([], "mine", folder).runs.values()
    assert config.seed == 7


def test_mode_of_an_experiment_decides_whether_it_is_a_sweep(configs):
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '4,5'}}}\n"
    folder = configs("experiment/mine/many", text)
    planned = plan(CommandLine(["experiment=mine/many"], config_dir=folder))
    assert planned.is_sweep
    assert [config.seed for config in planned.runs.values()] == [4, 5]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("glob(best/*)", ["best.lite0", "best.lite2"]),
        ("glob([best/*0,E1*])", ["E1_b0_baseline", "best.lite0"]),
        ("glob(*/*,exclude=study/*)", ["best.lite0", "best.lite2"]),
    ],
)
def test_glob_enters_the_folder_that_it_names(pattern, names):
    planned = plan_sweep([f"experiment={pattern}"])
    assert [run_dir.name for run_dir in planned.runs] == [f"experiment={name}" for name in names]


def test_glob_finds_what_a_further_folder_holds(configs):
    folder = configs("experiment/mine/plain", "# @package _global_\nseed: 3\n")
    planned = plan_sweep(["experiment=glob(mine/*)"], config_dir=folder)
    assert [run_dir.name for run_dir in planned.runs] == ["experiment=mine.plain"]


def test_glob_without_a_match_names_the_choices():
    with pytest.raises(InputError, match=r"glob\(beast/\*\): matches no choice; .* best/lite0"):
        plan_sweep(["experiment=glob(beast/*)"])


@pytest.mark.parametrize("number", ["${hydra.job.num}", "${hydra:job.num}", "${hydra:job.id}"])
def test_a_folder_may_be_named_by_the_number_of_the_run(number):
    planned = plan_sweep(["seed=5,6", f"hydra.sweep.subdir=r{number}"])
    assert [run_dir.name for run_dir in planned.runs] == ["r0", "r1"]


def test_a_folder_may_be_named_by_the_hydra_resolver():
    planned = plan_run(["hydra.run.dir=x/${hydra:runtime.choices.model}"])
    assert planned.folder == Path("x/efficientnet_b0")


def test_a_change_of_folder_is_refused():
    with pytest.raises(InputError, match=r"hydra.job.chdir=true: not supported"):
        plan_sweep(["seed=0,1", "hydra.job.chdir=true"])


@pytest.mark.parametrize(
    ("typed", "handlers"),
    [
        ("hydra/job_logging=disabled", set()),
        ("hydra/job_logging=none", set()),
        ("hydra/job_logging=stdout", {"console"}),
        ("hydra.job.name=other", {"console", "file"}),
    ],
)
def test_logging_may_be_chosen(typed, handlers, tmp_path):
    ((run_dir, point),) = plan_run([typed, f"hydra.run.dir={tmp_path}"]).points.items()
    found = point.spec(run_dir).logging.get("handlers", {})
    assert set(found) == handlers
    if "file" in handlers:
        assert found["file"]["filename"] == str(tmp_path / "run.log")


def test_commands_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ["hydra.run.dir=out/${now:%Y}-%S"]
    first, second = plan_run(typed).request.folder, plan_run(typed).request.folder
    assert first.path == second.path
    assert (first.claim(), second.claim()) == (True, False)
    assert plan_run(typed).folder.name == f"{first.path.name}-2"
    assert not plan_run(["hydra.run.dir=out"]).request.folder.is_new


@pytest.fixture(scope="module")
def data(shrunk):
    return [argument for argument in shrunk if argument.startswith("data.")]


@pytest.fixture
def script(tmp_path):
    """Return the folder of a script `btxrd`, as an installation has one."""
    path = tmp_path / "bin" / "btxrd"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nimport btxrd.__main__ as m\nraise SystemExit(m.main())\n")
    path.chmod(0o755)
    return path.parent


def run_shell(folder, command, on_path=""):
    """Run a command of the product as a person pastes it."""
    path = f"{on_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder), PATH=path),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("called", "mode"), [("btxrd run", "-m"), ("python -m btxrd.run", ""), ("path", "-m")]
)
def test_the_command_that_is_printed_resumes(called, mode, data, tmp_path, script):
    fates.choose(tmp_path, {"": "raises"})
    words = f"{script}/btxrd run" if called == "path" else called
    on_path = "" if called == "path" else script
    typed = [*mode.split(), "seed=3", *data, "evaluate=false"]
    typed += ['hydra.sweep.subdir="it\'s [${seed}] *?"', "split.val=0.2"]
    done = run_shell(tmp_path, f"{words} {shlex.join(typed)}", on_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("To resume: ")]
    assert line.startswith(f"To resume: {words} ")
    fates.choose(tmp_path, {"": "completes"})
    done = run_shell(tmp_path, line.removeprefix("To resume: "), on_path)
    assert (done.returncode, done.stderr) == (0, "")
    (status,) = tmp_path.rglob("status.json")
    assert (read_status(status.parent).state, read_status(status.parent).attempts) == (
        "complete",
        2,
    )


def test_a_sweep_is_resumed_from_another_folder_as_summarize_says(data, tmp_path, script):
    fates.choose(tmp_path, {"": "raises"})
    typed = ["-m", "seed=3", *data, "evaluate=false", "hydra.sweep.dir=out"]
    run_shell(tmp_path, shlex.join(["btxrd", "run", *typed]), script)
    (tmp_path / "else").mkdir()
    done = run_shell(tmp_path / "else", "btxrd summarize ../out", script)
    fates.choose(tmp_path, {"": "completes"})
    line = done.stdout.splitlines()[-1].removeprefix("To resume: ")
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path / "else",
        env=environment(PYTHONPATH=str(tmp_path), PATH=f"{script}:{os.environ['PATH']}"),
        check=False,
    )
    assert done.returncode == 0
    done = run_shell(tmp_path, "btxrd summarize out", script)
    assert "To resume" not in done.stdout


def test_a_sweep_that_is_stopped_or_killed_says_how_to_resume(data, tmp_path):
    fates.choose(tmp_path, {"": "waits"})
    command = ["seed=3", *data, "evaluate=false", "hydra.sweep.dir='it is'"]
    sweep = fates.start(tmp_path, *command)
    fates.wait_for(lambda: list(tmp_path.glob("it is/*/waiting")))
    sweep.terminate()
    _, errors = sweep.communicate(timeout=60)
    words = program("run")
    resume = shlex.join([*words, "-m", "evaluate=false", *command[:-2]])
    assert f"To resume: {resume} evaluate=false 'hydra.sweep.dir=\"it is\"'\n" in errors
    assert read_plan(tmp_path / "it is").runs == tuple(rows_of(tmp_path / "it is"))
    done = run_shell(tmp_path, "python -m btxrd.summarize 'it is'")
    assert done.stdout.splitlines()[-1].partition("btxrd.run")[2] in errors


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, lambda: SystemExit(130)])
def test_a_library_that_fails_because_it_is_interrupted_is_no_error(interrupt, capsys):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        try:
            raise interrupt()
        finally:
            None.nonesuch  # noqa: B018
    assert (ended.value.code, capsys.readouterr()) == (130, ("", ""))
