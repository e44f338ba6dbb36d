"""Curves of several settings in one chart, as SVG that stands in the page."""

import io
import textwrap
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from btxrd.report.settings import Setting
from btxrd.runtime.drawing import own_settings

MOST = 8  # settings in a chart: those that do best on val
LABEL = 44  # letters in a line of a legend
BINS = 8  # of a calibration curve, with equally many cases each
# Okabe and Ito's colours, told apart by most colour-blind readers; and a dash and a mark each.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)), (0, (4, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def charts(settings: list[Setting]) -> list[tuple[str, str]]:
    """Draw the curves of settings that are tested on the same cases.

    Returns:
        Titles and pictures, as data URIs: ROC of each class, calibration, and learning.
    """
    ranked = sorted(settings, key=lambda one: -(one.val.macro_auc if one.val else 0))[:MOST]
    drawn = [
        (f"ROC, {name} against the others", _draw(partial(_roc, settings=ranked, label=label)))
        for label, name in reversed(list(enumerate(settings[0].names.names)))
    ]
    return [
        *drawn,
        ("Calibration: accuracy over confidence", _draw(partial(_calibration, settings=ranked))),
        ("Learning: val macro AUC by epoch", _draw(partial(_history, settings=ranked))),
    ]


SVG = {"svg.fonttype": "none", "svg.hashsalt": "btxrd", "text.parse_math": False}


@own_settings(SVG)
def _draw(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(4.2, 4.4), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1, fontsize=8, frameon=False)
    text = io.BytesIO()
    FigureCanvasSVG(figure)
    figure.savefig(text, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(text.getvalue()).decode()}"


def _style(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % MOST], "linestyle": DASHES[place % MOST], "linewidth": 1.4}


def _label(setting: Setting) -> str:
    return textwrap.fill(setting.name, LABEL)


def _pooled(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of all seeds, one after the other."""
    return np.tile(setting.test.labels, len(setting.runs)), np.concatenate(setting.probs)


def _roc(axes: Axes, settings: list[Setting], label: int) -> None:
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for place, setting in enumerate(settings):
        labels, probs = _pooled(setting)
        truth = labels == label
        if truth.any() and not truth.all():
            x, y, _ = roc_curve(truth, probs[:, label])
            axes.plot(x, y, label=_label(setting), **_style(place))
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")


def _calibration(axes: Axes, settings: list[Setting]) -> None:
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for place, setting in enumerate(settings):
        labels, probs = _pooled(setting)
        confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
        parts = np.array_split(np.argsort(confidence, kind="stable"), BINS)
        x = [confidence[part].mean() for part in parts if len(part)]
        y = [right[part].mean() for part in parts if len(part)]
        axes.plot(
            x, y, label=_label(setting), marker=MARKS[place % MOST], markersize=4, **_style(place)
        )
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0.3, 1), ylim=(0, 1))


def _history(axes: Axes, settings: list[Setting]) -> None:
    for place, setting in enumerate(settings):
        for number, run in enumerate(setting.runs):
            history = run.history
            best = history.iloc[int(history["val_loss"].to_numpy().argmin())]
            name = _label(setting) if number == 0 else None
            axes.plot(history["epoch"], history["val_macro_auc"], label=name, **_style(place))
            axes.plot(best["epoch"], best["val_macro_auc"], MARKS[place % MOST],
                      color=COLOURS[place % MOST], markersize=5)  # fmt: skip
    axes.set(xlabel="epoch (the mark is the one kept)", ylabel="val macro AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
