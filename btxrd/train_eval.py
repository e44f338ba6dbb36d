"""Do one run: load the data, train a classifier, evaluate it."""

import logging
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch

from btxrd.artifacts.sidecar import CHECKPOINTS, ModelArguments, Preprocessing, Sidecar
from btxrd.artifacts.status import Outcome
from btxrd.artifacts.tables import PARTITIONS, SPLIT, HistoryRow, write_table
from btxrd.config.schema import Config
from btxrd.data.augmentation import Augmentation
from btxrd.data.batches import TrainingBatches
from btxrd.data.dataset import Dataset, load_dataset
from btxrd.data.splits import split_hash, split_rows
from btxrd.evaluation.formulas import cross_entropy, macro_auc
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.evaluation.infer import infer
from btxrd.evaluation.inference import predict
from btxrd.evaluation.score import score
from btxrd.model.checkpoint import load_checkpoint, save_checkpoint
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.fit import check_fit
from btxrd.phantom.write import ensure_phantom
from btxrd.runtime.device import choose_device, describe, make_reproducible, precision
from btxrd.runtime.interruption import Interruption
from btxrd.training.acceleration import compile_if_worthwhile, to_device
from btxrd.training.guidance import training_masks
from btxrd.training.loop import Validation, best_epoch, fit
from btxrd.training.loss import ClassLoss, Objective

log = logging.getLogger(__name__)


def train_eval(
    config: Config,
    build_model: Callable[..., BTXRDClassifier],
    run_dir: Path,
    fingerprint: str,
    interruption: Interruption | None = None,
) -> Outcome:
    """Train one classifier and evaluate it. The results are written into `run_dir`.

    Args:
        config: A checked config.
        build_model: Function of `num_classes` and `lesion_map` that returns the classifier.
        run_dir: Folder of the run. An interrupted training in it is resumed.
        fingerprint: Fingerprint of the run, which is stored in its checkpoints.
        interruption: Handler of the signals that end the run.

    Returns:
        Device, split hash and validation macro AUC, for status.json.

    Raises:
        InputError: If the data, the weights, the device or the files of an interrupted training
            cannot be used.
        DivergedError: If a loss is not finite.
        SystemExit: If a signal ends the run.
    """
    device = choose_device(config.device)
    log.info("%s on %s", os.path.relpath(run_dir), describe(device))
    ensure_phantom(config.data)
    dataset = load_dataset(config.data, config.split, config.model.image_size)
    _write_split(dataset, run_dir)

    make_reproducible(config.seed)
    learns_lesions = config.annotations.kind == "lesion"
    classes = dataset.class_names
    model = build_model(num_classes=len(classes), lesion_map=learns_lesions)
    log.info("Initial weights: %s", model.initial)
    check_fit(model, config.model.image_size)
    model = to_device(model, device)
    # Compute one map now, so that a layer without a map fails before the training.
    list(gradcam_maps(model.eval(), dataset.pixels, np.array([0]), np.array([0])))
    sidecar = _sidecar(model, config, dataset, fingerprint)
    history = _train(model, config, dataset.sealed(), sidecar, run_dir, interruption)
    if config.evaluate:
        best, _ = load_checkpoint(run_dir / CHECKPOINTS, fingerprint)
        infer(to_device(best, device), dataset, run_dir)
        score(run_dir)
    objective = best_epoch(history).val_macro_auc
    return Outcome(describe(device), sidecar.split_hash, _none_if_nan(objective))


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _sidecar(model: BTXRDClassifier, config: Config, dataset: Dataset, fingerprint: str) -> Sidecar:
    """Return the sidecar of the model of a run, without the epoch and its metrics."""
    classes = dataset.class_names
    return Sidecar(
        arguments=ModelArguments.of(model.arguments),
        classes=classes.names,
        focus=classes.focus,
        background=classes.background,
        image_size=config.model.image_size,
        preprocessing=Preprocessing(
            clahe_clip=config.data.clahe_clip,
            clahe_tiles=config.data.clahe_tiles,
            mean=model.normalisation.mean,
            std=model.normalisation.std,
            aspect=config.data.aspect,
        ),
        fingerprint=fingerprint,
        split=config.split.title,
        split_hash=split_hash(dataset.cases),
        epoch=0,
        initial=model.initial,
    )


def _write_split(dataset: Dataset, run_dir: Path) -> None:
    """Write split.csv, and log the sizes of the partitions and the warnings."""
    write_table(run_dir, SPLIT, split_rows(dataset.cases))
    sizes = ", ".join(f"{len(dataset.rows(name))} {name}" for name in PARTITIONS)
    log.info("%d cases: %s", len(dataset.cases), sizes)
    for line in dataset.warnings:
        log.warning(line)


def _train(
    model: BTXRDClassifier,
    config: Config,
    dataset: Dataset,
    sidecar: Sidecar,
    run_dir: Path,
    interruption: Interruption | None,
) -> list[HistoryRow]:
    """Train `model`, and write the best epoch with its `sidecar` to checkpoints/."""
    recipe, guidance = config.training, config.annotations
    labels, val = dataset.labels, dataset.rows("val")
    masks, warnings = training_masks(
        dataset, guidance.kind, guidance.sham, config.seed, config.data.root
    )
    for line in warnings:
        log.warning(line)
    augmentation = {item.name: getattr(recipe, item.name) for item in fields(Augmentation)}
    batches = TrainingBatches(
        dataset.pixels,
        dataset.rows("train"),
        labels,
        model.normalisation,
        Augmentation(**augmentation),
        masks=masks,
        dim=guidance.dim if guidance.kind == "guided" else None,
        with_lesions=guidance.kind in ("lesion", "cam"),
        balanced=recipe.imbalance == "balanced",
        batch_size=recipe.batch_size,
        seed=config.seed,
        device=model.device,
    )
    log.info(
        "Training: %d views per epoch, %d steps, batch size %d, %s",
        *(batches.views, batches.batches, batches.batch_size),
        str(precision(model.device)).removeprefix("torch."),
    )

    epochs = min(recipe.epochs, recipe.patience + 1)  # training may stop early, but not before
    images = epochs * batches.batches * batches.batch_size
    size = config.model.image_size
    is_compiled = compile_if_worthwhile(
        model, config.compile, images, size, twice=guidance.kind == "cam"
    )

    def validate() -> Validation:
        # Eager mode: compiling a second, float32 graph costs more time than it saves.
        eager = torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
        with eager:
            probs = predict(model, dataset.pixels, val)
        area = float(macro_auc(labels[val], probs, np.ones((1, len(val))))[0])
        accuracy = float((probs.argmax(axis=1) == labels[val]).mean())
        return Validation(cross_entropy(labels[val], probs), accuracy, area)

    def keep_best(row: HistoryRow) -> None:
        val = {name: _none_if_nan(value) for name, value in asdict(row).items() if "val_" in name}
        save_checkpoint(run_dir / CHECKPOINTS, model, replace(sidecar, epoch=row.epoch, val=val))

    counts = torch.from_numpy(batches.class_counts)
    class_loss = ClassLoss(counts, recipe.imbalance, recipe.label_smoothing).to(model.device)
    return fit(
        model,
        batches,
        validate,
        keep_best,
        objective=Objective(
            class_loss, guidance.kind, guidance.weight, dataset.class_names.background_label
        ),
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
        fingerprint=sidecar.fingerprint,
        interruption=interruption,
    )
