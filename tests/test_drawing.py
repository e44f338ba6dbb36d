"""Figures are the same whatever a user has set for Matplotlib."""

import hashlib
import subprocess
import sys

import pytest
from checkout import environment

DRAW = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from btxrd.evaluation.plots import draw_overlay, draw_plots
folder = Path(sys.argv[1])
folder.mkdir()
probs = np.full((6, 2), 0.5)
history = pd.DataFrame({name: [1.0, 2.0] for name in ("epoch", "train_loss", "val_loss",
    "val_accuracy", "val_macro_auc")})
draw_plots(folder, np.array([0, 1] * 3), probs, history, ["benign", "malignant"])
heat = np.zeros((8, 8), np.float32)
draw_overlay(folder / "map.png", np.zeros((8, 8), np.uint8), {"map": heat}, None, "p$_$1")
"""
SET = "text.usetex: True\nfont.family: Nonesuch\nfigure.dpi: 10\nsavefig.transparent: True\n"


def figures(folder, name, **variables):
    command = [sys.executable, "-c", DRAW, str(folder / name)]
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / name).iterdir()
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return figures(tmp_path_factory.mktemp("plain"), "out")


def test_a_matplotlibrc_changes_no_figure(plain, tmp_path):
    (tmp_path / "matplotlibrc").write_text(SET)
    assert len(plain) == 6
    assert figures(tmp_path, "out", MATPLOTLIBRC=str(tmp_path / "matplotlibrc")) == plain
