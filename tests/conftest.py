"""Phantoms, and the shipped config shrunk until a run takes seconds."""

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

# Each worker has one core. Set before anything loads torch, and inherited by subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A subprocess tests this checkout, whichever btxrd is installed and wherever it runs.
os.environ |= environment()


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of real radiographs, where it is there."""
    folder = SHARED / "btxrd-sample"
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}")
    return folder


@pytest.fixture(scope="session")
def real_table() -> pd.DataFrame:
    """The table of all of BTXRD's cases, where it is there."""
    path = SHARED / "btxrd-table.csv"
    if not path.is_file():
        pytest.skip(f"no table at {path}")
    table = pd.read_csv(path)
    label = table["benign"].where(table["malignant"] == 0, 2)
    return table.assign(stem=table["image_id"].str.split(".").str[0], label=label)


def make_once(target: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder that all workers share; the first one to ask does it."""
    with lock(target.with_name(f"{target.name}.lock"), math.inf):
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(target)
    return target


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers share."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def phantom(shared: Path) -> Path:
    """A folder of synthetic radiographs; tests must not write into it."""
    return make_once(shared / "phantom", partial(write_phantom, cases=CASES, seed=SEED))


@pytest.fixture(scope="session")
def flawed(shared: Path) -> Callable[[str], Path]:
    """Give a folder of synthetic radiographs of a kind; tests must not write into it."""

    def folder(kind: str) -> Path:
        make = partial(write_phantom, cases=60, seed=7, kind=kind)
        return make_once(shared / f"phantom-{kind}", make)

    return folder


@pytest.fixture(scope="session")
def cases(phantom: Path) -> pd.DataFrame:
    return load_cases(phantom)


@pytest.fixture(scope="session")
def shrunk(phantom: Path, shared: Path) -> list[str]:
    """Overrides that shrink the shipped config to seconds."""
    data = [f"data.root={phantom}", f"data.phantom.cases={CASES}", f"data.phantom.seed={SEED}"]
    return [*SHRUNK, *data, f"data.cache={shared / 'cache'}"]


@pytest.fixture(scope="session")
def compose(shrunk: list[str]) -> Callable[..., Config]:
    """Compose the shipped config with overrides, shrunk."""
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
    """Do a run and return it; tests must not write into its folder.

    One config is trained once, whichever test asks for it in whichever worker, unless the test
    asks for it `anew`. Without `pictures`, all pictures of the run are empty files.
    """

    def run(config: Config, *, pictures: bool = False, anew: bool = False) -> FinishedRun:
        name = hashlib.sha256(repr((config, pictures)).encode()).hexdigest()[:16]
        target = shared / f"run-{name}-{uuid4().hex}" if anew else shared / f"run-{name}"
        return FinishedRun(config, make_once(target, partial(_train, config, pictures)))

    return run


def _train(config: Config, pictures: bool, run_dir: Path) -> None:
    from btxrd.model.factory import create_model  # torch, for workers that train
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
    """A complete run with annotations."""
    return do_run(compose("annotations=guided"), pictures=True)
