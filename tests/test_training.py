import copy
import math
import signal
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from btxrd.data.augmentation import Augmentation
from btxrd.data.batches import Normalisation, TrainingBatches
from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.interruption import Interruption
from btxrd.training.loop import DivergedError, Validation, fit
from btxrd.training.loss import Objective, inverse_frequency
from btxrd.training.schedule import Schedule
from btxrd.training.step import adamw

CPU = torch.device("cpu")
LABELS = np.arange(24) % 3
PIXELS = np.random.default_rng(0).integers(0, 80, (24, 8, 8), np.uint8)
PIXELS[LABELS == 1, :4] += 120
PIXELS[LABELS == 2, 4:] += 120


def make_model():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(144, 3))


def train(
    run_dir,
    *,
    model=None,
    val_losses=None,
    validate=None,
    epochs=4,
    keep_best=None,
    mixup=0.0,
    class_loss=None,
    **changes,
):
    """Train a small net with given `val_losses`. Return the net, the history and best epochs."""
    torch.manual_seed(99)  # a state that another run could leave
    model, kept = model or make_model(), []
    batches = TrainingBatches(
        PIXELS,
        np.arange(24),
        LABELS,
        Normalisation((0.5,), (0.2,)),
        Augmentation(flip=True, rotation=10.0, intensity=0.1, noise=0.02, mixup=mixup),
        seed=5,
        batch_size=8,
        device=CPU,
    )
    losses = iter(val_losses or [1 / n for n in range(1, 100)])
    recipe = {"lr": 0.01, "weight_decay": 0.01, "warmup_epochs": 1, "patience": 2, "ema": 0.9}
    recipe["objective"] = Objective(class_loss or nn.CrossEntropyLoss(label_smoothing=0.1))
    history = fit(
        model,
        batches,
        validate or (lambda: Validation(next(losses), 0.5, 0.5)),
        keep_best or (lambda row: kept.append(row.epoch)),
        **recipe | {"epochs": epochs} | changes,
        seed=5,
        device=CPU,
        run_dir=run_dir,
    )
    return model, history, kept


def numbers(history):
    return [(row.epoch, row.lr, row.train_loss, row.val_loss) for row in history]


def test_training_lowers_the_loss(tmp_path):
    _, history, _ = train(tmp_path, epochs=8)
    assert history[-1].train_loss < 0.7 * history[0].train_loss


def test_same_seed_gives_the_same_weights_bit_for_bit(tmp_path):
    one, first, _ = train(tmp_path / "a")
    other, second, _ = train(tmp_path / "b")
    assert numbers(first) == numbers(second)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_ema_weights_are_validated_and_saved(tmp_path):
    torch.manual_seed(0)
    model, seen = make_model(), {"validated": [], "kept": []}

    def record(name):
        seen[name].append(model[0].weight.detach().clone())

    def validate():
        record("validated")
        return Validation(1 / len(seen["validated"]), 0.5, 0.5)

    train(tmp_path, model=model, validate=validate, keep_best=lambda row: record("kept"), epochs=3)
    assert len(seen["kept"]) == 3
    for validated, kept in zip(seen["validated"], seen["kept"], strict=True):
        assert torch.equal(validated, kept)
    assert not torch.equal(seen["kept"][-1], model[0].weight)


def test_earlier_layers_have_lower_rates_and_each_weight_is_in_one_group():
    model = BTXRDClassifier("resnet10t", 3, pretrained=False, lesion_map=True)
    optimiser = adamw(model, 0.1, 0.01, layer_decay=0.5)
    Schedule(optimiser, 0.1, 10, 0, 5).set(0)
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in optimiser.param_groups)
    assert set(rate) == {id(parameter) for parameter in model.parameters()}
    decayed = {id(p) for g in optimiser.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(parameter) for parameter in model.parameters() if parameter.ndim > 1}
    head, top, stem = model.backbone.fc.weight, model.backbone.layer4[0], model.backbone.conv1[0]
    assert rate[id(head)] == rate[id(model.lesion_head.weight)] == 0.1
    assert rate[id(stem.weight)] < rate[id(top.conv1.weight)] < 0.1


def cut_off_in_epoch_3(row):
    if row.epoch == 3:
        raise KeyboardInterrupt


def test_resumed_training_equals_uninterrupted_training(tmp_path):
    whole, history, _ = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", keep_best=cut_off_in_epoch_3)
    again, resumed, _ = train(tmp_path / "cut", val_losses=[1 / 3, 1 / 4])
    assert numbers(resumed) == numbers(history)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_ema_weights_are_resumed_after_an_interruption(tmp_path):
    """Detects a resumed training that restarts the averages: only the best weights change."""

    def kept_by(run_dir, **changes):
        torch.manual_seed(0)
        model, kept = make_model(), []

        def keep_best(_):
            kept.append(copy.deepcopy(model.state_dict()))

        train(run_dir, model=model, keep_best=keep_best, **changes)
        return kept[-1]

    whole = kept_by(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", keep_best=cut_off_in_epoch_3)
    resumed = kept_by(tmp_path / "cut", val_losses=[1 / 3, 1 / 4])
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


class SignalAt(Interruption):
    """Sends a signal to the process in the middle of a step."""

    def __init__(self, step):
        super().__init__()
        self._steps_to_go = step

    @contextmanager
    def held(self):
        with super().held():
            self._steps_to_go -= 1
            if self._steps_to_go == 0:
                self.receive(signal.SIGTERM)
            yield


@pytest.mark.parametrize("step", range(1, 13))  # four per epoch: three steps and the validation
def test_training_interrupted_at_any_step_equals_uninterrupted_training(step, tmp_path):
    whole, history, _ = train(tmp_path / "whole", epochs=3)
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / "cut", epochs=3, interruption=SignalAt(step))
    assert ended.value.code == 128 + signal.SIGTERM
    done = torch.load(tmp_path / "cut" / "checkpoints" / "last.pt", weights_only=True)
    assert (len(done["history"]), done["part"]["steps"]) == divmod(step, 4)
    left = [1 / n for n in range(1, 4)][len(done["history"]) :]
    again, resumed, _ = train(tmp_path / "cut", epochs=3, val_losses=left or [0.0])
    assert numbers(resumed) == numbers(history)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_damaged_state_is_reported(tmp_path):
    train(tmp_path, epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"last.pt: is damaged; delete it"):
        train(tmp_path)


def test_training_does_not_resume_on_other_data(tmp_path):
    train(tmp_path, epochs=2)
    with pytest.raises(InputError, match=r"last.pt: belongs to other images or partitions"):
        train(tmp_path, data="another")


def test_training_stops_without_a_new_lowest_val_loss_and_keeps_the_best_weights(tmp_path):
    _, history, kept = train(tmp_path, val_losses=[3, 2, 2.5, 2, 1, 0.5], epochs=9)
    assert len(history) == 4
    assert kept == [1, 2]


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    with pytest.raises(DivergedError, match="training loss is nan in epoch 1"):
        train(tmp_path / "a", class_loss=nn.CrossEntropyLoss(torch.full((3,), math.nan)))
    with pytest.raises(DivergedError, match="val loss is inf after epoch 2"):
        train(tmp_path / "b", val_losses=[1.0, math.inf])


def test_history_on_disk_has_one_row_per_epoch(tmp_path):
    _, history, _ = train(tmp_path)
    table = pd.read_csv(tmp_path / "history.csv")
    assert list(table.columns) == [
        "epoch", "lr", "train_loss", "val_loss", "val_accuracy", "val_macro_auc", "seconds",
        "images_per_second",
    ]  # fmt: skip
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["train_loss"].tolist() == pytest.approx([row.train_loss for row in history])


def test_state_on_disk_contains_no_code(tmp_path):
    train(tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    parts = {"model", "optimiser", "scaler", "averages", "history", "data", "part", "random"}
    parts |= {"fingerprint"}
    assert set(state) == parts


def test_learning_rate_rises_linearly_then_follows_a_cosine():
    optimiser = torch.optim.AdamW(nn.Linear(1, 1).parameters())
    schedule = Schedule(optimiser, 0.4, steps_per_epoch=10, warmup_epochs=2, epochs=6)
    rates = []
    for step in range(60):
        schedule.set(step)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[:20] == pytest.approx([0.02 * n for n in range(1, 21)])
    assert rates[20] == pytest.approx(0.4)
    assert rates[40] == pytest.approx(0.2)
    assert 0 < rates[59] < 0.002


def test_rare_classes_have_larger_weights_with_mean_1():
    weights = inverse_frequency(torch.tensor([50, 40, 10]))
    assert weights.tolist() == pytest.approx([2 / 3, 5 / 6, 10 / 3])
    assert (weights * torch.tensor([50, 40, 10])).sum().item() == pytest.approx(100)
