"""The documentation: every command in it is checked, and the site is built."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
from checkout import ROOT
from hydra.errors import HydraException
from pages import DOCS, FENCED, NAMES, anchors_of, blocks, prose_of, text_of, words_of

from btxrd.config.commandline import parse_arguments
from btxrd.config.compose import compose, hydra_over_conf, register_schema
from btxrd.config.parsers import PARSERS
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.planning import compose_one, plan

SHELL = {"cat", "cp", "echo", "head", "ls", "mkdir", "mv", "printf", "rm", "tail", "touch"}
ELSEWHERE = {
    *("docker", "git", "module", "pre-commit", "python3", "sbatch", "scancel", "source"),
    *("squeue", "watch"),
}
RETIRED = [  # words of section 3 of the editorial guide, and their like
    r"films?", r"said to", r"dealt", r"painted out", r"called (?:normal|benign|malignant)",
    r"parted", r"begun anew", r"earn(?:s|ed)? back", r"side by side", r"ledger", r"told apart",
    r"heed(?:s|ed)?", r"remarks?", r"likeness", r"save for", r"films'", r"figures? \(number",
]  # fmt: skip
NOT_KEYS = r"\.(?:csv|css|html|j2|json|log|npz|py|txt|xlsx|yaml|zip)$"


def runnable(name):
    return [block for block in blocks(name) if block.language == "bash"]


def check(words):
    """Check one command as far as that goes without doing it."""
    match words:
        case ["btxrd", "run", *arguments]:
            typed = parse_arguments(arguments)
            if typed.shows:
                with hydra_over_conf(typed.config_dir) as loader:
                    compose(loader, typed)
            elif not typed.shows and not {"-h", "--help"} & set(arguments):
                plan(typed)
        case ["btxrd", "audit" | "download" as command, *arguments]:
            asked = [] if command == "audit" else ["data=btxrd"]
            if not {"-h", "--help"} & set(arguments):
                compose_one([*asked, *arguments])
        case ["btxrd", command, *arguments] if command in PARSERS:
            if not {"-h", "--help"} & set(arguments):
                PARSERS[command]().parse_args(arguments)
        case ["btxrd", "--help" | "--version"]:
            pass
        case ["nox", *arguments]:
            check_nox(arguments)
        case ["pip", *arguments]:
            check_pip(arguments)
        case [program, *_]:
            assert program in SHELL | ELSEWHERE, f"{program}: not known"


def check_nox(arguments):
    """Check that the sessions of a call of nox exist."""
    sessions = {
        *re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    }
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    assert {word for word in before if not word.startswith("-")} <= sessions


def check_pip(arguments):
    """Check that the extras of the package in a call of pip exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for found in re.findall(r"(?:\.|btxrd|\.whl)\[([\w,-]+)\]", " ".join(arguments)):
        assert set(found.split(",")) <= set(extras)


@pytest.mark.parametrize("name", NAMES)
def test_each_command_of_a_page_is_valid(name, tmp_path, monkeypatch):
    """Detects: a command with a key, a choice or an option that does not exist."""
    register_schema()
    monkeypatch.chdir(tmp_path)
    for block in runnable(name):
        for command in block.commands:
            words = words_of(command)
            if words[0] in {"echo", "mkdir", "printf"} and "/data" not in command:
                subprocess.run(["bash", "-c", command], check=True)  # config files of the page
            try:
                check(words)
            except (Exception, SystemExit) as error:
                if block.mark != "fails" or not isinstance(error, InputError | HydraException):
                    pytest.fail(f"{name}, line {block.line}: {command}\n{error}")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_a_test_cannot_run_is_marked(name):
    for block in runnable(name):
        for command in block.commands:
            program = words_of(command)[0]
            assert block.mark == "not run" or program in {"btxrd", "python", *SHELL}, command


@pytest.mark.parametrize("name", NAMES)
def test_python_of_a_page_imports_what_exists(name):
    for block in blocks(name):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names), node.module


@pytest.mark.parametrize("name", NAMES)
def test_blocks_have_a_language(name):
    """Detects: a command that no test sees, in an indented block or a block without a language."""
    assert [block.line for block in blocks(name) if not block.language] == []
    rest = FENCED.sub("", text_of(name))
    assert re.findall(r"^(?: {4}|\t)(?:btxrd|python|nox|pip) .*", rest, re.MULTILINE) == []


def settings_of(kind=Config, prefix=""):
    for item in fields(kind):
        hint = get_type_hints(kind)[item.name]
        yield prefix + item.name
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                yield from settings_of(part, f"{prefix}{item.name}.")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("changelog.md")])
def test_each_key_that_a_page_names_exists(name):
    """Detects: a renamed key that a page still has under its old name."""
    known = set(settings_of())
    parts = "|".join(
        sorted(key for key in known if "." not in key and key + "." in " ".join(known))
    )
    named = re.findall(rf"`((?:{parts})\.[\w.]+)(?:=[^`]*)?`", text_of(name))
    python = " ".join(block.text for block in blocks(name) if block.language == "python")
    keys = {key for key in named if not re.search(NOT_KEYS, key) and key not in python}
    assert keys - known == set()


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("changelog.md")])
def test_no_page_has_a_retired_word(name):
    retired = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE)
    prose = re.sub(r"`[^`\n]*`", "", prose_of(text_of(name)))
    assert [found[0] for found in retired.finditer(prose)] == []


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(
        r'(?:src|href)="([^"]+)"', text
    ):
        if not re.match(r"https?://|mailto:", target):
            path, _, anchor = target.partition("#")
            page = ROOT / (path or "README.md")
            assert page.exists(), target
            assert not anchor or anchor in anchors_of(page), target


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    """Detects: a broken link or anchor, a page outside the navigation, and a remote script."""
    pytest.importorskip("mkdocs")
    build = ["mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", *build], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = re.compile(
        r'<(?:script|img|link(?! rel="canonical")|iframe)[^>]+(?:src|href)="?https?:'
    )
    for page in tmp_path.rglob("*.html"):
        assert loaded.findall(page.read_text()) == [], page
    assert not any("https:" in path.read_text() for path in (DOCS / "assets").glob("*.css"))
