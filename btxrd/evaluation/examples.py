"""Pictures of test images: an example of each outcome, and the gallery of the focus class."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.optimize import linear_sum_assignment

from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.gallery import (
    GALLERY,
    Gallery,
    GalleryImage,
    OutcomeOfFocus,
    Outline,
    write_gallery,
)
from btxrd.data.dataset import Dataset
from btxrd.evaluation.formulas import Flags, Floats
from btxrd.evaluation.gradcam import Map, gradcam_maps
from btxrd.evaluation.plots import draw_overlay
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.files import atomic_write

PICTURE, MAP = 260, 52  # pixels along each side of the pictures of the gallery
MOST = 12  # largest number of images of an outcome in the gallery
OPACITY = 150  # of 255, at the maximum of a map
ELSEWHERE = -100.0  # score of a case without the outcome, below every sum of confidences


def draw_examples(
    folder: Path,
    model: BTXRDClassifier,
    dataset: Dataset,
    test: pd.DataFrame,
    own: dict[int, Map],
    names: ClassNames,
) -> None:
    """Draw Grad-CAM of the predicted class for a confident case of each outcome.

    Args:
        folder: Folder to write into.
        model: Model in evaluation mode.
        dataset: Data of the run.
        test: Test cases, with `label`, `predicted` and `confidence`.
        own: Lesion maps (h, w) of the model by row; empty if the model has none.
        names: Class names.
    """
    examples, size = choose_examples(test, names), dataset.pixels.shape[1]
    rows = np.array(list(examples.values()))
    masks = dataset.masks(rows)
    maps = gradcam_maps(model, dataset.pixels, rows, test.loc[rows, "predicted"].to_numpy())
    for name, row, heat in zip(examples, rows.tolist(), maps, strict=True):
        case = test.loc[row]
        label, predicted = names.names[case["label"]], names.names[case["predicted"]]
        title = f"{case['image_id']}: {label}, predicted {predicted} ({case['confidence']:.2f})"
        shown = {"Grad-CAM of the predicted class": heat}
        if row in own:
            shown["Lesion map of the model"] = cv2.resize(own[row], (size, size))
        draw_overlay(folder / f"{name}.png", dataset.pixels[row], shown, masks.get(row), title)


def choose_examples(test: pd.DataFrame, names: ClassNames) -> dict[str, int]:
    """Choose a confident true positive, false negative and false positive of each class.

    A false negative of one class is a false positive of another. As far as possible, different
    outcomes show different cases: the assignment has the highest sum of confidences, in which those
    of the focus class count twice (`scipy.optimize.linear_sum_assignment`). An outcome for which no
    case is left shows its most confident case.

    Args:
        test: Test cases, with `label`, `predicted` and `confidence`.
        names: Class names.

    Returns:
        Label of a row of `test`, by `CLASS_OUTCOME`. Outcomes without a case are left out.
    """
    confidence = test["confidence"].to_numpy(float)
    outcomes = {key: flags for key, flags in _outcomes(test, names).items() if flags.any()}
    scores = np.array([np.where(flags, confidence, ELSEWHERE) for flags in outcomes.values()])
    counted = scores * [[1 + key.startswith(f"{names.focus}_")] for key in outcomes]
    chosen = dict(zip(outcomes, scores.argmax(axis=1), strict=True))
    for place, case in zip(*linear_sum_assignment(counted, maximize=True), strict=True):
        if scores[place, case] != ELSEWHERE:
            chosen[list(outcomes)[place]] = case
    return {key: int(test.index.to_numpy()[case]) for key, case in chosen.items()}


def _outcomes(test: pd.DataFrame, names: ClassNames) -> dict[str, Flags]:
    found: dict[str, Flags] = {}
    for label, title in enumerate(names.names):
        true, predicted = (test[column].to_numpy() == label for column in ("label", "predicted"))
        found[f"{title}_true_positive"] = true & predicted
        found[f"{title}_false_negative"] = true & ~predicted
        found[f"{title}_false_positive"] = ~true & predicted
    return found


def draw_gallery(
    run_dir: Path,
    model: BTXRDClassifier,
    dataset: Dataset,
    test: pd.DataFrame,
    probs: Floats,
    names: ClassNames,
) -> None:
    """Write gallery.json and its pictures: the most confident cases of each outcome.

    The outcomes are the false negatives, false positives and true positives of the focus class.

    Args:
        run_dir: Folder of the run.
        model: Model in evaluation mode.
        dataset: Data of the run.
        test: Test cases, with `label`, `predicted` and `confidence`.
        probs: (n, k) probabilities of the test cases.
        names: Class names.
    """
    focus = names.focus_label
    true, predicted = (test[column].to_numpy() == focus for column in ("label", "predicted"))
    flags: dict[OutcomeOfFocus, Flags] = {
        "missed": true & ~predicted,
        "false_alarm": ~true & predicted,
        "found": true & predicted,
    }
    order = np.argsort(-test["confidence"].to_numpy(), kind="stable")
    chosen = [
        (outcome, int(place))
        for outcome, found in flags.items()
        for place in order[found[order]][:MOST]
    ]
    rows = test.index.to_numpy()[[place for _, place in chosen]] if chosen else np.empty(0, int)
    masks = dataset.masks(rows)
    maps = gradcam_maps(model, dataset.pixels, rows, test.loc[rows, "predicted"].to_numpy())
    images = []
    for number, ((outcome, place), row, heat) in enumerate(zip(chosen, rows, maps, strict=True)):
        case = test.iloc[place]
        picture, overlay = f"{number:02d}.webp", f"{number:02d}.map.webp"
        _save(run_dir / GALLERY / picture, _picture(dataset.pixels[row]))
        _save(run_dir / GALLERY / overlay, _overlay(heat))
        images.append(
            GalleryImage(
                image_id=str(case["image_id"]),
                center=int(case["center"]),
                outcome=outcome,
                label=names.names[case["label"]],
                predicted=names.names[case["predicted"]],
                probs=tuple(probs[place].round(4).tolist()),
                film=picture,
                map=overlay,
                outlines=_outlines(masks.get(int(row))),
            )
        )
    counts = {str(outcome): int(found.sum()) for outcome, found in flags.items()}
    write_gallery(run_dir, Gallery(names.names, names.focus, counts, tuple(images)))


def _picture(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.asarray(pixels)).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)


def _overlay(heat: Map) -> Image.Image:
    """Return a small RGBA picture of a map, with an opacity that increases with the map."""
    small = np.clip(cv2.resize(heat, (MAP, MAP), interpolation=cv2.INTER_AREA), 0, 1)
    colours = cv2.applyColorMap((255 * small).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = (OPACITY * np.clip(2 * small - 0.4, 0, 1)).astype(np.uint8)
    return Image.fromarray(np.dstack([colours[..., ::-1], opacity]))


def _outlines(mask: npt.NDArray[np.uint8] | None) -> tuple[Outline, ...]:
    """Return the outlines of a mask (S, S) as polygons, in shares of the width and the height."""
    if mask is None:
        return ()
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [cv2.approxPolyDP(one, len(mask) / 400, closed=True)[:, 0] for one in found]
    shares = [((one + 0.5) / len(mask)).round(3).tolist() for one in corners]
    return tuple(tuple((x, y) for x, y in one) for one in shares)


def _save(path: Path, picture: Image.Image) -> None:
    with atomic_write(path) as temporary:
        picture.save(temporary, format="WEBP", quality=70, method=4)
