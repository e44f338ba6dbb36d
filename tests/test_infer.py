"""Inference writes the right rows, with a model that needs no training."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from btxrd.artifacts.gallery import GALLERY, OUTCOMES, read_gallery
from btxrd.artifacts.tables import (
    GRADCAM,
    LESION_MAPS,
    PREDICTIONS,
    SHORTCUTS,
    labels_and_probs,
    read_table,
)
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.batches import Normalisation
from btxrd.data.dataset import Dataset, load_dataset
from btxrd.evaluation import examples as example_step
from btxrd.evaluation.examples import MOST, choose_examples
from btxrd.evaluation.gradcam import gradcam_maps, lesion_maps, score_maps
from btxrd.evaluation.infer import infer
from btxrd.evaluation.inference import MASKED, predict, regions
from btxrd.evaluation.localisation import SCORES

SIZE = 40


class ThreeFilters(nn.Module):
    """A class per random filter, so that maps of the classes differ; a lesion head beside them."""

    def __init__(self):
        super().__init__()
        self.arguments, self.test_flip = {"backbone": "toy"}, False
        self.normalisation, self.device = Normalisation((0.5,), (0.25,)), torch.device("cpu")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv2d(1, 4, 5, padding=2)
        self.lesion_head = nn.Identity()

    @property
    def gradcam_target_layer(self):
        return self.layer

    def gradcam_activation(self, activation):
        return activation

    def forward(self, images, with_lesions=False):
        features = self.layer(images)
        logits = 4 * features[:, :3].relu().mean(dim=(2, 3))
        return (logits, features[:, 3:, ::5, ::5]) if with_lesions else logits


@dataclass(frozen=True)
class Inferred:
    model: ThreeFilters
    dataset: Dataset
    run_dir: Path

    def table(self, kind):
        return read_table(self.run_dir, kind, self.dataset.class_names.names)


@pytest.fixture(scope="module")
def dataset(phantom, tmp_path_factory):
    data = DataConfig(root=str(phantom), cache=str(tmp_path_factory.mktemp("cache")))
    found = load_dataset(data, SplitConfig(strategy="stratified", test=0.4), SIZE)
    rows = found.rows("test")
    without = found.cases["stem"].iloc[rows[found.labels[rows] == 1][0]]
    lesions = {stem: mask for stem, mask in found.lesions.items() if stem != without}
    return replace(found, lesions=lesions)  # a test tumour has no outline


@pytest.fixture(scope="module")
def inferred(dataset, tmp_path_factory):
    model, run_dir = ThreeFilters().eval(), tmp_path_factory.mktemp("run")
    infer(model, dataset, run_dir)
    return Inferred(model, dataset, run_dir)


def ids(inferred, rows):
    return inferred.dataset.cases["image_id"].iloc[rows].tolist()


def probs_of(inferred, table):
    return labels_and_probs(table, inferred.dataset.class_names.names)[1]


@pytest.mark.parametrize("partition", ["val", "test"])
def test_predictions_are_of_the_cases_of_their_partition(inferred, partition):
    """Detects predictions of train, of other rows, or in another order."""
    table, rows = inferred.table(PREDICTIONS), inferred.dataset.rows(partition)
    assert set(table["partition"]) == {"val", "test"}
    table = table[table["partition"] == partition]
    assert table["image_id"].tolist() == ids(inferred, rows)
    labels, probs = labels_and_probs(table, inferred.dataset.class_names.names)
    assert labels.tolist() == inferred.dataset.labels[rows].tolist()
    want = predict(inferred.model, inferred.dataset.pixels, rows)
    assert probs == pytest.approx(want, abs=1e-9)


def tumours(inferred):
    """Return the rows of the test tumours with an outline."""
    return np.array(list(inferred.dataset.masks(inferred.dataset.rows("test"))))


def test_gradcam_has_one_row_per_test_tumour_with_an_outline(inferred):
    """Detects maps of val, of normals, or of tumours without an outline."""
    dataset, table = inferred.dataset, inferred.table(GRADCAM)
    rows = tumours(inferred)
    assert len(rows) < (dataset.labels[dataset.rows("test")] > 0).sum()
    assert table["image_id"].tolist() == ids(inferred, rows)
    cases = dataset.cases.iloc[rows]
    for column in ("group", "center"):
        assert table[column].tolist() == cases[column].tolist()
    names = dataset.class_names.names
    assert table["label"].tolist() == [names[label] for label in cases["label"]]
    probs = predict(inferred.model, dataset.pixels, rows)
    assert table["predicted"].tolist() == [names[label] for label in probs.argmax(axis=1)]


def scores_of(inferred, targets):
    rows = tumours(inferred)
    masks = list(inferred.dataset.masks(rows).values())
    maps = gradcam_maps(inferred.model, inferred.dataset.pixels, rows, targets)
    return score_maps(maps, masks)["energy_inside"].to_numpy(float)


def test_gradcam_is_of_the_true_class(inferred):
    """Detects Grad-CAM of the predicted class."""
    rows = tumours(inferred)
    found = inferred.table(GRADCAM)["energy_inside"].to_numpy()
    assert found == pytest.approx(
        scores_of(inferred, inferred.dataset.labels[rows]), abs=1e-6, nan_ok=True
    )
    predicted = predict(inferred.model, inferred.dataset.pixels, rows).argmax(axis=1)
    other = scores_of(inferred, predicted)
    assert not np.allclose(found, other, atol=1e-3, equal_nan=True)


def test_lesion_maps_are_of_all_test_images_and_scored_for_tumours(inferred):
    """Detects Grad-CAM scores in lesion_maps.csv."""
    dataset, rows = inferred.dataset, inferred.dataset.rows("test")
    with np.load(inferred.run_dir / "lesion_maps.npz") as saved:
        assert saved["image_id"].tolist() == ids(inferred, rows)
        want = np.stack(list(lesion_maps(inferred.model, dataset.pixels, rows)))
        assert saved["maps"] == pytest.approx(want, abs=1e-3)
    table, gradcam = inferred.table(LESION_MAPS), inferred.table(GRADCAM)
    assert table["image_id"].tolist() == gradcam["image_id"].tolist()
    assert (table["lesion_share"] == gradcam["lesion_share"]).all()
    assert not table[list(SCORES)].equals(gradcam[list(SCORES)])


def test_every_variant_has_the_test_images_that_can_be_masked(inferred):
    """Detects variants of val, or of tumours without an outline."""
    dataset, table = inferred.dataset, inferred.table(SHORTCUTS)
    rows = dataset.rows("test")
    kept = [row for row in rows if row in dataset.masks(rows) or dataset.labels[row] == 0]
    assert len(kept) < len(rows)
    assert table["variant"].unique().tolist() == [
        "unmodified", *MASKED, "center_and_size", "table",
    ]  # fmt: skip
    for _, part in table.groupby("variant"):
        assert part["image_id"].tolist() == ids(inferred, kept)


def test_a_variant_is_predicted_from_its_masked_images(inferred):
    """Detects unmasked images, or the regions of other rows."""
    dataset, table = inferred.dataset, inferred.table(SHORTCUTS).set_index("variant")
    rows = np.flatnonzero(dataset.cases["image_id"].isin(table.loc["unmodified", "image_id"]))
    stored = inferred.table(PREDICTIONS).set_index("image_id").loc[ids(inferred, rows)]
    assert (probs_of(inferred, stored) == probs_of(inferred, table.loc["unmodified"])).all()
    areas = regions(dataset, rows)
    for name, mask in MASKED.items():
        images = np.stack([mask(dataset.pixels[r], a) for r, a in zip(rows, areas, strict=True)])
        want = predict(inferred.model, images, np.arange(len(rows)))
        assert probs_of(inferred, table.loc[name]) == pytest.approx(want, abs=1e-9)


def test_if_val_is_test_each_case_is_listed_once_as_test(inferred, tmp_path):
    dataset = inferred.dataset
    partitions = dataset.cases["partition"].replace("val", "train")
    shared = replace(dataset, cases=dataset.cases.assign(partition=partitions))
    infer(inferred.model, shared, tmp_path)
    table = read_table(tmp_path, PREDICTIONS, dataset.class_names.names)
    assert set(table["partition"]) == {"test"}
    assert table["image_id"].tolist() == ids(inferred, dataset.rows("test"))


def test_a_model_without_a_lesion_head_has_no_lesion_maps(inferred, tmp_path):
    model = ThreeFilters().eval()
    model.lesion_head = None
    infer(model, inferred.dataset, tmp_path)
    assert (tmp_path / GRADCAM.name).is_file()
    assert not list(tmp_path.glob("lesion_maps*"))


def cases_of(*cases):
    """Cases with a label, a predicted class and a confidence; their rows count from 10."""
    test = pd.DataFrame(cases, columns=["label", "predicted", "confidence"])
    return test.set_index(test.index + 10)


def test_examples_are_the_most_confident_of_their_outcome(inferred):
    test = cases_of((0, 0, 0.5), (0, 0, 0.9), (2, 2, 0.7), (2, 0, 0.8), (2, 1, 0.6), (1, 0, 0.4))
    found = choose_examples(test, inferred.dataset.class_names)
    assert (found["normal_true_positive"], found["malignant_true_positive"]) == (11, 12)
    assert found["malignant_false_negative"] == 13


def test_examples_of_different_outcomes_are_different_cases(inferred):
    """Detects a miss of one class that is shown as the false alarm of another one, too."""
    test = cases_of((2, 0, 0.9), (2, 1, 0.8), (1, 0, 0.7), (0, 1, 0.6), (1, 2, 0.5), (0, 2, 0.4))
    found = choose_examples(test, inferred.dataset.class_names)
    assert len(found) == len(set(found.values())) == 6
    assert found["malignant_false_negative"] in (10, 11)


def test_only_case_of_two_outcomes_is_shown_for_both(inferred):
    found = choose_examples(cases_of((2, 0, 0.9)), inferred.dataset.class_names)
    assert found == {"malignant_false_negative": 10, "normal_false_positive": 10}


def test_gallery_shows_each_case_once_and_the_most_confident_first(inferred):
    dataset, gallery = inferred.dataset, read_gallery(inferred.run_dir)
    focus, table = dataset.class_names.focus, inferred.table(PREDICTIONS).set_index("image_id")
    shown = [image.image_id for image in gallery.images]
    assert len(shown) == len(set(shown)) > 0
    for image in gallery.images:
        is_focus = (image.label == focus, image.predicted == focus)
        assert image.outcome == {(True, False): "missed", (False, True): "false_alarm",
                                 (True, True): "found"}[is_focus]  # fmt: skip
        assert table["partition"][image.image_id] == "test"
    for outcome in OUTCOMES:
        tops = [max(image.probs) for image in gallery.images if image.outcome == outcome]
        assert tops == sorted(tops, reverse=True)
        assert len(tops) == min(gallery.counts[outcome], MOST)


def test_pictures_of_the_gallery_are_small(inferred):
    folder, gallery = inferred.run_dir / GALLERY, read_gallery(inferred.run_dir)
    for image in gallery.images:
        with Image.open(folder / image.film) as film, Image.open(folder / image.map) as overlay:
            assert (film.size, overlay.size, overlay.mode) == ((260, 260), (52, 52), "RGBA")
    assert len(list(folder.iterdir())) == 1 + 2 * len(gallery.images)


def test_outline_of_the_gallery_is_that_of_the_lesion():
    mask = np.zeros((100, 100), np.uint8)
    mask[20:40, 50:80] = 1
    (outline,) = example_step._outlines(mask)
    assert np.min(outline, axis=0) == pytest.approx([0.5, 0.2], abs=0.01)
    assert np.max(outline, axis=0) == pytest.approx([0.8, 0.4], abs=0.01)


def test_pictures_show_gradcam_of_the_predicted_class(inferred, tmp_path, monkeypatch):
    """Detects pictures of the true class, of other images, or with the outlines of others."""
    dataset, rows = inferred.dataset, inferred.dataset.rows("test")
    drawn = {}
    monkeypatch.setattr(
        example_step, "draw_overlay", lambda path, *shown: drawn.update({path.stem: shown})
    )
    infer(inferred.model, dataset, tmp_path)
    probs = predict(inferred.model, dataset.pixels, rows)
    test = dataset.cases.iloc[rows].assign(
        predicted=probs.argmax(axis=1), confidence=probs.max(axis=1)
    )
    examples = choose_examples(test, dataset.class_names)
    written = {path.stem for path in (inferred.run_dir / "gradcam").iterdir()}
    assert written == set(drawn) == set(examples)
    assert any("false_negative" in name for name in drawn)
    for name, (image, maps, lesion, title) in drawn.items():
        row = examples[name]
        assert (image == dataset.pixels[row]).all()
        assert (lesion is None) == (row not in dataset.masks(rows))
        target = np.array([test.loc[row, "predicted"]])
        (want,) = gradcam_maps(inferred.model, dataset.pixels, np.array([row]), target)
        assert maps["Grad-CAM of the predicted class"] == pytest.approx(want, abs=1e-6)
        assert title.startswith(test.loc[row, "image_id"])
