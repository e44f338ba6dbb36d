"""One run, top to bottom."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from btxrd.data.annotations import Outline, lesion_mask, read_outlines
from btxrd.data.batches import Pixels, TrainingBatches
from btxrd.data.dataset import split_cases
from btxrd.data.groups import NEEDED
from btxrd.data.pixels import load_pixels
from btxrd.data.splits import split_hash
from btxrd.device import choose_device, describe, make_reproducible
from btxrd.errors import InputError
from btxrd.evaluation.figures import draw_figures
from btxrd.evaluation.inference import predict
from btxrd.evaluation.metrics import cross_entropy, figures
from btxrd.evaluation.resampling import scores
from btxrd.explain import explain_run, gradcam_maps
from btxrd.files import replacing, write_json
from btxrd.model.checkpoint import load_checkpoint, save_checkpoint
from btxrd.model.classifier import BTXRDClassifier
from btxrd.schema import Config
from btxrd.training import Epoch, Validation, fit, inverse_frequency
from btxrd.vocabulary import CLASSES, LAST, PARTITIONS

log = logging.getLogger(__name__)

DECIMALS = 9  # of a probability on disk; the figures are computed from what is on disk


def train_eval(
    config: Config, build_model: Callable[..., BTXRDClassifier], run_dir: Path, fingerprint: str
) -> str:
    """Train one classifier and evaluate it; all that it leaves is in `run_dir`.

    Args:
        config: checked.
        build_model: makes the classifier, given `num_classes`.
        run_dir: of the run; a training that was cut off there goes on.
        fingerprint: of the config, for the checkpoint.

    Returns:
        A description of the device.

    Raises:
        InputError: for data, weights or a device that cannot be used.
    """
    device = choose_device(config.device)
    log.info("%s on %s", os.path.relpath(run_dir), describe(device))
    cases = split_cases(config.data, config.split)
    sizes = cases["partition"].value_counts()
    counts = ", ".join(f"{sizes[name]} {name}" for name in PARTITIONS)
    log.info("%d cases: %s", len(cases), counts)
    if not set(cases.columns) >= NEEDED:
        log.warning("No age and gender in the table: films of one patient may be parted")
    tumours = cases.loc[cases["label"] > 0, "stem"].tolist()
    outlines = read_outlines(Path(config.data.root), tumours)
    pixels = load_pixels(
        cases["path"].tolist(),
        config.model.image_size,
        clahe_clip=config.data.clahe_clip,
        clahe_tiles=config.data.clahe_tiles,
        cache=Path(config.data.cache),
    )
    split = cases[["image_id", "label", "center", "group", "partition"]]
    _write_table(run_dir / "split.csv", split.replace({"label": dict(enumerate(CLASSES))}))

    make_reproducible(config.seed)
    model = _place(build_model(num_classes=len(CLASSES)), device)
    # A layer that gives no map fails here, not after the training.
    gradcam_maps(model.eval(), pixels, np.array([0]), np.array([0]))
    keep = {
        "arguments": model.arguments,
        "classes": list(CLASSES),
        "image_size": config.model.image_size,
        "preprocessing": {
            "clahe_clip": config.data.clahe_clip,
            "clahe_tiles": config.data.clahe_tiles,
            **asdict(model.normalisation),
        },
        "fingerprint": fingerprint,
        "split_hash": split_hash(cases),
    }
    data = f"{keep['split_hash']} {Path(str(pixels.filename)).name}"
    _train(model, config, cases, outlines, pixels, keep, data, run_dir)
    if config.evaluate:
        best, _ = load_checkpoint(run_dir / "checkpoints")
        _evaluate(_place(best, device), cases, outlines, pixels, run_dir)
    (run_dir / "checkpoints" / LAST).unlink(missing_ok=True)
    return describe(device)


def _place(model: BTXRDClassifier, device: torch.device) -> BTXRDClassifier:
    placed = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(placed, BTXRDClassifier)
    return placed


def _train(
    model: BTXRDClassifier,
    config: Config,
    cases: pd.DataFrame,
    outlines: dict[str, Outline],
    pixels: Pixels,
    keep: dict[str, Any],
    data: str,
    run_dir: Path,
) -> None:
    """Fit `model`; the best epoch goes into checkpoints/, its sidecar with what is in `keep`."""
    recipe = config.training
    labels = cases["label"].to_numpy()
    train, val = (np.flatnonzero(cases["partition"] == name) for name in ("train", "val"))
    batches = TrainingBatches(
        pixels,
        train,
        labels,
        model.normalisation,
        masks=_guidance(config, cases, outlines),
        dim=config.annotations.dim,
        batch_size=recipe.batch_size,
        flip=recipe.flip,
        rotation=recipe.rotation,
        seed=config.seed,
        device=model.device,
    )
    log.info("%d training views in %d steps an epoch", batches.views, batches.batches)

    def validate() -> Validation:
        probs = predict(model, pixels, val)
        found = figures(labels[val], probs, np.ones((1, len(val))))
        loss = cross_entropy(labels[val], probs)
        return Validation(loss, float(found["accuracy"][0]), float(found["macro_auc"][0]))

    def keep_best(epoch: Epoch) -> None:
        val_figures = {name: value for name, value in asdict(epoch).items() if "val_" in name}
        sidecar = keep | {"epoch": epoch.epoch, "val": val_figures}
        save_checkpoint(run_dir / "checkpoints", model, sidecar)

    counts = torch.from_numpy(batches.class_counts)
    fit(
        model,
        batches,
        validate,
        keep_best,
        class_weights=inverse_frequency(counts) if recipe.class_weights else None,
        epochs=recipe.epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        warmup_epochs=recipe.warmup_epochs,
        patience=recipe.patience,
        label_smoothing=recipe.label_smoothing,
        seed=config.seed,
        device=model.device,
        run_dir=run_dir,
        data=data,
    )


def _guidance(
    config: Config, cases: pd.DataFrame, outlines: dict[str, Outline]
) -> dict[int, Pixels] | None:
    """Lesion masks of the training tumours by row, or None; no other partition's are looked at."""
    if config.annotations.kind == "none":
        return None
    stems = cases["stem"].to_numpy()
    tumours = np.flatnonzero((cases["partition"] == "train") & (cases["label"] > 0))
    masks = {
        int(row): lesion_mask(outlines[stems[row]], config.model.image_size)
        for row in tumours
        if stems[row] in outlines
    }
    if not masks:
        folder = Path(config.data.root) / "Annotations"
        raise InputError(f"annotations.kind=guided: {folder} outlines no training tumour")
    if len(masks) < len(tumours):
        absent = len(tumours) - len(masks)
        log.warning("%d of %d training tumours have no outline", absent, len(tumours))
    return masks


def _evaluate(
    model: BTXRDClassifier,
    cases: pd.DataFrame,
    outlines: dict[str, Outline],
    pixels: Pixels,
    run_dir: Path,
) -> None:
    """Write predictions.csv and metrics.json of val and test, and the pictures of test."""
    metrics = {}
    predictions = []
    for partition in ("val", "test"):
        chosen = cases[cases["partition"] == partition]
        probs = predict(model, pixels, chosen.index.to_numpy()).round(DECIMALS)
        labels = chosen["label"].to_numpy()
        groups, centers = chosen["group"].to_numpy(str), chosen["center"].to_numpy()
        metrics[partition] = scores(labels, probs, groups, centers)
        table = chosen[["image_id", "partition", "label"]].replace(
            {"label": dict(enumerate(CLASSES))}
        )
        predictions.append(
            table.assign(**{f"prob_{name}": probs[:, i] for i, name in enumerate(CLASSES)})
        )
    _write_table(run_dir / "predictions.csv", pd.concat(predictions))
    write_json(run_dir / "metrics.json", metrics)
    draw_figures(run_dir / "figures", labels, probs, pd.read_csv(run_dir / "history.csv"))
    called = chosen.assign(called=probs.argmax(axis=1), confidence=probs.max(axis=1))
    explain_run(run_dir, model, pixels, called, outlines)
    found = {name: metrics["test"][name]["value"] for name in ("accuracy", "macro_auc")}
    log.info("test: accuracy %.3f, macro AUC %.3f", *found.values())


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as beside:
        table.to_csv(beside, index=False, float_format=f"%.{DECIMALS}f")
