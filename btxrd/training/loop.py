"""The epoch loop: schedule, early stop, exact resume."""

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

from btxrd.artifacts.sidecar import LAST
from btxrd.data.batches import TrainingBatches, epoch_seed
from btxrd.errors import InputError
from btxrd.model.checkpoint import load_state, save_state
from btxrd.runtime.files import atomic_write
from btxrd.runtime.interruption import Interruption
from btxrd.training.averaging import AveragedWeights
from btxrd.training.loss import Objective
from btxrd.training.schedule import Schedule
from btxrd.training.step import Step, adamw

log = logging.getLogger(__name__)

UNREAD = 10  # steps whose losses are left on the device: reading one waits for its step


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Validation:
    """Figures of the val partition after an epoch, unweighted; `macro_auc` is NaN if undefined."""

    loss: float
    accuracy: float
    macro_auc: float


@dataclass(frozen=True)
class Epoch:
    """A row of history.csv."""

    epoch: int  # from 1
    lr: float  # of the last step
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_macro_auc: float
    seconds: float
    images_per_second: float  # of the training steps


def fit(
    model: nn.Module,
    batches: TrainingBatches,
    validate: Callable[[], Validation],
    keep_best: Callable[[Epoch], None],
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
    interruption: Interruption | None = None,
) -> list[Epoch]:
    """Train until the val loss has not fallen for `patience` epochs, or for `epochs`.

    After each epoch history.csv and checkpoints/last.pt are written, and last.pt also when a signal
    ends the training in the middle of one; where a last.pt lies, training goes on from it, and ends
    bit for bit as it would have.

    Args:
        model: on `device`.
        batches: of the training partition.
        validate: scores `model` on the val partition.
        keep_best: called after each epoch whose val loss is the lowest so far.
        objective: to be lowered.
        epochs: at most.
        lr: of AdamW, after the warm-up.
        weight_decay: of AdamW, on weights of two or more dimensions.
        layer_decay: see `adamw`.
        warmup_epochs: over which the learning rate rises from 0.
        patience: epochs.
        ema: decay of the average over steps that is validated and kept instead of the weights
            themselves; 0: none.
        seed: of dropout.
        device: of the model.
        run_dir: where history.csv and checkpoints/ go.
        data: names films and partitions; a training on others is not gone on with.
        interruption: when to heed a signal.

    Raises:
        DivergedError: within `UNREAD` steps of a loss that is not finite.
        InputError: where last.pt is damaged, or of other data.
        SystemExit: for a signal, after all is saved.
    """
    optimiser = adamw(model, lr, weight_decay, layer_decay)
    rate = Schedule(optimiser, lr, batches.batches, warmup_epochs, epochs)
    averages = AveragedWeights(model, ema) if ema > 0 else None
    step = Step(model, objective, optimiser, device, averages)
    interruption = interruption or Interruption()
    history, part = _go_on(run_dir, model, step, data)

    def save() -> None:
        state: dict[str, Any] = {"model": model.state_dict(), "data": data}
        state |= {"optimiser": optimiser.state_dict(), "scaler": step.scaler.state_dict()}
        state |= {"averages": None if averages is None else averages.state_dict()}
        state |= {"history": [asdict(epoch) for epoch in history]}
        save_state(run_dir / "checkpoints", state | {"part": asdict(part), "random": _random()})

    done, total = (count * batches.batches for count in (len(history), epochs))
    bar = tqdm(total=total, initial=done + part.steps, desc="training", unit="step", disable=None)
    with bar, logging_redirect_tqdm():
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
            row = Epoch(
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
                part = Part()
                if best_epoch(history) is row:
                    with averages.in_place() if averages else nullcontext():
                        keep_best(row)
                write_history(run_dir / "history.csv", history)
                save()
            log.info("%s", _line(row, epochs))
    return history


@dataclass
class Part:
    """What was done of the epoch that is not whole yet."""

    steps: int = 0
    loss: float = 0.0  # summed over the images
    seconds: float = 0.0  # of its training


def _random() -> dict[str, Any]:
    """The state of torch's generators; no other is used while training."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": gpus}


def _go_on(run_dir: Path, model: nn.Module, step: Step, data: str) -> tuple[list[Epoch], Part]:
    """Take up what last.pt holds; nothing where there is no last.pt."""
    state = load_state(run_dir / "checkpoints")
    if state is None:
        return [], Part()
    if state["data"] != data:
        raise InputError(
            f"{run_dir / 'checkpoints' / LAST}: is of a training on other films or partitions; "
            "delete it to start again, or give back the data that it was begun on"
        )
    model.load_state_dict(state["model"])
    step.optimiser.load_state_dict(state["optimiser"])
    if state["scaler"] and step.scaler.is_enabled():  # neither, where the precision is another
        step.scaler.load_state_dict(state["scaler"])
    if step.averages is not None:
        step.averages.load_state_dict(state["averages"])
    torch.set_rng_state(state["random"]["cpu"])
    if len(state["random"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    history, part = [Epoch(**row) for row in state["history"]], Part(**state["part"])
    log.info("Going on after epoch %d and %d steps", len(history), part.steps)
    return history, part


def _train_epoch(
    step: Step,
    batches: TrainingBatches,
    number: int,
    part: Part,
    rate: Schedule,
    bar: "tqdm[Any]",
    interruption: Interruption,
) -> None:
    """Take the steps of an epoch that `part` does not count yet."""
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
                if part.steps % UNREAD == 0 or part.steps == batches.batches:
                    read_losses()
                bar.update()
    finally:
        read_losses()


def best_epoch(history: list[Epoch]) -> Epoch:
    """The epoch with the lowest val loss, the earliest of equals."""
    return min(history, key=lambda row: row.val_loss)


def _is_stale(history: list[Epoch], patience: int) -> bool:
    return bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write history.csv, a row an epoch."""
    with atomic_write(path) as beside:
        pd.DataFrame([asdict(row) for row in history]).to_csv(beside, index=False)


def _line(row: Epoch, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}  "
        f"train loss {row.train_loss:.3f}  val loss {row.val_loss:.3f}  "
        f"accuracy {row.val_accuracy:.3f}  macro AUC {row.val_macro_auc:.3f}  "
        f"{row.images_per_second:.0f} images/s"
    )
