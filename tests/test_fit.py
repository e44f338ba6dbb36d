"""Models that do not see a whole image, or do not work with images of a size."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from btxrd.config.schema import ModelConfig
from btxrd.errors import InputError
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.execution.ahead.preflight import Findings, _check_models
from btxrd.model import factory, preflight
from btxrd.model.fit import check_fit, without_draws
from btxrd.model.hub import UnavailableError
from btxrd.model.preflight import Candidate

create_model = partial(factory.create_model, num_classes=3, pretrained=False)


def built(backbone, size, **arguments):
    with without_draws():
        return create_model(backbone=backbone, image_size=size, **arguments)


@pytest.mark.parametrize(
    ("backbone", "size", "fit"),
    [
        ("vit_tiny_patch16_224", 300, "288 and 304"),
        ("vit_tiny_patch16_224", 90, "80 and 96"),
        ("deit_tiny_patch16_224", 100, "96 and 112"),
        ("test_vit", 40, "32 and 48"),
        ("swin_tiny_patch4_window7_224", 90, "88 and 92"),
        ("convnext_atto", 90, "88 and 92"),
        ("mixer_s32_224", 80, "64 and 96"),
    ],
)
def test_a_size_that_ignores_a_border_is_refused_with_the_nearest_valid_sizes(backbone, size, fit):
    model = built(backbone, size)
    with pytest.raises(InputError, match=f"^model.image_size={size}: .* that fit: {fit}$"):
        check_fit(model, size)


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("vit_tiny_patch16_224", 224),
        ("convnext_atto", 96),
        ("xcit_nano_12_p16_224", 64),
        ("tf_efficientnet_lite0", 75),
        ("resnet18", 33),
    ],
)
def test_size_that_is_seen_whole_is_taken(backbone, size):
    model = built(backbone, size)
    check_fit(model, size)
    assert model.training


def test_verdict_is_that_of_the_gradient():
    """Detects: a corner that is not a number and yet is lost on the way, or the other way round."""
    for size in range(33, 44):
        model = create_model(backbone="convnext_atto", image_size=size).eval()
        images = torch.randn(1, 3, size, size, requires_grad=True)
        model(images).sum().backward()
        is_seen = bool(images.grad[..., -1, -1].any())
        try:
            check_fit(model, size)
            assert is_seen
        except InputError:
            assert not is_seen


def test_attention_that_does_not_work_at_a_size_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"^model.attn_layer=halo: .* choose one of se, "):
        check_fit(built("test_resnet", 64, attn_layer="halo"), 64)


@pytest.mark.parametrize("layer", ["global_pool", "layer9", "conv1.9"])
def test_layer_without_a_map_is_refused(layer):
    with pytest.raises(InputError, match=r"^model\.gradcam_layer"):
        check_fit(built("test_resnet", 64, gradcam_layer=layer), 64)


def test_tokens_that_are_no_square_are_no_map():
    with pytest.raises(ValueError, match="12 tokens do not form a square"):
        built("test_resnet", 64).gradcam_activation(torch.zeros(1, 12, 8))


CANDIDATE = Candidate(ModelConfig(backbone="test_vit", image_size=48, pretrained=False), False)


@pytest.fixture
def in_process(monkeypatch):
    """Check models here, where torch is loaded already."""
    monkeypatch.setattr(preflight, "_ask", preflight.check_here)


def test_sound_models_are_remembered_and_others_are_asked_again(in_process, tmp_path, monkeypatch):
    wrong = replace(CANDIDATE, config=replace(CANDIDATE.config, backbone="resnt18"))
    for _ in range(2):
        sound, failed = preflight.check_models([CANDIDATE, wrong], tmp_path)
        assert sound.fault is None
        assert failed.fault.startswith("model.backbone=resnt18: timm has no such model")
    assert len(json.loads((tmp_path / "models.json").read_text())) == 1
    monkeypatch.setattr(preflight, "_ask", None)
    assert preflight.check_models([CANDIDATE], tmp_path) == [sound]


def test_size_of_a_model_is_that_of_its_weights(in_process, tmp_path):
    (checked,) = preflight.check_models([CANDIDATE], tmp_path)
    weights = built("test_vit", 48).state_dict().values()
    assert checked.size == sum(4 * tensor.numel() for tensor in weights)


def test_list_of_sound_models_of_an_earlier_version_is_replaced(in_process, tmp_path):
    (tmp_path / "models.json").write_text(json.dumps([CANDIDATE.name]))
    assert preflight.check_models([CANDIDATE], tmp_path)[0].size > 0


def test_hub_that_cannot_be_reached_is_one_fault_that_names_all_models(monkeypatch):
    def unavailable(backbone, **_):
        raise UnavailableError(backbone, "huggingface.co cannot be reached")

    monkeypatch.setattr(factory, "create_model", unavailable)
    models = [replace(CANDIDATE, config=ModelConfig(backbone=it)) for it in ("resnet18", "vgg11")]
    faults = {checked.fault for checked in preflight.check_here(models)}
    assert len(faults) == 1
    assert faults.pop().startswith(
        "model.backbone=resnet18,vgg11: the ImageNet weights cannot be downloaded "
        "(huggingface.co cannot be reached); "
    )


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="the device is there")
def test_a_device_that_is_not_there_is_a_fault_of_runs_on_this_machine_only(
    in_process, compose, tmp_path
):
    run = {tmp_path / "run": compose("model.pretrained=false", "device=mps")}
    here, there = Findings(), Findings()
    _check_models(run, here, is_local=True)
    _check_models(run, there, is_local=False)
    assert here.lines == ["device=mps: torch does not find this device; choose from cpu"]
    assert there.lines == []


def test_fault_of_a_model_is_that_of_all_its_runs_and_is_said_once(in_process, compose, tmp_path):
    good, bad = compose("model.pretrained=false"), compose("model.attn_layer=nonesuch")
    found = Findings()
    runs = {tmp_path / "a": bad, tmp_path / "b": good, tmp_path / "c": replace(bad, seed=1)}
    _check_models(runs, found, is_local=True)
    assert list(found.faults) == [tmp_path / "a", tmp_path / "c"]
    assert len(found.lines) == 1
    assert found.lines[0].startswith("model.attn_layer=nonesuch: ")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError(),
    ],
)
def test_lack_of_memory_is_no_fault_of_the_gradcam_layer(monkeypatch, error):
    model = built("test_resnet", 64).eval()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(model.backbone, "forward", fail)
    with pytest.raises(type(error)):
        list(gradcam_maps(model, np.zeros((1, 64, 64), np.uint8), np.array([0]), np.array([0])))
