"""Figures of a run: ROC, precision-recall, confusion, calibration and history.

They are drawn on figures of their own, never on pyplot's, so that nothing lives on after a run.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from btxrd.data.constants import CLASSES
from btxrd.evaluation.metrics import ECE_BINS, Floats, Labels, confusion
from btxrd.runtime.files import atomic_write

# Okabe and Ito's colours, told apart by most colour-blind readers; and a line style each.
Corner = Literal["lower left", "lower right", "upper left"]
STYLES = {
    "normal": ("#0072B2", "-"),
    "benign": ("#009E73", "--"),
    "malignant": ("#D55E00", "-."),
}


def draw_figures(folder: Path, labels: Labels, probs: Floats, history: pd.DataFrame) -> None:
    """Draw the five figures of a run into `folder`, from its test partition and its history.

    Args:
        folder: of the pictures.
        labels: (n,) in 0..2.
        probs: (n, 3), rows sum to 1.
        history: the rows of history.csv.
    """
    _save(folder / "roc.png", lambda axes: draw_roc(axes, labels, probs))
    _save(folder / "pr.png", lambda axes: draw_precision_recall(axes, labels, probs))
    _save(folder / "confusion.png", lambda axes: draw_confusion(axes, labels, probs))
    _save(folder / "calibration.png", lambda axes: draw_calibration(axes, labels, probs))
    _save(folder / "history.png", lambda axes: draw_history(axes, history))


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _save(path: Path, draw: Callable[[Axes], None]) -> None:
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    draw(figure.subplots())
    save_figure(path, figure)


def draw_roc(axes: Axes, labels: Labels, probs: Floats) -> None:
    """Sensitivity over 1 - specificity, each class against the others."""
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for label, title in enumerate(CLASSES):
        truth = labels == label
        if truth.any() and not truth.all():
            false_positives, sensitivity, _ = roc_curve(truth, probs[:, label])
            area = roc_auc_score(truth, probs[:, label])
            colour, line = STYLES[title]
            name = f"{title} (AUC {area:.3f}, n={truth.sum()})"
            axes.plot(false_positives, sensitivity, line, color=colour, label=name)
    _dress(axes, "1 - specificity", "sensitivity", "ROC, test partition", "lower right")


def draw_precision_recall(axes: Axes, labels: Labels, probs: Floats) -> None:
    """Precision over sensitivity, with each class's prevalence as the line of chance."""
    for label, title in enumerate(CLASSES):
        truth = labels == label
        if truth.any():
            precision, sensitivity, _ = precision_recall_curve(truth, probs[:, label])
            area = average_precision_score(truth, probs[:, label])
            colour, line = STYLES[title]
            name = f"{title} (AP {area:.3f})"
            axes.step(sensitivity, precision, line, where="post", color=colour, label=name)
            axes.axhline(truth.mean(), color=colour, linewidth=0.8, alpha=0.5)
    _dress(
        axes,
        "sensitivity",
        "precision",
        "Precision and recall, test partition\n(thin lines: prevalence)",
        "lower left",
    )


def draw_confusion(axes: Axes, labels: Labels, probs: Floats) -> None:
    """Counts, shaded by the share of the row."""
    counts = confusion(labels, probs)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=colour)
    ticks = range(len(CLASSES))
    axes.set(xticks=ticks, yticks=ticks, xticklabels=CLASSES, yticklabels=CLASSES)
    axes.set(xlabel="called", ylabel="true", title="Confusion, test partition")


def draw_calibration(axes: Axes, labels: Labels, probs: Floats) -> None:
    """Accuracy over the top probability, in the bins of the ECE; a dot's area tells its cases."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    bins = np.digitize(confidence, np.linspace(0, 1, ECE_BINS + 1)[1:-1], right=True)
    filled = np.unique(bins)
    x = [confidence[bins == index].mean() for index in filled]
    y = [right[bins == index].mean() for index in filled]
    size = [400 * (bins == index).mean() + 10 for index in filled]
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfect")
    axes.plot(x, y, color="#0072B2", linewidth=1)
    axes.scatter(x, y, size, color="#0072B2", alpha=0.7, label="this run")
    _dress(axes, "top probability", "accuracy", "Calibration, test partition", "upper left")


def draw_history(axes: Axes, history: pd.DataFrame) -> None:
    """Losses and val macro AUC by epoch, the kept epoch marked."""
    best = history.iloc[int(history["val_loss"].to_numpy().argmin())]
    axes.plot(history["epoch"], history["train_loss"], "--", color="#0072B2", label="train loss")
    axes.plot(history["epoch"], history["val_loss"], color="#D55E00", label="val loss")
    axes.plot(best["epoch"], best["val_loss"], "o", color="#D55E00", label="kept epoch")
    axes.set(xlabel="epoch", ylabel="loss", title="History")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    right = axes.twinx()
    right.plot(history["epoch"], history["val_macro_auc"], ":", color="0.3", label="val macro AUC")
    right.set(ylabel="val macro AUC", ylim=(0.4, 1.0))
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8)


def _dress(axes: Axes, x: str, y: str, title: str, legend: Corner) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    axes.legend(loc=legend, fontsize=8)
