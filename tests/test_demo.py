"""The first command of the README, as it comes."""

import json
import subprocess
import sys

import pytest
from checkout import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The folder of the grid on synthetic films."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["-m", "experiment=glob(*)", "split=stratified,center", "hydra.sweep.dir=grid"]
    command = [sys.executable, "-m", "btxrd.run", *arguments]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder / "grid"


def metrics(grid, split):
    runs = sorted(grid.glob(f"experiment=*,split={split}"))
    return {run.name: json.loads((run / "metrics.json").read_text()) for run in runs}


def test_every_experiment_learns_and_is_better_than_the_table(grid):
    for found in metrics(grid, "stratified").values():
        area = found["test"]["macro_auc"]["value"]
        assert area >= 0.9
        assert area > found["shortcuts"]["table"]["macro_auc"]["value"]
    assert len(metrics(grid, "stratified")) == 4


def test_every_experiment_loses_at_unseen_centers_and_is_above_chance(grid):
    gaps = json.loads((grid / "summary.json").read_text())["generalisation_gap"]
    assert len(gaps) == 4
    assert all(found["macro_auc"]["gap"]["low"] > 0 for found in gaps)
    for found in metrics(grid, "center").values():
        assert found["test"]["macro_auc"]["low"] > 0.5
