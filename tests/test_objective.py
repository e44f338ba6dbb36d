import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from btxrd.data.batches import Batch
from btxrd.evaluation.gradcam import gradcam_maps
from btxrd.model.classifier import BTXRDClassifier
from btxrd.training.loss import (
    ClassLoss,
    Objective,
    class_maps,
    energy_loss,
    inverse_frequency,
    lesion_loss,
)

COUNTS = torch.tensor([60.0, 30.0, 10.0])
LOGITS = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 3


def test_imbalance_weights_are_scikit_learns_balanced_ones():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [60, 30, 10])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert np.allclose(inverse_frequency(COUNTS).numpy(), balanced)
    found = ClassLoss(COUNTS, "weights")(LOGITS, LABELS)
    weights = torch.from_numpy(balanced).float()
    assert torch.allclose(found, functional.cross_entropy(LOGITS, LABELS, weights))


def test_square_root_weights_are_closer_to_1_with_the_same_mean():
    mild = ClassLoss(COUNTS, "sqrt_weights")._cross_entropy.weight
    full = inverse_frequency(COUNTS)
    assert torch.allclose(mild[2] / mild[0], (full[2] / full[0]).sqrt())
    assert torch.allclose((mild * COUNTS).sum() / COUNTS.sum(), torch.tensor(1.0))


def test_logit_adjustment_raises_the_loss_of_rare_classes():
    found = ClassLoss(COUNTS, "logit_adjustment")(LOGITS, LABELS)
    expected = functional.cross_entropy(LOGITS + (COUNTS / COUNTS.sum()).log(), LABELS)
    assert torch.allclose(found, expected)


def test_focal_loss_is_cross_entropy_times_a_power_of_the_error():
    right = LOGITS.softmax(1)[torch.arange(32), LABELS]
    expected = (-((1 - right) ** 2) * right.log()).mean()
    assert torch.allclose(ClassLoss(COUNTS, "focal")(LOGITS, LABELS), expected)
    soft = functional.one_hot(LABELS).float()
    assert torch.allclose(ClassLoss(COUNTS, "focal")(LOGITS, soft), expected)


@pytest.mark.parametrize("imbalance", ["none", "balanced"])
def test_other_values_of_imbalance_do_not_change_the_loss(imbalance):
    found = ClassLoss(COUNTS, imbalance)(LOGITS, LABELS)
    assert torch.allclose(found, functional.cross_entropy(LOGITS, LABELS))


def a_lesion():
    lesions = torch.zeros(2, 1, 32, 32)
    lesions[0, :, 8:16, 8:16] = 1
    return lesions


def test_lesion_loss_is_small_for_a_map_of_the_lesion():
    right = torch.full((2, 1, 8, 8), -9.0)
    right[0, :, 2:4, 2:4] = 9.0
    aside = right.roll(4, dims=3)
    assert lesion_loss(right, a_lesion()) < 0.01
    assert lesion_loss(aside, a_lesion()) > 1


def test_lesion_loss_equals_a_manual_computation():
    logits = torch.zeros(2, 1, 8, 8)
    entropy = np.log(2) * (124 + 4 * 8) / 128
    dice = (2 * 2 + 1) / (64 + 4 + 1)
    assert lesion_loss(logits, a_lesion()).item() == pytest.approx(entropy + 1 - dice, abs=1e-5)


def test_tumours_without_an_outline_have_no_gradient():
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    lesions = a_lesion()
    lesions[1] = torch.nan
    lesion_loss(logits, lesions).backward()
    assert (logits.grad[0] != 0).all()
    assert (logits.grad[1] == 0).all()
    maps = torch.rand(2, 1, 8, 8, requires_grad=True)
    energy_loss(maps, lesions).backward()
    assert (maps.grad[0] != 0).any()
    assert (maps.grad[1] == 0).all()


def test_energy_loss_is_the_share_outside_the_lesion_and_ignores_normals():
    maps = torch.ones(2, 1, 8, 8)
    assert energy_loss(maps, a_lesion()).item() == pytest.approx(1 - 4 / 64)
    maps[0] = 0
    maps[0, 0, 2, 2] = 5
    assert energy_loss(maps, a_lesion()).item() == pytest.approx(0)
    assert energy_loss(maps, torch.zeros(2, 1, 32, 32)).item() == 0


@pytest.fixture(params=["backbone", "lesion"])
def model(request):
    torch.manual_seed(0)
    classifier = BTXRDClassifier(
        "resnet10t", 3, pretrained=False, lesion_map=True, pooling=request.param
    )
    pooled = classifier.lesion_head if request.param == "lesion" else None
    last = classifier.backbone.fc if pooled is None else pooled.classify
    nn.init.uniform_(last.weight, 0, 0.1)  # so that maps are not empty
    return classifier


def test_maps_in_training_are_those_of_evaluation(model):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    labels = torch.tensor([0, 1, 2])
    shown = list(gradcam_maps(model.eval(), pixels, np.arange(3), labels.numpy()))
    grey = torch.from_numpy(pixels)[:, None].float() / 255
    images, kept = model.normalisation(grey), []
    hook = model.gradcam_target_layer.register_forward_hook(lambda _, __, out: kept.append(out))
    logits = model(images)
    hook.remove()
    maps = class_maps(model, logits, labels, kept[0], 0)
    assert maps.max() > 0
    for ours, theirs in zip(maps[:, 0], shown, strict=True):
        grown = functional.interpolate(ours[None, None], (64, 64), mode="bilinear")[0, 0]
        if grown.max() > 0:
            assert np.allclose((grown / grown.max()).detach(), theirs, atol=1e-3)


def test_the_map_of_a_mixed_image_is_that_of_its_tumour(model):
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mixed = torch.tensor([[0.7, 0.3, 0], [0.6, 0, 0.4], [0, 0.2, 0.8], [1, 0, 0]])

    def maps(labels):
        kept = []
        hook = model.gradcam_target_layer.register_forward_hook(lambda *got: kept.append(got[2]))
        logits = model.eval()(images)
        hook.remove()
        return class_maps(model, logits, labels, kept[0], 0)

    assert torch.allclose(maps(mixed), maps(torch.tensor([1, 2, 2, 0])))


def test_maps_of_a_transformer_are_differentiable():
    model = BTXRDClassifier("vit_tiny_patch16_224", 3, pretrained=False, img_size=32)
    nn.init.uniform_(model.backbone.head.weight, 0, 0.1)
    lesions = torch.zeros(2, 1, 32, 32)
    lesions[..., :16] = 1
    batch = Batch(torch.rand(2, 3, 32, 32), torch.tensor([1, 2]), lesions)
    loss = Objective(nn.CrossEntropyLoss(), "cam", 1.0, 0)(model, batch)
    loss.backward()
    assert model.backbone.blocks[0].attn.qkv.weight.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["lesion", "cam"])
def test_guidance_lowers_its_loss(model, kind):
    model.eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    lesions = torch.zeros(4, 1, 64, 64)
    lesions[:, :, :32, :32] = 1
    batch = Batch(images, torch.tensor([1, 2, 1, 2]), lesions)

    def guided():
        plain = Objective(nn.CrossEntropyLoss(), kind, 0.0, 0)(model, batch)
        return (Objective(nn.CrossEntropyLoss(), kind, 1.0, 0)(model, batch) - plain).item()

    before = guided()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        Objective(nn.CrossEntropyLoss(), kind, 5.0, 0)(model, batch).backward()
        optimiser.step()
    assert guided() < 0.6 * before


def test_each_head_has_its_own_loss():
    readings, labels = torch.randn(2, 4, 3), torch.tensor([0, 1, 2, 1])
    got = Objective(nn.CrossEntropyLoss())(lambda _: readings, Batch(torch.zeros(4), labels))
    apart = [functional.cross_entropy(logits, labels) for logits in readings]
    assert got.item() == pytest.approx(torch.stack(apart).mean().item())
    assert got.item() != pytest.approx(functional.cross_entropy(readings.mean(0), labels).item())


@pytest.mark.parametrize(
    "backbone", ["efficientnet_b0", "efficientnet_b3", "resnet50", "vit_tiny_patch16_224"]
)
def test_a_lesion_map_has_stride_16_and_does_not_change_the_logits(backbone):
    size = 224 if "vit" in backbone else 64
    model = BTXRDClassifier(backbone, 3, pretrained=False, lesion_map=True).eval()
    images = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        logits, maps = model(images, with_lesions=True)
        assert torch.allclose(logits, model(images), atol=1e-5)
    assert maps.shape == (1, 1, size // 16, size // 16)
