"""Plots of a run: ROC, precision-recall, confusion, calibration, history, maps over images.

They are drawn without pyplot, which keeps figures in memory until they are closed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
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

from btxrd.evaluation.formulas import ECE_BINS, Floats, Labels, confusion
from btxrd.runtime.drawing import own_settings
from btxrd.runtime.files import atomic_write

PLAIN = {"text.parse_math": False}  # an id or a name may contain two dollar signs
Corner = Literal["lower left", "lower right", "upper left"]
# Colours of Okabe and Ito, which most colour-blind readers can distinguish, and a line style each.
STYLES = (
    ("#0072B2", "-"), ("#009E73", "--"), ("#D55E00", "-."), ("#CC79A7", ":"), ("#E69F00", "-"),
    ("#56B4E9", "--"), ("#000000", "-."),
)  # fmt: skip


def draw_plots(
    folder: Path, labels: Labels, probs: Floats, history: pd.DataFrame, classes: Sequence[str]
) -> None:
    """Draw the five plots of a run, from its test partition and its history.

    Args:
        folder: Folder to write to.
        labels: (n,) labels in 0..k-1.
        probs: (n, k) probabilities; rows sum to 1.
        history: Rows of history.csv.
        classes: Names of the k classes.
    """
    _save(folder / "roc.png", lambda axes: draw_roc(axes, labels, probs, classes))
    _save(folder / "pr.png", lambda axes: draw_precision_recall(axes, labels, probs, classes))
    _save(folder / "confusion.png", lambda axes: draw_confusion(axes, labels, probs, classes))
    _save(folder / "calibration.png", lambda axes: draw_calibration(axes, labels, probs))
    _save(folder / "history.png", lambda axes: draw_history(axes, history))


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


@own_settings(PLAIN)
def _save(path: Path, draw: Callable[[Axes], None]) -> None:
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    draw(figure.subplots())
    save_figure(path, figure)


def draw_roc(axes: Axes, labels: Labels, probs: Floats, classes: Sequence[str]) -> None:
    """Draw the ROC curve of each class against the others."""
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for label, title in enumerate(classes):
        truth = labels == label
        if truth.any() and not truth.all():
            false_positives, sensitivity, _ = roc_curve(truth, probs[:, label])
            area = roc_auc_score(truth, probs[:, label])
            colour, line = STYLES[label % len(STYLES)]
            name = f"{title} (AUC {area:.3f}, n={truth.sum()})"
            axes.plot(false_positives, sensitivity, line, color=colour, label=name)
    _dress(axes, "1 - specificity", "sensitivity", "ROC, test partition", "lower right")


def draw_precision_recall(
    axes: Axes, labels: Labels, probs: Floats, classes: Sequence[str]
) -> None:
    """Draw precision over sensitivity, and the prevalence of each class as its chance level."""
    for label, title in enumerate(classes):
        truth = labels == label
        if truth.any():
            precision, sensitivity, _ = precision_recall_curve(truth, probs[:, label])
            area = average_precision_score(truth, probs[:, label])
            colour, line = STYLES[label % len(STYLES)]
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


def draw_confusion(axes: Axes, labels: Labels, probs: Floats, classes: Sequence[str]) -> None:
    """Draw the confusion matrix, shaded by the share of the row."""
    counts = confusion(labels, probs)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=colour)
    ticks = range(len(classes))
    axes.set(xticks=ticks, yticks=ticks, xticklabels=classes, yticklabels=classes)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion, test partition")


def draw_calibration(axes: Axes, labels: Labels, probs: Floats) -> None:
    """Draw accuracy over the highest probability, in the bins of the ECE.

    The area of a dot increases with the share of the cases in its bin.
    """
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
    """Draw the losses and macro AUC on val by epoch; a dot marks the best epoch."""
    best = history.iloc[int(history["val_loss"].to_numpy().argmin())]
    axes.plot(history["epoch"], history["train_loss"], "--", color="#0072B2", label="train loss")
    axes.plot(history["epoch"], history["val_loss"], color="#D55E00", label="val loss")
    axes.plot(best["epoch"], best["val_loss"], "o", color="#D55E00", label="best epoch")
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


@own_settings(PLAIN)
def draw_overlay(
    path: Path,
    image: npt.NDArray[np.uint8],
    maps: Mapping[str, npt.NDArray[np.float32]],
    lesion: npt.NDArray[np.uint8] | None,
    title: str,
) -> None:
    """Draw an image, and beside it the image overlaid with each map.

    Args:
        path: Path to the PNG file.
        image: (S, S) grey image.
        maps: (S, S) maps in [0, 1] by their label.
        lesion: (S, S) mask of the lesion, whose outline is drawn; None without one.
        title: Title above the images.
    """
    figure = Figure(figsize=(3.5 * (1 + len(maps)), 3.8), layout="constrained")
    plain, *mapped = figure.subplots(1, 1 + len(maps))
    for axes in (plain, *mapped):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        if lesion is not None:
            axes.contour(lesion, levels=[0.5], colors="#56B4E9", linewidths=1.2)
    for axes, (name, heat) in zip(mapped, maps.items(), strict=True):
        shown = axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.45)
        figure.colorbar(shown, ax=axes, label=name, shrink=0.85)
    figure.suptitle(title, fontsize=9)
    save_figure(path, figure)
