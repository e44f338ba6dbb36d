"""Grad-CAM, and how it lies on the lesion."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.figure import Figure
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from btxrd.data.annotations import Outline, lesion_mask
from btxrd.data.batches import Normalisation, Pixels, evaluation_batches
from btxrd.data.cases import CLASSES
from btxrd.errors import InputError
from btxrd.evaluation.figures import save_figure
from btxrd.files import replacing
from btxrd.model.classifier import BTXRDClassifier

Maps = npt.NDArray[np.float32]
BATCH = 32
SCORES = ("lesion_share", "peak_inside", "energy_inside")


def gradcam_maps(
    model: BTXRDClassifier,
    pixels: Pixels,
    rows: npt.NDArray[np.intp],
    targets: npt.NDArray[np.intp],
    normalisation: Normalisation,
    device: torch.device,
) -> Maps:
    """Map what speaks for a class in each film (Selvaraju et al. 2017).

    Args:
        model: in evaluation mode, on `device`.
        pixels: (n, S, S) uint8, of all cases.
        rows: of the films to map.
        targets: the class to map in each.
        normalisation: of the backbone.
        device: of the model.

    Returns:
        (len(rows), S, S) float32 in [0, 1], each scaled by its own largest value; all 0 where
        nothing speaks for the class.

    Raises:
        InputError: where the layer does not give a map.

    """
    layer = model.gradcam_target_layer
    wanted = [ClassifierOutputTarget(int(target)) for target in targets]
    maps = [np.zeros((0, *pixels.shape[1:]), np.float32)]
    with GradCAM(model, [layer], reshape_transform=model.spatial) as cam:
        batches = evaluation_batches(pixels, rows, normalisation, batch_size=BATCH, device=device)
        for index, images in enumerate(batches):
            chosen = wanted[index * BATCH : (index + 1) * BATCH]
            try:
                maps.append(cam(input_tensor=images, targets=chosen))
            except (AttributeError, RuntimeError, ValueError, TypeError) as error:
                raise InputError(
                    f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
                    f"gives no map ({error}); name a layer whose output keeps height and width"
                ) from error
    return np.concatenate(maps)


def score_maps(maps: Maps, masks: list[npt.NDArray[np.uint8]]) -> pd.DataFrame:
    """Say how each map lies on its lesion.

    Args:
        maps: (n, S, S), not negative.
        masks: n of (S, S), 1 on the lesion.

    Returns:
        A row a map: `lesion_share` of the film, which is what chance gives for the other two;
        `peak_inside` (1 or 0), the pointing game of Zhang et al. 2018; `energy_inside`, the share
        of the map's sum (Wang et al. 2020). The last two are empty for a map that is 0 everywhere.

    """
    rows = []
    for heat, mask in zip(maps, masks, strict=True):
        lesion = mask > 0
        total = float(heat.sum())
        row = {"lesion_share": float(lesion.mean()), "peak_inside": None, "energy_inside": None}
        if total > 0:
            row["peak_inside"] = int(lesion.flat[heat.argmax()])
            row["energy_inside"] = float(heat[lesion].sum()) / total
        rows.append(row)
    return pd.DataFrame(rows, columns=list(SCORES))


def explain_run(
    run_dir: Path,
    model: BTXRDClassifier,
    pixels: Pixels,
    test: pd.DataFrame,
    outlines: dict[str, Outline],
    normalisation: Normalisation,
    device: torch.device,
) -> None:
    """Write gradcam.csv, a row a test tumour, and gradcam/, a picture a kind of outcome and class.

    Args:
        run_dir: of the run.
        model: in evaluation mode, on `device`.
        pixels: (n, S, S) uint8, of all cases.
        test: the test cases, indexed by their row in `pixels`: `image_id`, `stem`, `label`,
            `center`, `called`, and `confidence` in the class called.
        outlines: by stem.
        normalisation: of the backbone.
        device: of the model.

    """
    tumours = test[test["stem"].isin(list(outlines)) & (test["label"] > 0)]
    rows, labels = tumours.index.to_numpy(), tumours["label"].to_numpy()
    maps = gradcam_maps(model, pixels, rows, labels, normalisation, device)
    size = pixels.shape[1]
    masks = [lesion_mask(outlines[stem], size) for stem in tumours["stem"]]
    table = pd.DataFrame(
        {
            "image_id": tumours["image_id"],
            "label": [CLASSES[label] for label in tumours["label"]],
            "called": [CLASSES[label] for label in tumours["called"]],
            "center": tumours["center"],
        }
    ).reset_index(drop=True)
    with replacing(run_dir / "gradcam.csv") as beside:
        pd.concat([table, score_maps(maps, masks)], axis=1).to_csv(beside, index=False)

    shown = choose_examples(test)
    called = test.loc[list(shown.values()), "called"].to_numpy()
    maps = gradcam_maps(
        model, pixels, np.array(list(shown.values())), called, normalisation, device
    )
    for (name, row), heat in zip(shown.items(), maps, strict=True):
        case = test.loc[row]
        lesion = lesion_mask(outlines[case["stem"]], size) if case["stem"] in outlines else None
        title = (
            f"{case['image_id']}: {CLASSES[case['label']]}, "
            f"called {CLASSES[case['called']]} ({case['confidence']:.2f})"
        )
        _draw_overlay(run_dir / "gradcam" / f"{name}.png", pixels[row], heat, lesion, title)


def choose_examples(test: pd.DataFrame) -> dict[str, int]:
    """Pick the surest hit, miss and false alarm of each class: rows of `test` by `CLASS_OUTCOME`."""
    chosen = {}
    for label, title in enumerate(CLASSES):
        true, called = test["label"] == label, test["called"] == label
        outcomes = {"hit": true & called, "miss": true & ~called, "false_alarm": ~true & called}
        for outcome, of_kind in outcomes.items():
            if of_kind.any():
                chosen[f"{title}_{outcome}"] = int(test.loc[of_kind, "confidence"].idxmax())
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
