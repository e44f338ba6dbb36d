"""One run, top to bottom."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from btxrd.data.annotations import Outline, lesion_mask, read_outlines
from btxrd.data.batches import Normalisation, Pixels, TrainingBatches
from btxrd.data.cases import CLASSES
from btxrd.data.dataset import split_cases
from btxrd.data.pixels import load_pixels
from btxrd.data.splits import PARTITIONS, split_hash
from btxrd.device import choose_device, describe, make_reproducible
from btxrd.errors import InputError
from btxrd.evaluation.figures import draw_figures
from btxrd.evaluation.inference import predict
from btxrd.evaluation.metrics import cross_entropy, figures
from btxrd.evaluation.resampling import scores
from btxrd.explain import explain_run, gradcam_maps
from btxrd.files import replacing, write_json
from btxrd.model.checkpoint import LAST, load_checkpoint, save_checkpoint
from btxrd.model.classifier import BTXRDClassifier
from btxrd.schema import Config
from btxrd.training import Epoch, Validation, fit, inverse_frequency

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
    log.info("%s on %s", run_dir.name, describe(device))
    cases = split_cases(config.data, config.split)
    sizes = cases["partition"].value_counts()
    counts = ", ".join(f"{sizes[name]} {name}" for name in PARTITIONS)
    log.info("%d cases: %s", len(cases), counts)
    outlines = read_outlines(Path(config.data.root), _tumours(cases)["stem"].tolist())
    pixels = load_pixels(
        cases["path"].tolist(),
        config.model.image_size,
        clahe_clip=config.data.clahe_clip,
        clahe_tiles=config.data.clahe_tiles,
        cache=Path(config.data.cache),
    )
    columns = ["image_id", "label", "center", "group", "partition"]
    _write_table(run_dir / "split.csv", cases[columns].replace({"label": dict(enumerate(CLASSES))}))

    make_reproducible(config.seed)
    model = build_model(num_classes=len(CLASSES))
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalisation = Normalisation(model.mean, model.std)
    first = np.array([0])
    gradcam_maps(
        model.eval(), pixels, first, first, normalisation, device
    )  # fails now, not hours later
    _train(model, config, cases, outlines, pixels, normalisation, device, run_dir, fingerprint)
    if config.evaluate:
        best, _ = load_checkpoint(run_dir / "checkpoints")
        best = best.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _evaluate(best, cases, outlines, pixels, normalisation, device, run_dir)
    (run_dir / "checkpoints" / LAST).unlink(missing_ok=True)
    return describe(device)


def _tumours(cases: pd.DataFrame) -> pd.DataFrame:
    return cases[cases["label"] > 0]


def _rows(cases: pd.DataFrame, partition: str) -> npt.NDArray[np.intp]:
    return np.flatnonzero(cases["partition"] == partition)


def _train(
    model: BTXRDClassifier,
    config: Config,
    cases: pd.DataFrame,
    outlines: dict[str, Outline],
    pixels: Pixels,
    normalisation: Normalisation,
    device: torch.device,
    run_dir: Path,
    fingerprint: str,
) -> None:
    recipe = config.training
    labels = cases["label"].to_numpy()
    train, val = _rows(cases, "train"), _rows(cases, "val")
    batches = TrainingBatches(
        pixels,
        train,
        labels,
        normalisation,
        masks=_guidance(config, cases, outlines),
        dim=config.annotations.dim,
        batch_size=recipe.batch_size,
        flip=recipe.flip,
        rotation=recipe.rotation,
        seed=config.seed,
        device=device,
    )
    log.info("%d training views in %d steps an epoch", batches.views, batches.batches)

    def validate(model: nn.Module) -> Validation:
        probs = predict(model, pixels, val, normalisation, device)
        found = figures(labels[val], probs, np.ones((1, len(val))))
        return Validation(
            loss=cross_entropy(labels[val], probs),
            accuracy=float(found["accuracy"][0]),
            macro_auc=float(found["macro_auc"][0]),
        )

    sidecar = {
        "arguments": model.arguments,
        "classes": list(CLASSES),
        "image_size": config.model.image_size,
        "preprocessing": {
            "clahe_clip": config.data.clahe_clip,
            "clahe_tiles": config.data.clahe_tiles,
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
        },
        "fingerprint": fingerprint,
        "split_hash": split_hash(cases),
    }

    def keep_best(epoch: Epoch) -> None:
        val_figures = {name: value for name, value in asdict(epoch).items() if "val_" in name}
        kept = sidecar | {"epoch": epoch.epoch, "val": val_figures}
        save_checkpoint(run_dir / "checkpoints", model, kept)

    counts = torch.bincount(torch.from_numpy(labels[train]), minlength=len(CLASSES))
    fit(
        model,
        batches,
        validate,
        keep_best,
        class_weights=inverse_frequency(counts).to(device) if recipe.class_weights else None,
        epochs=recipe.epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        warmup_epochs=recipe.warmup_epochs,
        patience=recipe.patience,
        label_smoothing=recipe.label_smoothing,
        seed=config.seed,
        device=device,
        run_dir=run_dir,
    )


def _guidance(
    config: Config, cases: pd.DataFrame, outlines: dict[str, Outline]
) -> dict[int, Pixels] | None:
    """Lesion masks of the training tumours by row, or None: no other partition's outline is read."""
    if config.annotations.kind == "none":
        return None
    tumours = _tumours(cases[cases["partition"] == "train"])["stem"]
    masks = {
        int(row): lesion_mask(outlines[stem], config.model.image_size)
        for row, stem in tumours.items()
        if stem in outlines
    }
    if not masks:
        folder = Path(config.data.root) / "Annotations"
        raise InputError(f"annotations.kind=guided: {folder} outlines no training tumour")
    if len(masks) < len(tumours):
        log.warning(
            "%d of %d training tumours have no outline", len(tumours) - len(masks), len(tumours)
        )
    return masks


def _evaluate(
    model: BTXRDClassifier,
    cases: pd.DataFrame,
    outlines: dict[str, Outline],
    pixels: Pixels,
    normalisation: Normalisation,
    device: torch.device,
    run_dir: Path,
) -> None:
    tables: list[pd.DataFrame] = []
    metrics: dict[str, Any] = {}
    for partition in ("val", "test"):
        rows = _rows(cases, partition)
        probs = predict(model, pixels, rows, normalisation, device).round(DECIMALS)
        chosen = cases.iloc[rows]
        labels = chosen["label"].to_numpy()
        metrics[partition] = scores(
            labels, probs, chosen["group"].to_numpy(str), chosen["center"].to_numpy()
        )
        table = chosen[["image_id", "partition"]].assign(label=[CLASSES[label] for label in labels])
        tables.append(
            table.assign(**{f"prob_{name}": p for name, p in zip(CLASSES, probs.T, strict=True)})
        )
    _write_table(run_dir / "predictions.csv", pd.concat(tables))
    write_json(run_dir / "metrics.json", metrics)
    draw_figures(run_dir / "figures", labels, probs, pd.read_csv(run_dir / "history.csv"))
    test = chosen.assign(called=probs.argmax(axis=1), confidence=probs.max(axis=1))
    explain_run(run_dir, model, pixels, test, outlines, normalisation, device)
    log.info(
        "test: accuracy %.3f, macro AUC %s",
        metrics["test"]["accuracy"]["value"],
        metrics["test"]["macro_auc"]["value"],
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as beside:
        table.to_csv(beside, index=False, float_format=f"%.{DECIMALS}f")
