import logging

import pytest
import torch
from torch import nn

from btxrd.data.batches import Batch
from btxrd.errors import InputError
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.device import autocast, precision
from btxrd.training import acceleration
from btxrd.training.acceleration import compile_if_worthwhile, to_device
from btxrd.training.loss import Objective
from btxrd.training.step import Step, adamw

CPU = torch.device("cpu")


def classifier(**arguments):
    torch.manual_seed(0)
    return to_device(BTXRDClassifier("resnet10t", 3, pretrained=False, **arguments), CPU)


CBAM = {"block_args": {"attn_layer": "cbam"}}


@pytest.fixture
def reason(caplog):
    """Return the logged reason why nothing is compiled, or None if something is."""

    def ask(model, wanted="auto", images=10**9, size=224):
        caplog.clear()
        with caplog.at_level(logging.INFO, "btxrd.training.acceleration"):
            done = compile_if_worthwhile(model, wanted, images, size)
        (line,) = [record.message for record in caplog.records if record.name.startswith("btxrd")]
        assert done == (not line.startswith("torch.compile not used: "))
        return None if done else line.removeprefix("torch.compile not used: ")

    return ask


def test_compilation_depends_on_the_remaining_training(reason, monkeypatch):
    monkeypatch.setattr(acceleration, "cores", lambda: 2)
    monkeypatch.setattr(acceleration, "_compile_error", lambda _: None)
    assert reason(classifier(**CBAM), images=2_000) is None
    assert reason(classifier(**CBAM), images=500, size=448) is None
    too_few = "1999 training images at 224 px in total; compiling pays off from 2000"
    assert reason(classifier(**CBAM), images=1_999) == too_few
    assert reason(classifier(**CBAM), images=10, wanted="always") is None
    assert reason(classifier(**CBAM), wanted="never") == "compile=never"
    assert "only attention modules in the blocks of a ResNet" in reason(classifier())


def test_a_machine_that_cannot_compile_is_reported(reason, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(acceleration.torch, "compile", broken)
    assert reason(classifier(**CBAM)) == "torch.compile does not work here (no C++ compiler)"
    with pytest.raises(InputError, match=r"compile=always: torch.compile does not work here"):
        compile_if_worthwhile(classifier(), "always", 1, 224)


@pytest.mark.slow
def test_compiled_attention_gives_the_same_logits_and_gradients():
    plain, model = classifier(**CBAM), classifier(**CBAM)
    assert compile_if_worthwhile(model, "always", 1, 64)
    images = torch.rand(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for network in (plain, model):
        network(images).square().sum().backward()
    assert torch.allclose(model(images), plain(images), atol=1e-4)
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-2, atol=1e-3)
    assert model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.slow
def test_compiled_attention_learns_in_bfloat16_like_eager_attention(monkeypatch):
    for module in ("runtime.device", "training.step"):
        monkeypatch.setattr(f"btxrd.{module}.precision", lambda _: torch.bfloat16)
    losses = {}
    for wanted in ("never", "always"):
        torch.manual_seed(0)
        model = to_device(BTXRDClassifier("resnet50", 3, pretrained=False, **CBAM), CPU).train()
        compile_if_worthwhile(model, wanted, 1, 96)
        step = Step(model, Objective(nn.CrossEntropyLoss()), adamw(model, 3e-4), CPU)
        images = torch.rand(8, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(8) % 3
        losses[wanted] = [step(Batch(images, labels)).item() for _ in range(6)]
    assert losses["always"] == pytest.approx(losses["never"], abs=0.05)


def net(groups=1):
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 4, 3, groups=groups), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    return to_device(nn.Sequential(*layers), CPU)


@pytest.mark.parametrize(("groups", "expected"), [(4, torch.float32), (1, torch.bfloat16)])
def test_only_depthwise_convolutions_stay_in_float32(groups, expected, monkeypatch):
    monkeypatch.setattr("btxrd.runtime.device.precision", lambda _: torch.bfloat16)
    convolution = net(groups)[0]
    with autocast(CPU):
        assert convolution(torch.rand(2, 4, 8, 8)).dtype == expected


def test_float16_scales_gradients_and_steps_only_on_finite_ones(monkeypatch):
    for module in ("runtime.device", "training.step"):
        monkeypatch.setattr(f"btxrd.{module}.precision", lambda _: torch.float16)
    model = net()
    step = Step(
        model, Objective(nn.CrossEntropyLoss()), torch.optim.SGD(model.parameters(), 0.1), CPU
    )
    images, labels = torch.rand(6, 4, 8, 8), torch.arange(6) % 3
    scale = step.scaler.get_scale()
    losses = [step(Batch(images, labels)).item() for _ in range(30)]
    assert step.scaler.get_scale() <= scale
    assert losses[-1] < losses[0]
    before = [parameter.clone() for parameter in model.parameters()]
    step(Batch(images * torch.inf, labels))
    assert all(map(torch.equal, before, model.parameters()))


def test_precision_depends_on_the_device(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert precision(CPU) is torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert precision(CPU) is torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert precision(torch.device("cuda")) is torch.float16


def test_a_network_whose_loss_differentiates_twice_is_not_compiled():
    with pytest.raises(InputError, match=r"compile=always: the loss on Grad-CAM needs a second"):
        compile_if_worthwhile(classifier(), "always", 10**9, 224, twice=True)
