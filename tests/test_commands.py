"""The command `btxrd`: its commands, their help, and shell completion."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from checkout import environment

from btxrd import __version__
from btxrd.config.choices import choices_of
from btxrd.config.complete import FILES, FOLDERS, completions
from btxrd.config.parser import COMMANDS
from btxrd.config.parsers import PARSERS


def python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_a_command_of_its_own():
    (found,) = entry_points(group="console_scripts", name="btxrd") or [None]
    if found is None:
        pytest.skip("btxrd is not installed")
    assert found.value == "btxrd.__main__:main"


@pytest.mark.parametrize("name", ["run", "audit", "completion"])
def test_a_command_has_the_same_help_by_either_name(name):
    short, long = python("-m", "btxrd", name, "--help"), python("-m", f"btxrd.{name}", "--help")
    assert (short.returncode, short.stdout, short.stderr) == (0, long.stdout, "")
    assert short.stdout.startswith(f"usage: btxrd {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_all_other_commands(name):
    for other in set(COMMANDS) - {name}:
        assert f"btxrd {other}" in PARSERS[name]().format_help()


@pytest.mark.parametrize("columns", [60, 80, 150])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_the_width_of_the_terminal(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = PARSERS[name]().format_help().splitlines()
    text = [line for line in lines if not line.lstrip().startswith(("btxrd ", "#", "eval", "sou"))]
    assert max(map(len, text)) <= columns
    assert columns > 100 or max(map(len, text)) > columns - 15


def test_help_of_a_run_loads_no_hydra():
    code = "import sys; sys.argv = ['btxrd', 'run', '--help']; from btxrd.__main__ import main; "
    done = python("-c", code + "main(); sys.exit('hydra' in sys.modules)")
    assert done.returncode == 0
    for group in ("experiment", "training"):
        assert set(choices_of(group)) <= set(done.stdout.replace(",", " ").split())


@pytest.mark.parametrize(
    ("typed", "code", "stream", "line"),
    [
        ("--version", 0, "stdout", f"btxrd {__version__}\n"),
        ("run --version", 0, "stdout", f"btxrd {__version__}\n"),
        ("smmarize x", 2, "stderr", "btxrd smmarize: no such command; did you mean summarize?\n"),
        ("x\x1b", 2, "stderr", f"btxrd x\\x1b: no such command; one of {', '.join(COMMANDS)}\n"),
        ("summarize", 2, "stderr", "the following arguments are required: DIR; see btxrd "),
        ("audit --nope x", 1, "stderr", "unrecognized arguments: --nope; see btxrd audit --help\n"),
        ("completion csh", 2, "stderr", "argument SHELL: invalid choice: 'csh'"),
    ],
)
def test_what_is_wrong_is_one_line(typed, code, stream, line):
    done = python("-m", "btxrd", *typed.split(" "))
    assert done.returncode == code
    assert getattr(done, stream).startswith(line)
    assert (done.stdout + done.stderr).count("\n") == 1


def test_help_hides_what_only_a_shell_gives():
    assert not re.search("^  LINE|^  line", PARSERS["completion"]().format_help(), re.MULTILINE)


COMPLETIONS = {
    "btxrd su": ["summarize "],
    "btxrd run tr": ["training.", "training="],
    "btxrd run training.ep": ["training.epochs="],
    "btxrd run split=c": ["split=center "],
    "btxrd run -m seed=0,1 split=center,str": ["split=center,stratified"],
    "btxrd run -m split=center,center,c": [],
    "btxrd run ++model.pooling=l": ["++model.pooling=lesion "],
    "btxrd run +model.pooling=l": [],
    "btxrd run ~mod": [],
    "btxrd run model._": [],
    "btxrd run evaluate=": ["evaluate=false ", "evaluate=true "],
    "btxrd run data.phantom.k": ["data.phantom.kind="],
    "btxrd run data.phantom.kind=cl": ["data.phantom.kind=clean "],
    "btxrd run hydra/launcher=j": ["hydra/launcher=joblib "],
    "btxrd run hydra.sw": ["hydra.sweep.dir=", "hydra.sweeper.n_trials="],
    "btxrd run hydra.sweep.dir=": [FILES],
    "btxrd run data.root=": [FILES],
    "btxrd run --cfg ": ["job ", "hydra ", "all "],
    "btxrd run --config-d": ["--config-dir "],
    "btxrd run --config-dir ": [FOLDERS],
    "btxrd run 'split=c": [],
    "btxrd run nothing.at.all=": [],
    "btxrd summarize ": [FOLDERS],
    "btxrd summarize x --m": ["--margin "],
    "btxrd score multirun/": [FOLDERS],
    "btxrd completion f": ["fish "],
    "btxrd nothing ": [],
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_a_word_is_completed(line):
    assert completions(line) == COMPLETIONS[line]


def test_choices_of_a_further_folder_are_completed(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").touch()
    assert completions(f"btxrd run --config-dir {tmp_path} model=m") == ["model=mine "]


COMPLETE = {
    "bash": 'COMP_LINE="$1"; COMP_POINT=${#1}; _btxrd btxrd "$2" ""; echo "${COMPREPLY[*]}"',
    "fish": 'complete -C "$argv[1]"',
}


@pytest.mark.parametrize("shell", COMPLETE)
def test_a_shell_completes(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "btxrd"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m btxrd "$@"\n')
    script.chmod(0o755)
    code = python("-m", "btxrd", "completion", shell).stdout + COMPLETE[shell]
    done = subprocess.run(
        [shell, "-c", code, *(["-"] if shell == "bash" else []), "btxrd run split=ce", "ce"],
        env=environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}", HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == {"bash": "center", "fish": "split=center"}[shell]
