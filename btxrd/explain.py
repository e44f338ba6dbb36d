"""Grad-CAM of the test films: maps, their table and the pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError
from btxrd.evaluation.figures import save_figure
from btxrd.evaluation.localisation import Map, score_maps, summarize_looks
from btxrd.files import replacing
from btxrd.model.classifier import BTXRDClassifier
from btxrd.vocabulary import CLASSES


class _RawGradCAM(GradCAM):  # type: ignore[misc]
    """Keeps the map as it was: grad-cam scales from the minimum, and so a flat one to nothing."""

    def get_cam_image(self, *args: Any, **kwargs: Any) -> npt.NDArray[np.float32]:
        self.raw = np.asarray(super().get_cam_image(*args, **kwargs), np.float32)
        return self.raw


def gradcam_maps(
    model: BTXRDClassifier,
    pixels: Pixels,
    rows: npt.NDArray[np.intp],
    targets: npt.NDArray[np.intp],
) -> Iterator[Map]:
    """Map what speaks for a class in each film (Selvaraju et al. 2017), film by film.

    Args:
        model: in evaluation mode.
        pixels: (n, S, S) uint8, of all cases.
        rows: of the films to map.
        targets: the class to map in each.

    Yields:
        (S, S) float32 in [0, 1], over the map's own largest value; all 0 where nothing speaks for
        the class.

    Raises:
        InputError: where the layer does not give a map.
    """
    layer = model.gradcam_target_layer
    wanted = (ClassifierOutputTarget(int(target)) for target in targets)
    with (
        _graph_from(layer, model),
        _RawGradCAM(model, [layer], reshape_transform=model.spatial) as cam,
    ):
        for images in evaluation_batches(pixels, rows, model.normalisation, device=model.device):
            try:
                cam(input_tensor=images, targets=[next(wanted) for _ in images])
            except (AttributeError, IndexError, RuntimeError, ValueError, TypeError) as error:
                raise InputError(
                    f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
                    f"gives no map ({error}); name a layer whose output keeps height and width"
                ) from error
            for raw in cam.raw:
                yield _scaled(raw, pixels.shape[1])


@contextmanager
def _graph_from(layer: nn.Module, model: nn.Module) -> Iterator[None]:
    """Let gradients go back to the output of `layer` alone: no more is needed for a map."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hook = layer.register_forward_hook(
        lambda _, __, output: output.detach().requires_grad_().clone()
    )
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        hook.remove()
        for parameter in learned:
            parameter.requires_grad_(True)


def _scaled(raw: Map, size: int) -> Map:
    positive = cv2.resize(np.maximum(raw, 0).astype(np.float32), (size, size))
    return np.asarray(positive / max(float(positive.max()), 1e-12), dtype=np.float32)


def explain_run(
    run_dir: Path, model: BTXRDClassifier, dataset: Dataset, probs: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Write gradcam.csv, a row a test tumour, and gradcam/, a picture a kind of outcome and class.

    Args:
        run_dir: of the run.
        model: in evaluation mode.
        dataset: of the run.
        probs: (n, 3) of the test partition, in the order of the cases.

    Returns:
        What `summarize_looks` makes of gradcam.csv.
    """
    rows = dataset.rows("test")
    masks = dataset.masks(rows)
    test = dataset.cases.iloc[rows].assign(
        called=probs.argmax(axis=1), confidence=probs.max(axis=1)
    )

    tumours = test.loc[list(masks)]
    maps = gradcam_maps(
        model, dataset.pixels, np.array(list(masks), int), tumours["label"].to_numpy()
    )
    table = tumours[["image_id", "label", "called", "center", "group"]].reset_index(drop=True)
    table[["label", "called"]] = table[["label", "called"]].replace(dict(enumerate(CLASSES)))
    table = table.join(score_maps(maps, list(masks.values())))
    with replacing(run_dir / "gradcam.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.6f")

    examples = choose_examples(test)
    rows = np.array(list(examples.values()))
    maps = gradcam_maps(model, dataset.pixels, rows, test.loc[rows, "called"].to_numpy())
    for name, row, heat in zip(examples, rows, maps, strict=True):
        case: dict[str, Any] = test.loc[row].to_dict()
        label, called = CLASSES[case["label"]], CLASSES[case["called"]]
        title = f"{case['image_id']}: {label}, called {called} ({case['confidence']:.2f})"
        path = run_dir / "gradcam" / f"{name}.png"
        _draw_overlay(path, dataset.pixels[row], heat, masks.get(int(row)), title)
    return summarize_looks(table)


def choose_examples(test: pd.DataFrame) -> dict[str, int]:
    """Pick the surest hit, miss and false alarm of each class: rows of `test` by their kind."""
    chosen = {}
    for label, title in enumerate(CLASSES):
        true, called = test["label"] == label, test["called"] == label
        outcomes = {"hit": true & called, "miss": true & ~called, "false_alarm": ~true & called}
        for outcome, of_kind in outcomes.items():
            if of_kind.any():
                surest = test["confidence"].where(of_kind, -1.0).to_numpy().argmax()
                chosen[f"{title}_{outcome}"] = int(test.index.to_numpy()[surest])
    return chosen


def _draw_overlay(
    path: Path,
    film: npt.NDArray[np.uint8],
    heat: Map,
    lesion: npt.NDArray[np.uint8] | None,
    title: str,
) -> None:
    """Draw the film, and beside it the film under the map, with the lesion's outline in both."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    plain, mapped = figure.subplots(1, 2)
    for axes in (plain, mapped):
        axes.imshow(film, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        if lesion is not None:
            axes.contour(lesion, levels=[0.5], colors="#56B4E9", linewidths=1.2)
    shown = mapped.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.45)
    figure.colorbar(shown, ax=mapped, label="Grad-CAM of the class called", shrink=0.85)
    figure.suptitle(title, fontsize=9)
    save_figure(path, figure)
