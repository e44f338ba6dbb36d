import threading

import numpy as np
import pytest
import torch

from btxrd.data.augmentation import Augmentation, transform
from btxrd.data.batches import (
    Normalisation,
    TrainingBatches,
    evaluation_batches,
    prefetch,
)

PLAIN = Normalisation((0.0,), (1.0,))
CPU = torch.device("cpu")
SIZE = 16


@pytest.fixture
def pixels():
    """Ten images; all pixels of image i have the grey value 20 * i."""
    return np.broadcast_to(np.arange(0, 200, 20, dtype=np.uint8)[:, None, None], (10, SIZE, SIZE))


def training(pixels, **changes):
    settings = {"augmentation": Augmentation(), "batch_size": 3, "seed": 0, "device": CPU}
    rows, labels = np.arange(1, 10), np.arange(10) % 3
    return TrainingBatches(pixels, rows, labels, PLAIN, **settings | changes)


def seen(batches, epoch=1):
    """Return the mean grey values and the labels of the views of an epoch, in order."""
    pairs = list(batches.epoch(epoch))
    grey = torch.cat([images.mean(dim=(1, 2, 3)) for images, *_ in pairs])
    return (grey * 255 / 20).numpy(), torch.cat([labels for _, labels, _ in pairs]).numpy()


def test_every_training_image_is_used_once_with_its_label(pixels):
    grey, labels = seen(training(pixels))
    rows = grey.round().astype(int)
    assert sorted(rows) == list(range(1, 10))
    assert (rows % 3 == labels).all()


def test_batches_have_one_size_and_contain_all_images(pixels):
    batches = training(pixels, batch_size=8)
    sizes = [len(labels) for _, labels, _ in batches.epoch(1)]
    assert sizes == [batches.batch_size] * batches.batches == [5, 5]
    rows = seen(batches)[0].round().astype(int)
    assert set(rows) == set(range(1, 10))


def test_the_next_item_is_computed_while_one_is_used():
    started, order = [threading.Event() for _ in range(3)], []

    def work(item):
        started[item].set()
        return item

    for item in prefetch(work, range(3)):
        order.append(item)
        assert started[min(item + 1, 2)].wait(10)
    assert order == [0, 1, 2]


def test_an_error_in_the_next_item_is_raised_when_it_is_requested():
    ahead = prefetch(lambda item: 1 / item, [1, 0])
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_order_depends_on_seed_and_epoch(pixels):
    order = seen(training(pixels))[0]
    assert (order == seen(training(pixels))[0]).all()
    assert (order != seen(training(pixels), epoch=2)[0]).any()
    assert (order != seen(training(pixels, seed=1))[0]).any()


def test_tumours_have_a_second_view_with_dimmed_background(pixels):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:8, 4:12] = 1
    batches = training(pixels, masks={6: mask}, dim=0.5, batch_size=100)
    ((images, *_),) = batches.epoch(1)
    views = (images[:, 0] * 255 / 20).numpy()
    plain = [view for view in views if np.allclose(view, view[0, 0])]
    (guided,) = [view for view in views if not np.allclose(view, view[0, 0])]
    assert len(plain) == 9
    assert np.allclose(guided, np.where(mask, 6, 3))
    assert batches.class_counts.tolist() == [4, 3, 3]


def test_evaluation_yields_each_image_once_in_order(pixels):
    batches = evaluation_batches(pixels, np.array([7, 2, 5]), PLAIN, batch_size=2, device=CPU)
    grey = torch.cat([images.mean(dim=(1, 2, 3)) for images in batches]) * 255 / 20
    assert grey.round().tolist() == [7, 2, 5]


def test_normalisation_fills_the_channels_of_the_backbone():
    out = Normalisation((0.5, 0.25), (0.5, 1.0))(torch.ones(3, 1, 4, 4))
    assert out.shape == (3, 2, 4, 4)
    assert out[0, :, 0, 0].tolist() == [1.0, 0.75]


def test_transform_without_settings_changes_nothing():
    inputs = torch.rand(4, 1, SIZE, SIZE)
    turned = transform(inputs, Augmentation().draw(len(inputs), seed=0).matrices)
    assert torch.allclose(turned, inputs, atol=1e-6)


def test_transform_flips_about_half_of_the_images():
    inputs = torch.rand(200, 1, 8, 8)
    turned = transform(inputs, Augmentation(flip=True).draw(len(inputs), seed=0).matrices)
    flipped = [
        torch.allclose(a.flip(-1), b, atol=1e-5) for a, b in zip(inputs, turned, strict=True)
    ]
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(inputs, turned, strict=True)]
    assert all(f != k for f, k in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


def test_transform_rotates_up_to_the_limit():
    inputs = torch.zeros(50, 1, 65, 65)
    inputs[:, :, 32, 60] = 1.0  # a dot right of the middle, 28 pixels from it
    turned = (
        transform(inputs, Augmentation(rotation=20.0).draw(len(inputs), seed=0).matrices)[:, 0]
        .flatten(1)
        .argmax(1)
    )
    angles = torch.rad2deg(torch.atan2(turned // 65 - 32.0, turned % 65 - 32.0))
    assert 12 < angles.abs().max() < 22
    assert angles.min() < 0 < angles.max()


def lesioned(pixels, **changes):
    """Batches with lesions: image 4 (benign) has an outline, other tumours have none."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:8, 4:12] = 1
    return training(pixels, masks={4: mask}, with_lesions=True, batch_size=100, **changes), mask


def test_lesions_belong_to_their_image_and_are_unknown_without_an_outline(pixels):
    batches, mask = lesioned(pixels)
    (batch,) = batches.epoch(1)
    rows = (batch.images.mean((1, 2, 3)) * 255 / 20).round().int().tolist()
    assert len(rows) == 9  # no image is used twice
    for row, lesions in zip(rows, batch.lesions[:, 0].numpy(), strict=True):
        if row == 4:
            assert np.allclose(lesions, mask, atol=1e-5)
        else:
            assert np.isnan(lesions).all() if row % 3 else (lesions == 0).all()


def test_lesions_are_transformed_with_their_image():
    pixels = np.zeros((10, 33, 33), np.uint8)
    pixels[:, 5:12, 20:30] = 255
    masks = {row: (pixels[row] > 0).astype(np.uint8) for row in range(10)}
    augmentation = Augmentation(flip=True, rotation=30, zoom=0.4, aspect=0.2)
    batches = TrainingBatches(
        pixels, np.arange(10), np.ones(10, int), PLAIN, augmentation,
        masks=masks, with_lesions=True, batch_size=10, seed=0, device=CPU,
    )  # fmt: skip
    (batch,) = batches.epoch(1)
    assert torch.allclose(batch.images, batch.lesions, atol=1e-6)
    assert not torch.allclose(batch.lesions[0], torch.from_numpy(masks[0]).float(), atol=0.5)


def test_balanced_batches_contain_each_class_equally_often():
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    pixels = np.broadcast_to(np.uint8(0), (1000, 4, 4))
    batches = TrainingBatches(
        pixels, np.arange(1000), labels, PLAIN, Augmentation(),
        balanced=True, batch_size=100, seed=0, device=CPU,
    )  # fmt: skip
    shown = torch.cat([batch.labels for batch in batches.epoch(1)])
    assert (torch.bincount(shown) > 270).all()


def test_augmentation_depends_on_seed_epoch_and_batch():
    """Detects an augmentation that repeats itself, or that a resumed training would not repeat."""
    pixels = np.broadcast_to(np.arange(SIZE, dtype=np.uint8), (2, SIZE, SIZE))

    def images(seed=0, epoch=1):
        batches = TrainingBatches(
            pixels, np.arange(2), np.zeros(2, int), PLAIN, Augmentation(rotation=40, noise=0.1),
            batch_size=1, seed=seed, device=CPU,
        )  # fmt: skip
        return [batch.images for batch in batches.epoch(epoch)]

    first, second = images()
    assert not torch.equal(first, second)
    assert torch.equal(first, images()[0])
    assert not torch.equal(first, images(epoch=2)[0])
    assert not torch.equal(first, images(seed=1)[0])


@pytest.mark.parametrize("first", [1, 2])
def test_an_epoch_can_resume_at_any_batch(pixels, first):
    """Detects a resumed epoch with new random numbers, or from the first batch."""
    batches = training(pixels, augmentation=Augmentation(rotation=40, noise=0.1))
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, first))
    assert len(rest) == len(whole) - first
    for one, other in zip(whole[first:], rest, strict=True):
        assert torch.equal(one.images, other.images)
