"""Grad-CAM, and how it lies on the lesion."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from btxrd.data.batches import Pixels, evaluation_batches
from btxrd.data.dataset import Dataset
from btxrd.errors import InputError
from btxrd.evaluation.figures import save_figure
from btxrd.evaluation.metrics import Floats, mean
from btxrd.evaluation.resampling import bootstrap_weights, estimate, with_sample
from btxrd.files import replacing
from btxrd.model.classifier import BTXRDClassifier
from btxrd.vocabulary import CLASSES

Maps = npt.NDArray[np.float32]
Masks = list[npt.NDArray[np.uint8]]
BATCH = 32
OK, EMPTY, SATURATED = "ok", "empty", "saturated"  # what a map is
FLAT = 0.9  # of the film, above half of the peak: such a map points nowhere
SMALL = 64  # pixels along each side, at which maps are laid on each other's lesions
SCORES = ("peak_inside", "energy_inside", "iou")
BY_CHANCE = ("lesion_share", "lesion_share", "iou_by_chance")  # of SCORES, for a map of noise
OF_OTHERS = tuple(f"{name}_of_others" for name in SCORES)  # of SCORES, for maps of other films


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
) -> Maps:
    """Map what speaks for a class in each film (Selvaraju et al. 2017).

    Args:
        model: in evaluation mode.
        pixels: (n, S, S) uint8, of all cases.
        rows: of the films to map.
        targets: the class to map in each.

    Returns:
        (len(rows), S, S) float32 in [0, 1], each over its own largest value; all 0 where nothing
        speaks for the class.

    Raises:
        InputError: where the layer does not give a map.
    """
    layer = model.gradcam_target_layer
    wanted = [ClassifierOutputTarget(int(target)) for target in targets]
    maps = np.zeros((len(rows), *pixels.shape[1:]), np.float32)
    with _RawGradCAM(model, [layer], reshape_transform=model.spatial) as cam:
        batches = evaluation_batches(
            pixels, rows, model.normalisation, batch_size=BATCH, device=model.device
        )
        for start, images in zip(range(0, len(rows), BATCH), batches, strict=True):
            try:
                cam(input_tensor=images, targets=wanted[start : start + BATCH])
            except (AttributeError, IndexError, RuntimeError, ValueError, TypeError) as error:
                raise InputError(
                    f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
                    f"gives no map ({error}); name a layer whose output keeps height and width"
                ) from error
            for offset, raw in enumerate(cam.raw):
                maps[start + offset] = _scaled(raw, pixels.shape[1])
    return maps


def _scaled(raw: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    positive = cv2.resize(np.maximum(raw, 0).astype(np.float32), (size, size))
    return np.asarray(positive / max(float(positive.max()), 1e-12), dtype=np.float32)


def kind_of(heat: npt.NDArray[np.float32]) -> str:
    """Tell whether a map (S, S) points somewhere: OK, EMPTY or SATURATED."""
    if heat.max() <= 0:
        return EMPTY
    return SATURATED if (heat > heat.max() / 2).mean() > FLAT else OK


def score_maps(maps: Maps, masks: Masks) -> pd.DataFrame:
    """Say how each map lies on its lesion.

    Args:
        maps: (n, S, S), not negative.
        masks: n of (S, S), 1 on the lesion.

    Returns:
        A row a map: `map`, see `kind_of`; `lesion_share` of the film; `peak_inside` (1 or 0), the
        pointing game of Zhang et al. 2018; `energy_inside`, the share of the map's sum (Wang et al.
        2020); `iou` of the lesion and the map's highest part of the lesion's own area; what noise
        gives, which is `lesion_share` for the first two and `iou_by_chance` for the third; and what
        the OK maps of other films give on this lesion, `..._of_others`: lesions have their
        favourite places. Scores are empty for a map that is not OK.
    """
    kinds = [kind_of(heat) for heat in maps]
    table = pd.DataFrame({"map": kinds, "lesion_share": [float((m > 0).mean()) for m in masks]})
    table["iou_by_chance"] = table["lesion_share"] / (2 - table["lesion_share"])
    scores = np.full((len(maps), 3), np.nan)
    for row, (kind, heat, mask) in enumerate(zip(kinds, maps, masks, strict=True)):
        if kind == OK:
            scores[row] = _score(heat, mask > 0)
    table[list(SCORES)] = scores
    table[list(OF_OTHERS)] = _of_others(maps, masks, np.array(kinds) == OK)
    table["peak_inside"] = table["peak_inside"].astype("Int64")
    return table[["map", "lesion_share", *SCORES, "iou_by_chance", *OF_OTHERS]]


def _score(heat: npt.NDArray[np.float32], lesion: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """`SCORES` of one map."""
    flat, inside = heat.ravel(), lesion.ravel()
    area = max(1, int(inside.sum()))
    highest = np.argpartition(flat, -area)[-area:]
    highest = highest[flat[highest] > 0]
    both = int(inside[highest].sum())
    iou = both / (area + len(highest) - both)
    return float(inside[flat.argmax()]), float(flat[inside].sum() / flat.sum()), iou


def _of_others(maps: Maps, masks: Masks, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(n, 3): mean `SCORES` of the usable maps of other films on each lesion, seen coarsely."""
    small = np.stack([cv2.resize(heat, (SMALL, SMALL)) for heat in maps]) if len(maps) else maps
    found = np.full((len(maps), 3), np.nan)
    for row, mask in enumerate(masks):
        lesion = cv2.resize(mask.astype(np.float32), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        others = np.flatnonzero(usable & (np.arange(len(maps)) != row))
        found[row] = _mean_score(small[others].reshape(len(others), SMALL**2), lesion.ravel())
    return found


def _mean_score(
    heat: npt.NDArray[np.float32], lesion: npt.NDArray[np.float32]
) -> tuple[float, ...]:
    """Mean `SCORES` of maps (n, pixels) on one lesion, given as the share of each pixel in it."""
    if not len(heat):
        return (np.nan,) * 3
    area = max(1, round(float(lesion.sum())))
    peak = lesion[heat.argmax(axis=1)].mean()
    energy = (heat @ lesion / heat.sum(axis=1)).mean()
    highest = np.argpartition(heat, -area, axis=1)[:, -area:]
    both = (lesion[highest] * (np.take_along_axis(heat, highest, 1) > 0)).sum(axis=1)
    return float(peak), float(energy), float((both / (lesion.sum() + area - both)).mean())


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


def summarize_looks(table: pd.DataFrame) -> dict[str, Any]:
    """Sum up how the maps of a run lie on their lesions.

    Args:
        table: the rows of gradcam.csv.

    Returns:
        For `all` tumours and for those of each `label`, of each `center`, called `right` and
        `wrong`: how many maps are OK, EMPTY and SATURATED; and of the OK ones each of SCORES with
        an interval over groups, its mean `by_chance` and `of_others`. Empty without tumours.
    """
    if table.empty:
        return {}
    weights = with_sample(bootstrap_weights(table["group"].to_numpy(str)))
    right = table["label"] == table["called"]
    parts = {"all": right | True, "right": right, "wrong": ~right}
    parts |= {name: table["label"] == name for name in CLASSES[1:]}
    parts |= {f"center {center}": table["center"] == center for center in table["center"].unique()}
    return {
        name: _looks(table[chosen], weights[:, chosen.to_numpy()])
        for name, chosen in parts.items()
        if chosen.any()
    }


def _looks(table: pd.DataFrame, weights: Floats) -> dict[str, Any]:
    usable = (table["map"] == OK).to_numpy()
    counts = {kind: int((table["map"] == kind).sum()) for kind in (OK, EMPTY, SATURATED)}
    found: dict[str, Any] = {"n": len(table), "maps": counts}
    for name, by_chance, of_others in zip(SCORES, BY_CHANCE, OF_OTHERS, strict=True):
        shown = table[usable]
        values = mean(shown[name].to_numpy(float), weights[:, usable])
        found[name] = estimate(values) | {
            "by_chance": _mean(shown[by_chance]),
            "of_others": _mean(shown[of_others]),
        }
    return found


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None


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
    heat: npt.NDArray[np.float32],
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
