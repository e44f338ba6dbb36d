"""Check which cases, labels and settings `train_eval` passes to `fit`, without training."""

import math
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from btxrd import train_eval as module
from btxrd.artifacts.sidecar import ModelArguments, Preprocessing, Sidecar, read_sidecar
from btxrd.artifacts.tables import HistoryRow
from btxrd.config.schema import (
    AnnotationsConfig,
    Config,
    DataConfig,
    ModelConfig,
    SplitConfig,
    TrainingConfig,
)
from btxrd.data.augmentation import Augmentation
from btxrd.data.dataset import Dataset
from btxrd.model.classifier import BTXRDClassifier
from btxrd.runtime.device import make_reproducible
from btxrd.train_eval import _train

SIZE, COUNT = 32, 30
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 0] * 3)
PARTS = np.array(["train"] * 14 + ["val"] * 7 + ["test"] * 9)
RECIPE = TrainingConfig(
    epochs=7, batch_size=5, lr=0.011, weight_decay=0.012, warmup_epochs=2, patience=3,
    layer_decay=0.9, ema=0.8, label_smoothing=0.25, imbalance="weights", flip=False,
    rotation=0.31, zoom=0.32, aspect=0.33, intensity=0.34, noise=0.35, blur=0.36, erase=0.37,
    mixup=0.38, cutmix=0.39,
)  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    """Return cases whose pixels identify their row; every tumour has an outline."""
    pixels = np.lib.format.open_memmap(
        tmp_path / "pixels.npy", mode="w+", dtype=np.uint8, shape=(COUNT, SIZE, SIZE)
    )
    pixels[:] = np.random.default_rng(0).integers(0, 256, pixels.shape)
    stems = [f"a{row}" for row in range(COUNT)]
    cases = pd.DataFrame(
        {"stem": stems, "image_id": stems, "label": LABELS, "center": 1, "group": stems}
    ).assign(partition=PARTS)
    mask = np.eye(SIZE, dtype=np.uint8)
    lesions = {stem: mask for stem, label in zip(stems, LABELS, strict=True) if label}
    return Dataset(cases, pixels, lesions, ())


@pytest.fixture
def given(dataset, tmp_path, monkeypatch):
    """Return the arguments of `fit` for a config."""

    def of(kind="none", **changes):
        config = Config(
            model=ModelConfig(backbone="test_resnet", image_size=SIZE),
            data=DataConfig(root="root"),
            split=SplitConfig(strategy="stratified"),
            annotations=AnnotationsConfig(kind=kind, dim=0.25, weight=0.75),
            training=replace(RECIPE, **changes),
            seed=17,
        )
        torch.manual_seed(0)
        model = BTXRDClassifier("test_resnet", 3, pretrained=False, lesion_map=kind == "lesion")
        sidecar = Sidecar(
            model.arguments, ("x", "y", "z"), "z", "x", SIZE,
            Preprocessing(2.0, 8, (0.5,), (0.2,)), "f", "s", "h", 0,
        )  # fmt: skip
        taken = SimpleNamespace(model=model)

        def fit(model, batches, validate, keep_best, **settings):
            taken.batches, taken.validate, taken.keep_best = batches, validate, keep_best
            taken.settings = settings
            return []

        monkeypatch.setattr(module, "fit", fit)
        _train(model, config, dataset.sealed(), sidecar, tmp_path, None)
        return taken

    return of


def test_epochs_are_compared_by_the_unweighted_val_loss(given, dataset):
    """Detects the choice of the epoch on training cases, or by a weighted or smoothed loss."""
    taken, val = given(), PARTS == "val"
    found = taken.validate()
    probs = module.predict(taken.model, dataset.pixels, np.flatnonzero(val))
    assert found.loss == pytest.approx(log_loss(LABELS[val], probs))
    assert found.accuracy == pytest.approx((probs.argmax(1) == LABELS[val]).mean())
    area = roc_auc_score(LABELS[val], probs, multi_class="ovr")
    assert found.macro_auc == pytest.approx(area)


def test_only_training_cases_are_used_for_steps(given):
    """Detects training on val or test cases."""
    batches = given(imbalance="none", mixup=0.0, cutmix=0.0).batches
    shown = torch.cat([batch.labels for batch in batches.epoch(1)])[: batches.views]
    assert sorted(shown.tolist()) == sorted(LABELS[PARTS == "train"].tolist())
    assert batches._rows.tolist() == np.flatnonzero(PARTS == "train").tolist()


@pytest.mark.parametrize(("kind", "times"), [("none", 1), ("guided", 2), ("lesion", 1)])
def test_class_weights_depend_on_the_number_of_training_views(given, kind, times):
    """Detects weights from counts over all cases, or without the second views."""
    counts = np.bincount(LABELS[PARTS == "train"]) * [1, times, times]
    weights = given(kind).settings["objective"].class_loss._cross_entropy.weight
    assert weights.tolist() == pytest.approx((counts.sum() / (3 * counts)).tolist())


@pytest.mark.parametrize("kind", ["guided", "lesion", "cam"])
def test_outlines_are_those_of_training_tumours(given, kind):
    """Detects outlines of val or test in training."""
    masks = given(kind).batches._masks
    assert sorted(masks) == np.flatnonzero((PARTS == "train") & (LABELS > 0)).tolist()


def test_only_guided_dims_and_only_lesion_and_cam_use_lesion_losses(given):
    """Detects a kind of guidance with the effect of another one."""
    found = {kind: given(kind) for kind in ("none", "guided", "lesion", "cam")}
    assert {kind: of.batches._dim for kind, of in found.items()} == {
        "none": None, "guided": 0.25, "lesion": None, "cam": None,
    }  # fmt: skip
    learns = {kind for kind, of in found.items() if of.batches._with_lesions}
    assert learns == {"lesion", "cam"}
    assert found["cam"].settings["objective"]._weight == 0.75


def test_every_setting_of_the_recipe_is_used(given):
    """Detects a setting that is ignored, or confused with another one."""
    taken = given("cam")
    for name in ("epochs", "lr", "weight_decay", "layer_decay", "warmup_epochs", "patience", "ema"):
        assert taken.settings[name] == getattr(RECIPE, name), name
    assert (taken.settings["seed"], taken.batches._seed) == (17, 17)
    assert taken.batches.batch_size == math.ceil(14 / 3)
    for item in fields(Augmentation):
        assert getattr(taken.batches._augmentation, item.name) == getattr(RECIPE, item.name)
    assert taken.settings["objective"].class_loss._cross_entropy.label_smoothing == 0.25


@pytest.mark.parametrize("imbalance", ["weights", "sqrt_weights", "none", "balanced", "focal"])
def test_imbalance_is_corrected_by_the_configured_method(given, imbalance):
    """Detects a correction that is not configured."""
    taken = given(imbalance=imbalance)
    loss = taken.settings["objective"].class_loss
    assert (loss._cross_entropy.weight is not None) == ("weights" in imbalance)
    assert taken.batches._balanced == (imbalance == "balanced")
    assert (loss._gamma > 0) == (imbalance == "focal")
    assert not loss.prior.any()


@pytest.mark.parametrize(("patience", "epochs"), [(3, 4), (9, 7)])
def test_compilation_depends_on_the_smallest_number_of_remaining_images(
    given, monkeypatch, patience, epochs
):
    """Detects a count with images that early stopping may skip."""
    asked = []
    monkeypatch.setattr(module, "compile_if_worthwhile", lambda *of, twice: asked.append(of))
    batches = given(patience=patience).batches
    _, wanted, images, size = asked[0]
    assert (wanted, size) == ("auto", SIZE)
    assert images == epochs * batches.batches * batches.batch_size


def test_a_training_is_resumed_only_with_the_same_images_and_partitions(given, dataset):
    """Detects a resumed training that mixes two splits."""
    name = given().settings["data"]
    assert name == dataset.sealed().identity
    swapped = PARTS.copy()
    swapped[[0, 14]] = swapped[[14, 0]]
    assert replace(dataset, cases=dataset.cases.assign(partition=swapped)).identity != name


def test_the_checkpoint_names_its_epoch_and_its_val_metrics(given, tmp_path):
    """Detects a sidecar with the metrics of training, or of another epoch."""
    taken = given()
    taken.keep_best(HistoryRow(4, 0.1, 0.2, 0.3, 0.4, math.nan, 5.0, 6.0))
    sidecar = read_sidecar(tmp_path)
    assert sidecar.epoch == 4
    assert sidecar.val == {"val_loss": 0.3, "val_accuracy": 0.4, "val_macro_auc": None}


def test_the_sidecar_describes_the_preprocessing(given, dataset):
    """Detects a checkpoint with a different preprocessing from the training."""
    config = Config(
        model=ModelConfig(backbone="test_resnet", image_size=48),
        data=DataConfig(root="root", clahe_clip=3.5, clahe_tiles=4, aspect="keep"),
        split=SplitConfig(strategy="kfold", fold=2),
        annotations=AnnotationsConfig(kind="none"),
    )
    model = given().model
    sidecar = module._sidecar(model, config, dataset, "the fingerprint")
    normalisation = model.normalisation
    assert sidecar.preprocessing == Preprocessing(
        3.5, 4, normalisation.mean, normalisation.std, "keep"
    )
    assert (sidecar.image_size, sidecar.fingerprint) == (48, "the fingerprint")
    assert sidecar.split == "kfold (fold 2 of 5)"
    assert sidecar.class_names == dataset.class_names
    assert sidecar.arguments == ModelArguments.of(model.arguments)


def test_a_run_computes_reproducibly_and_evaluates_in_float32():
    """Detects TF32, autotuning, and a seed that is not set."""
    make_reproducible(23)
    assert torch.initial_seed() == 23
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
