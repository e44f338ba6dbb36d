"""The square charts of a single run: learning curves, and the curves of each class."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from btxrd.evaluation.formulas import Flags, Floats
from btxrd.html.axes import axis_over
from btxrd.html.charts.square import Chart, Dot, Drawn, Frame, Scale, csv_of, unit
from btxrd.report.curves import GRID, precision, sensitivity
from btxrd.report.runs import ScoredRun

COLOURS = ("h1", "h2", "h3", "h4")
LOSSES = {"train_loss": ("raw", "train"), "val_loss": ("h1", "validation")}
AREA = {"val_macro_auc": ("h1", "validation")}


def learning_curves(history: pd.DataFrame) -> list[Chart]:
    """Return charts of the losses and of macro AUC on validation by epoch."""
    if history.empty:
        return []
    return [
        _learning(history, "loss", "Loss", LOSSES),
        _learning(history, "macro AUC", "Macro AUC on validation", AREA),
    ]


def _learning(
    history: pd.DataFrame, label: str, title: str, columns: dict[str, tuple[str, str]]
) -> Chart:
    epochs = history["epoch"].to_numpy(float)
    ys = {name: history[name].to_numpy(float) for name in columns}
    known = [float(value) for values in ys.values() for value in values if np.isfinite(value)]
    axis = axis_over(known)
    last, is_single = float(epochs[-1]), len(epochs) == 1
    step = max(1, round(last / 6))
    ticks = tuple(float(epoch) for epoch in range(1, int(last) + 1, step))
    room = 0.5 if is_single else 0.0  # a point has no line, and its axis needs a length
    across = Scale("epoch", 1.0 - room, last + room, ticks)
    frame = Frame(across, Scale(label, axis.start, axis.end, axis.ticks))
    best = int(history["val_loss"].to_numpy().argmin())
    dots = []
    lines = []
    for name, (style, _) in columns.items():
        finite = np.isfinite(ys[name])
        lines.append(Drawn("", style, frame.line(epochs[finite], ys[name][finite])))
        if (is_single or name.startswith("val")) and finite[best]:
            at = frame.left(epochs[best]), frame.top(ys[name][best])
            dots.append(Dot("", style, *at, f"epoch {epochs[best]:.0f}: {ys[name][best]:.3f}"))
    return Chart(
        f"learning-{label.replace(' ', '-').lower()}",
        title,
        f"The dot marks the best epoch, {epochs[best]:.0f}, which has the lowest validation loss.",
        frame,
        tuple(lines),
        dots=tuple(dots),
        values=tuple(columns.values()),
        table=csv_of(
            ["epoch", *columns], [list(row) for row in zip(epochs, *ys.values(), strict=True)]
        ),
        reason="" if known else "Not computed: the values are undefined in all epochs.",
    )


def class_curves(run: ScoredRun) -> list[Chart]:
    """Return charts of the ROC and precision-recall curves of each class against the others."""
    roc = Frame(unit("1 \N{MINUS SIGN} specificity"), unit("sensitivity"))
    of_precision = Frame(unit("recall"), unit("precision (PPV)"))
    return [
        _of_classes(run, "roc", "ROC", roc, sensitivity, "AUC"),
        _of_classes(
            run, "pr", "Precision and recall", of_precision, precision, "average precision"
        ),
    ]


def _of_classes(
    run: ScoredRun,
    key: str,
    title: str,
    frame: Frame,
    draw: Callable[[Flags, Floats, Floats], Floats],
    area: str,
) -> Chart:
    weights, values = np.ones((1, len(run.test.labels))), []
    lines = [Drawn("", "reference", frame.line((0, 1), (0, 1)))] if key == "roc" else []
    columns: dict[str, Floats] = {frame.x.label: GRID}
    for label, name in enumerate(run.metrics.classes):
        truth = run.test.labels == label
        if truth.all() or not truth.any():
            continue
        style = COLOURS[label] if label < len(COLOURS) else "grey"
        columns[name] = draw(truth, run.probs[:, label], weights)[0]
        start = [0.0] if key == "roc" else []
        lines.append(Drawn(name, style, frame.line([*start, *GRID], [*start, *columns[name]])))
        metric = run.metrics.test.per_class[name].values.get(area.lower().replace(" ", "_"))
        if metric is not None and metric.value is not None:
            values.append((style, f"{name} {metric.value:.3f}"))
    rows = [[f"{value:.4g}" for value in row] for row in zip(*columns.values(), strict=True)]
    return Chart(
        key,
        title,
        f"Each class against the others. The numbers are {area}.",
        frame,
        tuple(lines),
        values=tuple(values),
        table=csv_of(list(columns), rows),
        reason="" if len(columns) > 1 else "Not computed: the test images are of one class.",
    )
