"""Train a model for several epochs, with early stopping and exact resumption."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from btxrd.artifacts.sidecar import CHECKPOINTS, LAST
from btxrd.artifacts.tables import HISTORY, HistoryRow, write_table
from btxrd.data.batches import TrainingBatches, epoch_seed
from btxrd.errors import InputError
from btxrd.model.checkpoint import Progress, RandomState, TrainingState, load_state, save_state
from btxrd.runtime.interruption import Interruption
from btxrd.training.averaging import AveragedWeights
from btxrd.training.loss import Objective
from btxrd.training.schedule import Schedule
from btxrd.training.step import Step, adamw

log = logging.getLogger(__name__)

LOSS_READ_INTERVAL = 10  # steps; reading a loss blocks until the device has finished the step


class DivergedError(RuntimeError):
    """A training or validation loss is not finite."""


@dataclass(frozen=True)
class Validation:
    """Metrics of the val partition, without class weights. `macro_auc` is NaN if undefined."""

    loss: float
    accuracy: float
    macro_auc: float


def fit(
    model: nn.Module,
    batches: TrainingBatches,
    validate: Callable[[], Validation],
    keep_best: Callable[[HistoryRow], None],
    *,
    objective: Objective,
    epochs: int,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    warmup_epochs: int,
    patience: int,
    ema: float = 0.0,
    seed: int,
    device: torch.device,
    run_dir: Path,
    data: str = "",
    fingerprint: str = "",
    interruption: Interruption | None = None,
) -> list[HistoryRow]:
    """Train for `epochs`, or until the val loss has had no new minimum for `patience` epochs.

    history.csv and checkpoints/last.pt are written after each epoch, and last.pt also if a signal
    ends the training within an epoch. If last.pt exists, training resumes from it; on the same
    machine, the final weights are bit for bit those of an uninterrupted training.

    Args:
        model: Model on `device`.
        batches: Batches of the training partition.
        validate: Function that evaluates `model` on the val partition.
        keep_best: Function that is called after each epoch with the lowest val loss so far.
        objective: Training loss.
        epochs: Largest number of epochs.
        lr: Learning rate of AdamW after the warm-up.
        weight_decay: Weight decay of AdamW, for weights of two or more dimensions.
        layer_decay: See `adamw`.
        warmup_epochs: Number of epochs in which the learning rate rises from 0 to `lr`.
        patience: Number of epochs, as above.
        ema: Decay of the EMA weights, which are validated and saved; 0 for the plain weights.
        seed: Seed of torch's random numbers, such as those of dropout.
        device: Device of the model.
        run_dir: Folder for history.csv and checkpoints/.
        data: Identity of the images and partitions; last.pt must have the same.
        fingerprint: Fingerprint of the run; last.pt must have the same.
        interruption: Handler of the signals that end the run.

    Raises:
        DivergedError: If a loss is not finite, at most `LOSS_READ_INTERVAL` steps later.
        InputError: If last.pt is damaged, or belongs to another run or to other data.
        SystemExit: If a signal ends the run, after the state is saved.
    """
    optimiser = adamw(model, lr, weight_decay, layer_decay)
    rate = Schedule(optimiser, lr, batches.batches, warmup_epochs, epochs)
    averages = AveragedWeights(model, ema) if ema > 0 else None
    step = Step(model, objective, optimiser, device, averages)
    interruption = interruption or Interruption()
    history, part = _resume(run_dir, model, step, data, fingerprint)

    def save() -> None:
        state = TrainingState(
            model=model.state_dict(),
            optimiser=optimiser.state_dict(),
            scaler=step.scaler.state_dict(),
            averages=None if averages is None else averages.state_dict(),
            history=history,
            data=data,
            part=part,
            random=_random(),
            fingerprint=fingerprint,
        )
        save_state(run_dir / CHECKPOINTS, state)

    done, total = (count * batches.batches for count in (len(history), epochs))
    bar = tqdm(total=total, initial=done + part.steps, desc="training", unit="step", disable=None)
    with bar, nullcontext() if bar.disable else logging_redirect_tqdm():
        while len(history) < epochs and not _is_stale(history, patience):
            number = len(history) + 1
            if part.steps == 0:
                torch.manual_seed(epoch_seed(seed, number))
            start = time.perf_counter()
            before = part.seconds
            try:
                model.train()
                _train_epoch(step, batches, number, part, rate, bar, interruption)
                with averages.in_place() if averages else nullcontext():
                    val = validate()
            except SystemExit:
                part.seconds = before + time.perf_counter() - start
                save()
                raise
            if not math.isfinite(val.loss):
                raise DivergedError(f"the val loss is {val.loss} after epoch {number}")
            seen = batches.batches * batches.batch_size
            row = HistoryRow(
                epoch=number,
                lr=rate.at(number * batches.batches - 1),
                train_loss=part.loss / seen,
                val_loss=val.loss,
                val_accuracy=val.accuracy,
                val_macro_auc=val.macro_auc,
                seconds=before + time.perf_counter() - start,
                images_per_second=seen / part.seconds,
            )
            with interruption.held():
                history.append(row)
                part = Progress()
                if best_epoch(history) is row:
                    with averages.in_place() if averages else nullcontext():
                        keep_best(row)
                write_history(run_dir, history)
                save()
            log.info("%s", _line(row, epochs))
    return history


def _random() -> RandomState:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(torch.get_rng_state(), gpus)


def _resume(
    run_dir: Path, model: nn.Module, step: Step, data: str, fingerprint: str
) -> tuple[list[HistoryRow], Progress]:
    """Restore the state in last.pt. Return its history and progress; empty ones without last.pt."""
    state = load_state(run_dir / CHECKPOINTS, fingerprint)
    if state is None:
        return [], Progress()
    if state.data != data:
        raise InputError(
            f"{run_dir / CHECKPOINTS / LAST}: belongs to other images or partitions; delete it to "
            "start again, or restore the original data"
        )
    model.load_state_dict(state.model)
    step.optimiser.load_state_dict(state.optimiser)
    if state.scaler and step.scaler.is_enabled():  # float16 only, before and now
        step.scaler.load_state_dict(state.scaler)
    if step.averages is not None and state.averages is not None:
        step.averages.load_state_dict(state.averages)
    torch.set_rng_state(state.random.cpu)
    if len(state.random.cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state.random.cuda)
    steps = state.part.steps
    log.info("Resuming after epoch %d, step %d of the next epoch", len(state.history), steps)
    return state.history, state.part


def _train_epoch(
    step: Step,
    batches: TrainingBatches,
    number: int,
    part: Progress,
    rate: Schedule,
    bar: "tqdm[Any]",
    interruption: Interruption,
) -> None:
    """Do the remaining steps of an epoch, and record them in `part`."""
    start, before = time.perf_counter(), part.seconds
    unread: list[Tensor] = []

    def read_losses() -> None:
        losses = torch.stack(unread).tolist() if unread else []
        unread.clear()
        for loss in losses:
            if not math.isfinite(loss):
                raise DivergedError(f"the training loss is {loss} in epoch {number}")
            part.loss += loss
        part.seconds = before + time.perf_counter() - start

    try:
        for batch in batches.epoch(number, part.steps):
            with interruption.held():
                rate.set((number - 1) * batches.batches + part.steps)
                unread.append(step(batch) * len(batch.images))
                part.steps += 1
                if part.steps % LOSS_READ_INTERVAL == 0 or part.steps == batches.batches:
                    read_losses()
                bar.update()
    finally:
        read_losses()


def best_epoch(history: list[HistoryRow]) -> HistoryRow:
    """Return the row of the first epoch with the lowest val loss."""
    return min(history, key=lambda row: row.val_loss)


def _is_stale(history: list[HistoryRow], patience: int) -> bool:
    return bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience


def write_history(run_dir: Path, history: list[HistoryRow]) -> None:
    """Write history.csv, one row per epoch."""
    write_table(run_dir, HISTORY, pd.DataFrame([asdict(row) for row in history]))


def _line(row: HistoryRow, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}  "
        f"train loss {row.train_loss:.3f}  val loss {row.val_loss:.3f}  "
        f"val accuracy {row.val_accuracy:.3f}  val macro AUC {row.val_macro_auc:.3f}  "
        f"{row.images_per_second:.0f} images/s"
    )
