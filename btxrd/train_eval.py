"""One run, top to bottom."""

import logging
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from btxrd.artifacts.status import Outcome
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import Config
from btxrd.data.augmentation import Augmentation
from btxrd.data.batches import TrainingBatches
from btxrd.data.constants import CLASSES
from btxrd.data.dataset import Dataset, load_dataset
from btxrd.data.splits import split_hash, split_table
from btxrd.evaluation.formulas import cross_entropy, macro_auc
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.evaluation.infer import infer
from btxrd.evaluation.inference import predict
from btxrd.evaluation.score import score
from btxrd.model.checkpoint import load_checkpoint, save_checkpoint
from btxrd.model.classifier import BTXRDClassifier
from btxrd.phantom.write import ensure_phantom
from btxrd.runtime.device import choose_device, describe, make_reproducible, precision
from btxrd.runtime.files import write_bytes
from btxrd.runtime.interruption import Interruption
from btxrd.training.acceleration import compile_where_earned, place
from btxrd.training.guidance import lesions_to_learn
from btxrd.training.loop import Epoch, Validation, best_epoch, fit
from btxrd.training.loss import ClassLoss, Objective

log = logging.getLogger(__name__)


def train_eval(
    config: Config,
    build_model: Callable[..., BTXRDClassifier],
    run_dir: Path,
    fingerprint: str,
    interruption: Interruption | None = None,
) -> Outcome:
    """Train one classifier and evaluate it; all that it leaves is in `run_dir`.

    Args:
        config: checked.
        build_model: makes the classifier, given `num_classes`.
        run_dir: of the run; a training that was cut off there goes on.
        fingerprint: of the config, for the checkpoint.
        interruption: when to heed a signal.

    Returns:
        What status.json records of it.

    Raises:
        InputError: for data, weights or a device that cannot be used.
    """
    device = choose_device(config.device)
    log.info("%s on %s", os.path.relpath(run_dir), describe(device))
    ensure_phantom(config.data)
    dataset = load_dataset(config.data, config.split, config.model.image_size)
    _introduce(dataset, run_dir)

    make_reproducible(config.seed)
    learns_lesions = config.annotations.kind == "lesion"
    model = place(build_model(num_classes=len(CLASSES), lesion_map=learns_lesions), device)
    # A layer that gives no map fails here, not after the training.
    list(gradcam_maps(model.eval(), dataset.pixels, np.array([0]), np.array([0])))
    sidecar = {
        "arguments": model.arguments,
        "classes": list(CLASSES),
        "image_size": config.model.image_size,
        "preprocessing": {
            "clahe_clip": config.data.clahe_clip,
            "clahe_tiles": config.data.clahe_tiles,
            "aspect": config.data.aspect,
            **asdict(model.normalisation),
        },
        "fingerprint": fingerprint,
        "split": config.split.title,
        "split_hash": split_hash(dataset.cases),
    }
    history = _train(model, config, dataset.sealed(), sidecar, run_dir, interruption)
    if config.evaluate:
        best, _ = load_checkpoint(run_dir / "checkpoints")
        infer(place(best, device), dataset, run_dir)
        score(run_dir)
    objective = best_epoch(history).val_macro_auc
    return Outcome(
        describe(device),
        split_hash(dataset.cases),
        None if math.isnan(objective) else objective,
    )


def _introduce(dataset: Dataset, run_dir: Path) -> None:
    """Write split.csv, and say what there is."""
    write_bytes(run_dir / "split.csv", split_table(dataset.cases))
    sizes = ", ".join(f"{len(dataset.rows(name))} {name}" for name in PARTITIONS)
    log.info("%d cases: %s", len(dataset.cases), sizes)
    for line in dataset.warnings:
        log.warning(line)


def _train(
    model: BTXRDClassifier,
    config: Config,
    dataset: Dataset,
    sidecar: dict[str, Any],
    run_dir: Path,
    interruption: Interruption | None,
) -> list[Epoch]:
    """Fit `model`; the best epoch goes into checkpoints/, with what `sidecar` holds."""
    recipe, guidance = config.training, config.annotations
    labels, val = dataset.labels, dataset.rows("val")
    masks, said = lesions_to_learn(
        dataset, guidance.kind, guidance.sham, config.seed, config.data.root
    )
    for line in said:
        log.warning(line)
    drawn = {item.name: getattr(recipe, item.name) for item in fields(Augmentation)}
    batches = TrainingBatches(
        dataset.pixels,
        dataset.rows("train"),
        labels,
        model.normalisation,
        Augmentation(**drawn),
        masks=masks,
        dim=guidance.dim if guidance.kind == "guided" else None,
        with_lesions=guidance.kind in ("lesion", "cam"),
        balanced=recipe.imbalance == "balanced",
        batch_size=recipe.batch_size,
        seed=config.seed,
        device=model.device,
    )
    log.info(
        "%d training views, in %d steps of %d an epoch, in %s",
        *(batches.views, batches.batches, batches.batch_size),
        str(precision(model.device)).removeprefix("torch."),
    )

    epochs = min(recipe.epochs, recipe.patience + 1)  # it may stop early
    to_come = epochs * batches.batches * batches.batch_size
    size = config.model.image_size
    is_compiled = compile_where_earned(
        model, config.compile, to_come, size, twice=guidance.kind == "cam"
    )

    def validate() -> Validation:
        # To compile the network once more, for float32, would not be earned back.
        eager = torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
        with eager:
            probs = predict(model, dataset.pixels, val)
        area = float(macro_auc(labels[val], probs, np.ones((1, len(val))))[0])
        accuracy = float((probs.argmax(axis=1) == labels[val]).mean())
        return Validation(cross_entropy(labels[val], probs), accuracy, area)

    def keep_best(epoch: Epoch) -> None:
        val_figures = {name: value for name, value in asdict(epoch).items() if "val_" in name}
        kept = sidecar | {"epoch": epoch.epoch, "val": val_figures}
        save_checkpoint(run_dir / "checkpoints", model, kept)

    counts = torch.from_numpy(batches.class_counts)
    class_loss = ClassLoss(counts, recipe.imbalance, recipe.label_smoothing).to(model.device)
    return fit(
        model,
        batches,
        validate,
        keep_best,
        objective=Objective(class_loss, guidance.kind, guidance.weight),
        epochs=recipe.epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
        warmup_epochs=recipe.warmup_epochs,
        patience=recipe.patience,
        ema=recipe.ema,
        seed=config.seed,
        device=model.device,
        run_dir=run_dir,
        data=dataset.identity,
        interruption=interruption,
    )
