"""Phantoms, and the shipped config shrunk until a run takes seconds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btxrd.config.compose import register_schema
from btxrd.config.schema import Config
from btxrd.data.cases import load_cases
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.planning import plan_run
from btxrd.execution.record import begin, record
from btxrd.model.factory import create_model
from btxrd.phantom.write import write_phantom
from btxrd.train_eval import train_eval

CASES, SEED = 72, 1
SHARED = Path(__file__).parents[2] / "shared"
SHRUNK = ["model.backbone=resnet18", "model.image_size=64", "training.epochs=2"]


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


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic radiographs; tests must not write into it."""
    root = tmp_path_factory.mktemp("data") / "phantom"
    write_phantom(root, CASES, SEED)
    return root


@pytest.fixture(scope="session")
def cases(phantom: Path) -> pd.DataFrame:
    return load_cases(phantom)


@pytest.fixture(scope="session")
def shrunk(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that shrink the shipped config to seconds."""
    cache = tmp_path_factory.mktemp("cache")
    data = [f"data.root={phantom}", f"data.phantom.cases={CASES}", f"data.phantom.seed={SEED}"]
    return [*SHRUNK, *data, f"data.cache={cache}"]


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
def do_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Config], FinishedRun]:
    def run(config: Config) -> FinishedRun:
        run_dir = tmp_path_factory.mktemp("run")
        arguments = {key: value for key, value in asdict(config.model).items() if key != "_target_"}
        build_model = partial(create_model, **arguments)

        def work() -> dict[str, Any]:
            return train_eval(config, build_model, run_dir, fingerprint(config))

        begin(run_dir, config, {})
        assert record(run_dir, work) == "complete"
        return FinishedRun(config, run_dir)

    return run


@pytest.fixture(scope="session")
def guided_run(compose, do_run) -> FinishedRun:
    """A complete run with annotations."""
    return do_run(compose("annotations=guided"))
