"""Grad-CAM of the test films: maps, their table and the pictures."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.figure import Figure
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.data.constants import CLASSES
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError
from btxrd.evaluation.inference import views
from btxrd.evaluation.localisation import Map, score_maps, summarize_looks
from btxrd.evaluation.plots import save_figure
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write


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

    Where the model scores a film with its mirror image, the map is the mean of both.

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
    remaining = (ClassifierOutputTarget(int(target)) for target in targets)
    with (
        _graph_from(layer, model),
        _RawGradCAM(model, [layer], reshape_transform=model.gradcam_activation) as cam,
    ):
        for images in evaluation_batches(pixels, rows, model.normalisation, device=model.device):
            wanted, raws = [next(remaining) for _ in images], []
            try:
                for view in views(model, images):
                    cam(input_tensor=view, targets=wanted)
                    raws.append(np.maximum(cam.raw, 0))
            except (AttributeError, IndexError, RuntimeError, ValueError, TypeError) as error:
                raise InputError(
                    f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
                    f"gives no map ({error}); name a layer whose output keeps height and width"
                ) from error
            for raw in _mean_of_views(raws):
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


@torch.inference_mode()
def lesion_maps(
    model: BTXRDClassifier, pixels: Pixels, rows: npt.NDArray[np.intp]
) -> Iterator[Map]:
    """Map where the model sees a lesion, film by film: probabilities (h, w) float32.

    Args:
        model: in evaluation mode, with a lesion head.
        pixels: (n, S, S) uint8, of all cases.
        rows: of the films to map.
    """
    for images in evaluation_batches(pixels, rows, model.normalisation, device=model.device):
        logits = [model(view, with_lesions=True)[1] for view in views(model, images)]
        yield from _mean_of_views(
            [of_view[:, 0].float().sigmoid().cpu().numpy() for of_view in logits]
        )


def _mean_of_views(maps: list[Map]) -> Map:
    """Maps (B, h, w) of `views`, that of the mirror image turned back -> their mean."""
    mean: Map = np.mean([maps[0], *(mirrored[..., ::-1] for mirrored in maps[1:])], axis=0)
    return mean


def _scaled(raw: Map, size: int) -> Map:
    positive = cv2.resize(raw.astype(np.float32), (size, size))
    return np.asarray(positive / max(float(positive.max()), 1e-12), dtype=np.float32)


def explain_run(
    run_dir: Path, model: BTXRDClassifier, dataset: Dataset, probs: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Write where the model looks: tables with a row a test tumour, and pictures in gradcam/.

    That is gradcam.csv, and where the model maps lesions itself, lesion_maps.csv and the maps of
    all test films, lesion_maps.npz. There is a picture a kind of outcome and class.

    Args:
        run_dir: of the run.
        model: in evaluation mode.
        dataset: of the run.
        probs: (n, 3) of the test partition, in the order of the cases.

    Returns:
        `looks`, and `lesion_maps` or None: what `summarize_looks` makes of the tables.
    """
    rows, size = dataset.rows("test"), dataset.pixels.shape[1]
    masks = dataset.masks(rows)
    test = dataset.cases.iloc[rows].assign(
        called=probs.argmax(axis=1), confidence=probs.max(axis=1)
    )
    tumours = test.loc[list(masks)]

    def write_scores(maps: Iterable[Map], name: str) -> dict[str, Any]:
        table = tumours[["image_id", "label", "called", "center", "group"]].reset_index(drop=True)
        table[["label", "called"]] = table[["label", "called"]].replace(dict(enumerate(CLASSES)))
        table = table.join(score_maps(maps, list(masks.values())))
        with atomic_write(run_dir / name) as beside:
            table.to_csv(beside, index=False, float_format="%.6f")
        return summarize_looks(table)

    maps = gradcam_maps(
        model, dataset.pixels, np.array(list(masks), int), tumours["label"].to_numpy()
    )
    found: dict[str, Any] = {"looks": write_scores(maps, "gradcam.csv"), "lesion_maps": None}
    seen: dict[int, Map] = {}
    if model.lesion_head is not None:
        own = lesion_maps(model, dataset.pixels, rows)
        seen = dict(zip(rows.tolist(), own, strict=True))
        with atomic_write(run_dir / "lesion_maps.npz") as beside, beside.open("wb") as file:
            stacked = np.stack(list(seen.values())).astype(np.float16)
            np.savez(file, image_id=test["image_id"].to_numpy(str), maps=stacked)
        of_tumours = (cv2.resize(seen[row], (size, size)) for row in masks)
        found["lesion_maps"] = write_scores(of_tumours, "lesion_maps.csv")

    examples = choose_examples(test)
    chosen = np.array(list(examples.values()))
    maps = gradcam_maps(model, dataset.pixels, chosen, test.loc[chosen, "called"].to_numpy())
    for name, row, heat in zip(examples, chosen.tolist(), maps, strict=True):
        case: dict[str, Any] = test.loc[row].to_dict()
        label, called = CLASSES[case["label"]], CLASSES[case["called"]]
        title = f"{case['image_id']}: {label}, called {called} ({case['confidence']:.2f})"
        shown = {"Grad-CAM of the class called": heat}
        if row in seen:
            shown["Lesion, as the model sees it"] = cv2.resize(seen[row], (size, size))
        path = run_dir / "gradcam" / f"{name}.png"
        _draw_overlay(path, dataset.pixels[row], shown, masks.get(row), title)
    return found


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
    maps: dict[str, Map],
    lesion: npt.NDArray[np.uint8] | None,
    title: str,
) -> None:
    """Draw the film, and beside it the film under each map, with the lesion's outline in all."""
    figure = Figure(figsize=(3.5 * (1 + len(maps)), 3.8), layout="constrained")
    plain, *mapped = figure.subplots(1, 1 + len(maps))
    for axes in (plain, *mapped):
        axes.imshow(film, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        if lesion is not None:
            axes.contour(lesion, levels=[0.5], colors="#56B4E9", linewidths=1.2)
    for axes, (name, heat) in zip(mapped, maps.items(), strict=True):
        shown = axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.45)
        figure.colorbar(shown, ax=axes, label=name, shrink=0.85)
    figure.suptitle(title, fontsize=9)
    save_figure(path, figure)
