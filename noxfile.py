"""Checks, each in an environment of its own making: `nox -l` lists them."""

import os
import tempfile

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = (
    "virtualenv"  # uv would fetch another torch than pip is set up for
)
nox.options.sessions = ["tests", "lint", "types"]


# pytest-xdist starts one worker per core that this process may use. A worker that has no tests left
# takes some from another worker. macOS and Windows do not tell a process its cores.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PARALLEL = ("-n", str(CORES), "--dist", "worksteal")


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Run the tests that are not slow, in parallel; `-- tests/test_run.py` runs some of them."""
    session.install("-e", ".[dev]")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(reuse_venv=True)
def slow(session: nox.Session) -> None:
    """Run the slow tests."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "slow", *PARALLEL, *session.posargs)


@nox.session(reuse_venv=True)
def oldest(session: nox.Session) -> None:
    """Run the tests that are not slow with the oldest releases that pyproject.toml allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["slurm"], *extras["optuna"]]
    session.install(*map(_pinned_to_lower_bound, required), "-e", ".[dev]")
    session.run("pytest", *PARALLEL, *session.posargs)


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
    """Run the grid of eight on synthetic films, in a folder of its own; takes minutes."""
    session.install("-e", ".")
    folder = os.path.realpath(tempfile.mkdtemp(prefix="btxrd-grid-"))
    session.log(f"the sweep goes into {folder}")
    session.chdir(folder)
    session.run(
        *("python", "-m", "btxrd.run", "-m", "experiment=glob(*)", "split=stratified,center"),
        *session.posargs,
    )


@nox.session(reuse_venv=True)
def bench(session: nox.Session) -> None:
    """Measure how fast it is, in about 50 minutes; `nox -s bench -- training stages` for parts."""
    session.install("-e", ".")
    session.run("python", "-m", "benchmarks", *session.posargs)
