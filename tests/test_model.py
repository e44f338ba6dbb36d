import json
from dataclasses import replace
from functools import partial

import pytest
import timm
import torch

from btxrd.artifacts import codec
from btxrd.artifacts.sidecar import ModelArguments, Preprocessing, Sidecar
from btxrd.errors import InputError
from btxrd.model import factory, pretrained
from btxrd.model.checkpoint import load_checkpoint, save_checkpoint
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.pooling import SPREAD, LesionPooling

CBAM = {"attn_layer": "cbam"}
create_model = partial(factory.create_model, num_classes=3)


def sidecar_of(model, **changes):
    facts = {
        "arguments": ModelArguments.of(model.arguments),
        "classes": ("a", "b", "c"), "focus": "c", "background": "a",
        "image_size": 64, "preprocessing": Preprocessing(2.0, 8, (0.5,), (0.2,)),
        "fingerprint": "f", "split": "random", "split_hash": "h", "epoch": 3,
        "val": {"val_loss": 0.5, "val_macro_auc": None},
    }  # fmt: skip
    return Sidecar(**facts | changes)


def test_cbam_reaches_every_block_of_a_resnet():
    model = BTXRDClassifier("resnet50", 3, False, 0.3, block_args=CBAM)
    found = [name for name, part in model.named_modules() if type(part).__name__ == "CbamModule"]
    assert len(found) == 16
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert model.gradcam_target_layer is model.backbone.layer4[-1]
    assert type(model.gradcam_target_layer).__name__ == "Bottleneck"


def test_efficientnet_returns_logits_and_uses_its_last_norm_for_grad_cam():
    model = BTXRDClassifier("efficientnet_b0", 3, False, 0.2).eval()
    logits = model(torch.randn(2, 3, 64, 64))
    assert not torch.allclose(logits.sum(dim=1), torch.ones(2))
    assert model.gradcam_target_layer is model.backbone.bn2
    assert type(model.gradcam_target_layer).__name__ == "BatchNormAct2d"


def test_dropout_comes_from_the_config_and_statistics_from_timm():
    model = create_model(backbone="efficientnet_b0", pretrained=False, dropout=0.37)
    assert model.backbone.drop_rate == 0.37
    expects = timm.data.resolve_model_data_config(model.backbone)
    look = model.normalisation
    assert (look.mean, look.std) == (expects["mean"], expects["std"])


def test_last_layer_of_an_efficientnet_starts_with_the_small_values_of_pytorch():
    """Detects timm's own values, which are 20 times as large with three classes."""
    head = create_model(backbone="efficientnet_b0", pretrained=False).backbone.classifier
    assert head.weight.abs().max() <= head.in_features**-0.5


def test_logits_of_an_untrained_efficientnet_are_small():
    model = create_model(backbone="efficientnet_b0", pretrained=False).eval()
    assert model(torch.randn(8, 3, 64, 64)).abs().max() < 3


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_other_backbones_have_a_layer_with_spatial_locations(name):
    model = create_model(backbone=name, pretrained=False, image_size=64).eval()
    kept = []
    model.gradcam_target_layer.register_forward_hook(lambda *hook: kept.append(hook[-1]))
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 3)
    assert model.gradcam_activation(kept[0]).shape[2:] in [(4, 4), (8, 8)]


@pytest.mark.parametrize(("size", "layer"), [(64, "layer2"), (112, "layer3"), (193, None)])
def test_grad_cam_of_small_images_uses_an_earlier_layer(size, layer):
    model = create_model(backbone="resnet18", pretrained=False, image_size=size)
    assert model.arguments["gradcam_layer"] == layer


def test_layer_can_be_set_and_a_wrong_name_is_refused():
    model = create_model(backbone="resnet18", pretrained=False, gradcam_layer="layer2.0")
    assert model.gradcam_target_layer is model.backbone.layer2[0]
    model = create_model(backbone="resnet18", pretrained=False, gradcam_layer="layer9")
    with pytest.raises(InputError, match=r"model.gradcam_layer=layer9: resnet18 has no such layer"):
        _ = model.gradcam_target_layer


@pytest.mark.parametrize("name", pretrained.PACKAGED)
def test_installed_weights_are_the_initial_weights(name):
    ours = create_model(backbone=name, pretrained=True).state_dict()
    _, packaged = pretrained.packaged_weights(name)
    same = [
        name for name, value in packaged.items() if torch.equal(ours[f"backbone.{name}"], value)
    ]
    assert set(packaged) - set(same) == {"classifier.weight", "classifier.bias"} & set(packaged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"backbone": "resnet51"},
            "model.backbone=resnet51: timm has no such model; did you mean resnet",
        ),
        ({"backbone": "efficientnet_bo"}, "did you mean efficientnet_b0 or efficientnet_b3 or"),
        ({"backbone": "efficientnet_b0", "attn_layer": "cbam"}, "efficientnet_b0 takes none"),
        (
            {"backbone": "resnet18.nonesuch"},
            "timm has no such weights; choose one of resnet18.a1_in1k",
        ),
        ({"backbone": "hf-hub:timm/resnet18.a1_in1k"}, "timm has no such model; did you mean"),
        ({"backbone": "local-dir:x"}, "timm has no such model"),
        (
            {"backbone": "test_resnet", "attn_layer": "cbm"},
            "cannot be built with it; choose one of",
        ),
        (
            {"backbone": "test_resnet", "attn_layer": ""},
            "has no effect on test_resnet; choose one of se, ",
        ),
        ({"backbone": "resnest14d", "attn_layer": "se"}, "set it for a ResNet only"),
        ({"backbone": "xcit_nano_12_p16_224", "image_size": 90}, "the nearest sizes that fit: 80"),
    ],
)
def test_settings_that_do_not_fit_together_are_reported(arguments, message):
    with pytest.raises(InputError) as got:
        create_model(**arguments, pretrained=False)
    assert message in str(got.value)
    assert "\n" not in str(got.value)


def test_attention_that_would_replace_trained_attention_is_refused(tmp_path):
    torch.save(timm.create_model("seresnet18").state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"model.attn_layer: would replace the pretrained"):
        create_model(backbone="seresnet18", attn_layer="cbam", weights=str(tmp_path / "w.pth"))


def test_restored_model_returns_the_same_logits(tmp_path):
    model = create_model(backbone="resnet18", attn_layer="cbam", pretrained=False).eval()
    save_checkpoint(tmp_path, model, sidecar_of(model))
    again, sidecar = load_checkpoint(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(images), model(images))
    assert replace(sidecar, sha256=None) == sidecar_of(model)


def test_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=r"run/checkpoints: no such folder; give the folder"):
        load_checkpoint(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("damage", ["weights", "sidecar", "other"])
def test_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    model = create_model(backbone="resnet18", pretrained=False)
    save_checkpoint(tmp_path, model, sidecar_of(model))
    if damage == "weights":
        (tmp_path / "best.safetensors").write_bytes(b"short")
    elif damage == "sidecar":
        (tmp_path / "best.json").write_text("{")
    else:
        other = ModelArguments.of(model.arguments | {"backbone": "resnet50"})
        codec.write(tmp_path / "best.json", sidecar_of(model, arguments=other))
    problems = {"weights": "is damaged or does not belong to", "sidecar": "best.json: is damaged"}
    with pytest.raises(InputError, match=problems.get(damage, "contains no usable")) as got:
        load_checkpoint(tmp_path)
    assert "\n" not in str(got.value)


@pytest.mark.parametrize(
    "backbone",
    [
        "efficientnet_b0",
        "resnet50",
        "mobilenetv3_small_050",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
    ],
)
def test_lesion_pooling_returns_logits_and_a_map_for_any_backbone(backbone):
    size = 224 if backbone.endswith("224") else 64
    model = create_model(backbone=backbone, pretrained=False, pooling="lesion").eval()
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        logits, maps = model(images, with_lesions=True)
        assert torch.equal(logits, model(images))
    weighted = torch.rand(1, 256, *maps.shape[2:])
    assert torch.equal(model.gradcam_activation(weighted), weighted)
    assert logits.shape == (2, 3)
    stride = 16 if "vit" in backbone else 8
    assert maps.shape == (2, 1, size // stride, size // stride)


@torch.no_grad()
def test_lesion_pooling_uses_the_features_of_a_small_peak_of_the_map():
    torch.manual_seed(0)
    pooling = LesionPooling([6, 4], num_classes=3).eval()
    coarse, fine = torch.zeros(1, 4, 2, 2), torch.randn(1, 6, 8, 8)
    pooling.lesion.weight *= 1000
    (of_features, _), lesions = pooling([fine, coarse])
    at_peak = fine.flatten(2)[:, :, lesions.flatten().argmax()][..., None, None]
    assert torch.allclose(of_features, pooling([at_peak, coarse])[0][0], atol=1e-3)
    elsewhere = fine.flatten(2)[:, :, lesions.flatten().argmin()][..., None, None]
    assert not torch.allclose(of_features, pooling([elsewhere, coarse])[0][0], atol=1e-3)


@torch.no_grad()
def test_the_map_score_has_its_own_head():
    pooling = LesionPooling([6], num_classes=3).eval()
    images = [torch.randn(4, 6, 8, 8)]
    before, _ = pooling(images)
    pooling.lesion.bias += 8
    after, _ = pooling(images)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    steps = (8 / SPREAD * pooling.classify_strength.weight[:, 0]).expand(4, 3)
    assert torch.allclose(after[1] - before[1], steps, atol=1e-5)


@torch.no_grad()
def test_prediction_is_the_mean_of_both_heads():
    torch.manual_seed(0)
    model = create_model(backbone="resnet10t", pretrained=False, dropout=0, pooling="lesion")
    images = torch.rand(4, 3, 64, 64)
    logits = model.eval()(images)
    model.training = True  # without the other layers
    readings = model(images)
    assert readings.shape == (2, 4, 3)
    assert torch.allclose(logits, readings.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"checkpoint_path": "evil.pth"},
        {"pretrained_cfg_overlay": {"file": "evil.pth"}},
        {"block_args": {"attn_layer": "se", "file": "evil.pth"}},
    ],
)
def test_sidecar_with_an_unknown_argument_is_refused(tmp_path, changes):
    model = create_model(backbone="test_resnet", pretrained=False)
    save_checkpoint(tmp_path, model, sidecar_of(model))
    content = json.loads((tmp_path / "best.json").read_text())
    content["arguments"] |= changes
    (tmp_path / "best.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not an argument of a model"):
        load_checkpoint(tmp_path)


def test_lesion_pooling_can_be_restored_from_a_checkpoint(tmp_path):
    model = create_model(backbone="resnet10t", pretrained=False, pooling="lesion").eval()
    save_checkpoint(tmp_path, model, sidecar_of(model))
    again, _ = load_checkpoint(tmp_path)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model(images), again(images))


def test_input_is_normalised_as_in_the_training_of_the_backbone():
    """Detects the statistics of ImageNet for every backbone."""
    name = "vit_tiny_patch16_224"
    model = create_model(backbone=name, pretrained=False)
    assert model.normalisation.mean == model.normalisation.std == (0.5, 0.5, 0.5)
