"""Fixtures: synthetic data sets, and runs of the shipped config shrunk to a few seconds."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from checkout import environment

from btxrd.config.compose import register_schema
from btxrd.config.schema import Config
from btxrd.data.cases import load_cases
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.planning import plan_run
from btxrd.execution.record import begin, record
from btxrd.phantom.write import write_phantom
from btxrd.runtime.files import lock

CASES, SEED = 72, 1
SHARED = Path(__file__).parents[2] / "shared"
SHRUNK = ["model.backbone=test_resnet", "model.image_size=64", "training.epochs=2"]

# Each worker uses one core. This is set before torch is loaded, and subprocesses inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Subprocesses import btxrd from this checkout, even if another one is installed.
os.environ |= environment()


@pytest.fixture(scope="session")
def sample() -> Path:
    """Return the folder of real radiographs; skip the test if it does not exist."""
    folder = SHARED / "btxrd-sample"
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}")
    return folder


@pytest.fixture(scope="session")
def real_table() -> pd.DataFrame:
    """Return the table of all cases of BTXRD; skip the test if it does not exist."""
    path = SHARED / "btxrd-table.csv"
    if not path.is_file():
        pytest.skip(f"no table at {path}")
    table = pd.read_csv(path)
    label = table["benign"].where(table["malignant"] == 0, 2)
    return table.assign(stem=table["image_id"].str.split(".").str[0], label=label)


def make_once(target: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder that all workers share. The first worker that needs it makes it."""
    with lock(target.with_name(f"{target.name}.lock"), math.inf):
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(target)
    return target


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers share."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def phantom(shared: Path) -> Path:
    """Return a folder of synthetic radiographs. Tests must not write into it."""
    return make_once(shared / "phantom", partial(write_phantom, cases=CASES, seed=SEED))


@pytest.fixture(scope="session")
def flawed(shared: Path) -> Callable[[str], Path]:
    """Return a function that returns a synthetic data set of a kind, not to be written into."""

    def folder(kind: str) -> Path:
        make = partial(write_phantom, cases=60, seed=7, kind=kind)
        return make_once(shared / f"phantom-{kind}", make)

    return folder


@pytest.fixture(scope="session")
def cases(phantom: Path) -> pd.DataFrame:
    return load_cases(phantom)


@pytest.fixture(scope="session")
def shrunk(phantom: Path, shared: Path) -> list[str]:
    """Return overrides with which a run of the shipped config takes seconds."""
    data = [f"data.root={phantom}", f"data.phantom.cases={CASES}", f"data.phantom.seed={SEED}"]
    return [*SHRUNK, *data, f"data.cache={shared / 'cache'}"]


@pytest.fixture(scope="session")
def compose(shrunk: list[str]) -> Callable[..., Config]:
    """Return a function that composes the shrunk config with overrides."""
    register_schema()

    def composed(*overrides: str) -> Config:
        (config,) = plan_run([*shrunk, *overrides], "config", None).runs.values()
        return config

    return composed


@dataclass(frozen=True)
class FinishedRun:
    config: Config
    run_dir: Path


@pytest.fixture(scope="session")
def do_run(shared: Path) -> Callable[..., FinishedRun]:
    """Return a function that does a run. Tests must not write into its folder.

    A config is trained once for all tests and workers, unless a test sets `anew`. Without
    `pictures`, the plots of the run are empty files.
    """

    def run(config: Config, *, pictures: bool = False, anew: bool = False) -> FinishedRun:
        name = hashlib.sha256(repr((config, pictures)).encode()).hexdigest()[:16]
        target = shared / f"run-{name}-{uuid4().hex}" if anew else shared / f"run-{name}"
        return FinishedRun(config, make_once(target, partial(_train, config, pictures)))

    return run


def _train(config: Config, pictures: bool, run_dir: Path) -> None:
    from btxrd.model.factory import create_model  # loads torch, only in workers that train
    from btxrd.train_eval import train_eval

    arguments = {key: value for key, value in asdict(config.model).items() if key != "_target_"}
    build_model = partial(create_model, **arguments)
    run_dir.mkdir()
    begin(run_dir, config, {})
    with pytest.MonkeyPatch.context() as patch:
        if not pictures:
            patch.setattr("matplotlib.figure.Figure.savefig", _save_nothing)
        state = record(
            run_dir, lambda: train_eval(config, build_model, run_dir, fingerprint(config))
        )
    assert state == "complete"


def _save_nothing(_: Any, path: Path, **options: Any) -> None:
    Path(path).touch()


@pytest.fixture(scope="session")
def guided_run(compose, do_run) -> FinishedRun:
    """Return a complete run with annotations=guided."""
    return do_run(compose("annotations=guided"), pictures=True)
