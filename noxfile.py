"""Checks, each of which makes its own environment: `nox -l` lists them."""

import os
import re
import shlex
import tempfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = (
    "virtualenv"  # uv does not read pip's settings, and may install another torch
)
nox.options.sessions = ["tests", "lint", "types"]


# pytest-xdist starts one worker per core that this process may use. A worker that has no tests left
# takes some from another worker. macOS and Windows do not tell a process its cores.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PARALLEL = ("-n", str(CORES), "--dist", "worksteal")


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Run the default tests in parallel. `-- tests/test_run.py` runs some of them."""
    session.install("-e", ".[dev]")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(reuse_venv=True)
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "slow", *PARALLEL, *session.posargs)


@nox.session(reuse_venv=True)
def oldest(session: nox.Session) -> None:
    """Run the default tests with the oldest release of each dependency that is allowed."""
    session.install(*_oldest_releases(), "-e", ".[dev]")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(reuse_venv=True)
@nox.parametrize("releases", ["newest", "oldest"], ids=["newest", "oldest"])
def wheel(session: nox.Session, releases: str) -> None:
    """Install the wheel with all extras, and run the first command of the README elsewhere.

    Arguments after `--` are added to the command, such as `data.phantom.cases=60` to shorten it.
    """
    readme = Path("README.md").read_text("utf-8").replace("\\\n", "")
    command = re.search(r"^(?:.* && )?(btxrd run .*)", readme, re.MULTILINE)
    if command is None:
        session.error("README.md: shows no command `btxrd run`")
    folder = session.create_tmp()
    for old in Path(folder).glob("*.whl"):
        old.unlink()
    session.run_install("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".")
    (built,) = Path(folder).glob("*.whl")
    pinned = _oldest_releases() if releases == "oldest" else []
    session.install(*pinned, f"{built}[slurm,optuna]")
    session.run("pip", "check")
    session.chdir(folder)
    session.run(*shlex.split(command[1]), *session.posargs, env={"PYTHONPATH": None})


@nox.session(reuse_venv=True)
def package(session: nox.Session) -> None:
    """Build the source distribution and the wheel in dist/, and check them and CITATION.cff."""
    session.install("build>=1.2", "twine>=6", "cffconvert>=2")
    session.run("cffconvert", "--validate")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))


def _oldest_releases() -> list[str]:
    """Return all dependencies of btxrd and its extras, each pinned to its lower bound."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["slurm"], *extras["optuna"]]
    return [_pinned_to_lower_bound(requirement) for requirement in required]


def _pinned_to_lower_bound(requirement: str) -> str:
    parsed = Requirement(requirement)
    (bound,) = (item.version for item in parsed.specifier if item.operator in (">=", "=="))
    return f"{parsed.name}=={bound}"


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, and the imports between rooms with import-linter."""
    session.install("ruff>=0.9", "import-linter>=2.1")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(reuse_venv=True)
def types(session: nox.Session) -> None:
    """Check the types with mypy."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
    """Build the site into site/; a broken link or anchor is an error. `-- serve` shows it."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]))


@nox.session(reuse_venv=True)
def grid(session: nox.Session) -> None:
    """Run the grid of eight on synthetic data in a temporary folder, which takes minutes."""
    session.install("-e", ".")
    folder = os.path.realpath(tempfile.mkdtemp(prefix="btxrd-grid-"))
    session.log(f"Sweep folder: {folder}")
    session.chdir(folder)
    session.run(
        *("btxrd", "run", "-m", "experiment=glob(*)", "split=stratified,center"),
        *session.posargs,
    )


@nox.session(reuse_venv=True)
def bench(session: nox.Session) -> None:
    """Run the benchmarks in about 50 minutes. `-- training stages` runs some of them."""
    session.install("-e", ".")
    session.run("python", "-m", "benchmarks", *session.posargs)
