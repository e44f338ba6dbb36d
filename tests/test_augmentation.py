import numpy as np
import pytest
import torch

from btxrd.data.augmentation import ERASED, Augmentation

IMAGES = torch.rand(60, 1, 24, 24, generator=torch.Generator().manual_seed(0))


def changed(images=IMAGES, seed=0, **settings):
    augmentation = Augmentation(**settings)
    return augmentation.apply(images, augmentation.draw(len(images), seed))


def test_default_settings_change_nothing():
    assert torch.allclose(changed(), IMAGES, atol=1e-5)
    labels = torch.arange(60) % 3
    plain = Augmentation()
    mixed, same = plain.mix(IMAGES, labels, plain.draw(60, 0))
    assert mixed is IMAGES
    assert same is labels


SETTINGS = {
    "zoom": 0.3, "aspect": 0.3, "intensity": 0.3, "noise": 0.1, "blur": 2.0, "erase": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_changes_images_and_depends_on_the_seed(name):
    seed = next(seed for seed in range(20) if Augmentation(blur=1).draw(60, seed).blur > 0)
    settings = {name: SETTINGS[name]}
    one = changed(seed=seed, **settings)
    assert not torch.allclose(one, IMAGES, atol=0.01)
    assert torch.equal(one, changed(seed=seed, **settings))
    assert not torch.equal(one, changed(seed=seed + 1, **settings))
    assert one.min() >= 0
    assert one.max() <= 1


def test_a_zoomed_image_shows_varying_parts():
    images = torch.zeros(400, 1, 32, 32)
    images[:, :, :16] = 1.0
    shown = changed(images, zoom=0.5).mean((1, 2, 3))
    assert shown.min() < 0.35
    assert shown.max() > 0.65
    assert abs(float(shown.mean()) - 0.41) < 0.03  # smaller images have a black frame


def test_erased_rectangles_have_the_requested_size_and_share():
    black = (changed(torch.ones(500, 1, 64, 64), erase=0.4) == 0).float().mean((1, 2, 3))
    assert 0.3 < float((black > 0).float().mean()) < 0.5
    assert black[black > 0].min() > ERASED[0] * 0.7
    assert black.max() < ERASED[1] * 1.2


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_and_all_planes_are_mixed_alike(way):
    labels = torch.arange(60) % 3
    planes = labels.float()[:, None, None, None].expand(60, 2, 24, 24) / 2
    augmentation = Augmentation(**{way: 1.0})
    mixed, soft = augmentation.mix(planes, labels, augmentation.draw(60, 3))
    assert soft.shape == (60, 3)
    assert torch.allclose(soft.sum(1), torch.ones(60))
    expected = (soft * torch.tensor([0.0, 0.5, 1.0])).sum(1)
    assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
    assert torch.equal(mixed[:, 0], mixed[:, 1])


def test_mixing_does_not_change_the_generator_of_dropout():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmentation = Augmentation(mixup=0.4, cutmix=1.0)
    for seed in range(4):
        augmentation.mix(IMAGES, torch.arange(60) % 3, augmentation.draw(60, seed))
    assert torch.equal(torch.rand(3), expected)


def test_draws_do_not_depend_on_other_settings():
    flips = Augmentation(flip=True).draw(60, 1).matrices
    more = Augmentation(flip=True, intensity=0.2, erase=0.5, noise=0.1).draw(60, 1).matrices
    assert np.allclose(flips, more)


def test_half_of_the_batches_are_blurred_up_to_the_limit():
    """Detects a blur of every batch."""
    sigmas = np.array([Augmentation(blur=2.0).draw(4, seed).blur for seed in range(300)])
    assert 0.4 < (sigmas > 0).mean() < 0.6
    assert 1.8 < sigmas.max() <= 2
