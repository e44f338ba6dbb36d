import numpy as np
import pytest
import torch

from btxrd.data.augmentation import ERASED, Augmentation

FILMS = torch.rand(60, 1, 24, 24, generator=torch.Generator().manual_seed(0))


def changed(films=FILMS, seed=0, **settings):
    augmentation = Augmentation(**settings)
    return augmentation.apply(films, augmentation.draw(len(films), seed))


def test_nothing_is_changed_where_nothing_is_asked_for():
    assert torch.allclose(changed(), FILMS, atol=1e-5)
    labels = torch.arange(60) % 3
    plain = Augmentation()
    mixed, same = plain.mix(FILMS, labels, plain.draw(60, 0))
    assert mixed is FILMS
    assert same is labels


SETTINGS = {
    "zoom": 0.3, "aspect": 0.3, "intensity": 0.3, "noise": 0.1, "blur": 2.0, "erase": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_changes_films_and_follows_the_seed(name):
    seed = next(seed for seed in range(20) if Augmentation(blur=1).draw(60, seed).blur > 0)
    settings = {name: SETTINGS[name]}
    one = changed(seed=seed, **settings)
    assert not torch.allclose(one, FILMS, atol=0.01)
    assert torch.equal(one, changed(seed=seed, **settings))
    assert not torch.equal(one, changed(seed=seed + 1, **settings))
    assert one.min() >= 0
    assert one.max() <= 1


def test_a_zoomed_film_shows_a_part_of_it_and_all_parts_in_turn():
    films = torch.zeros(400, 1, 32, 32)
    films[:, :, :16] = 1.0
    shown = changed(films, zoom=0.5).mean((1, 2, 3))
    assert shown.min() < 0.35
    assert shown.max() > 0.65
    assert abs(float(shown.mean()) - 0.41) < 0.03  # smaller films have a black frame


def test_erased_rectangles_are_of_the_size_and_share_that_was_asked_for():
    black = (changed(torch.ones(500, 1, 64, 64), erase=0.4) == 0).float().mean((1, 2, 3))
    assert 0.3 < float((black > 0).float().mean()) < 0.5
    assert black[black > 0].min() > ERASED[0] * 0.7
    assert black.max() < ERASED[1] * 1.2


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_what_is_mixed_is_said_by_the_label_and_by_all_planes(way):
    labels = torch.arange(60) % 3
    planes = labels.float()[:, None, None, None].expand(60, 2, 24, 24) / 2
    augmentation = Augmentation(**{way: 1.0})
    mixed, soft = augmentation.mix(planes, labels, augmentation.draw(60, 3))
    assert soft.shape == (60, 3)
    assert torch.allclose(soft.sum(1), torch.ones(60))
    expected = (soft * torch.tensor([0.0, 0.5, 1.0])).sum(1)
    assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
    assert torch.equal(mixed[:, 0], mixed[:, 1])


def test_mixing_leaves_the_generator_of_dropout_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmentation = Augmentation(mixup=0.4, cutmix=1.0)
    for seed in range(4):
        augmentation.mix(FILMS, torch.arange(60) % 3, augmentation.draw(60, seed))
    assert torch.equal(torch.rand(3), expected)


def test_draws_do_not_depend_on_what_else_is_asked_for():
    flips = Augmentation(flip=True).draw(60, 1).matrices
    more = Augmentation(flip=True, intensity=0.2, erase=0.5, noise=0.1).draw(60, 1).matrices
    assert np.allclose(flips, more)


def test_half_of_the_batches_are_blurred_by_no_more_than_asked():
    """Kills a blur of every batch."""
    sigmas = np.array([Augmentation(blur=2.0).draw(4, seed).blur for seed in range(300)])
    assert 0.4 < (sigmas > 0).mean() < 0.6
    assert 1.8 < sigmas.max() <= 2
