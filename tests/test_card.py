import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from btxrd.artifacts.metrics import read_metrics
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.evaluation import card as cards
from btxrd.evaluation.metrics import METRICS

FORMAT_1 = Path(__file__).parent / "fixtures" / "format-1"
(COMPLETE,) = (path.parent for path in FORMAT_1.rglob("metrics.json"))


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(COMPLETE, tmp_path / "run"))


def card_of(run_dir, metrics=None, **settings):
    """Write the card of a run, with settings by their dotted key."""
    path = run_dir / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for key, value in settings.items():
        section, _, name = key.partition("__")
        config[section][name] = value
    path.write_text(yaml.safe_dump(config))
    return cards.card_of(run_dir, metrics or read_metrics(run_dir))


def test_every_metric_of_the_table_is_on_the_card(run):
    card, metrics = card_of(run), read_metrics(run)
    for metric in METRICS:
        assert metric.heading(metrics.class_names) in card
    auc = metrics.test.values["macro_auc"]
    shown = f"{auc.value:.3f} (95% CI {auc.low:.3f} to {auc.high:.3f})"
    assert f"| macro AUC | {metrics.val.values['macro_auc'].value:.3f} | {shown} |" in card
    missed = metrics.test.values["malignant_predicted_normal"]
    assert f"{missed.value:.0%} (95% CI {missed.low:.0%} to {missed.high:.0%})" in card


def test_card_counts_the_cases_of_each_partition(run):
    split = (run / "split.csv").read_text().splitlines()
    card = card_of(run)
    for partition in ("train", "val", "test"):
        rows = [line.split(",") for line in split if line.endswith(partition)]
        counts = [sum(row[1] == name for row in rows) for name in ("normal", "benign", "malignant")]
        assert f"| {partition} | {' | '.join(map(str, counts))} | " in card


def test_localisation_on_the_card_is_of_the_usable_maps(run):
    """Detects the number of all tumours as the denominator."""
    metrics = read_metrics(run)
    found = metrics.gradcam["all"]
    counts = replace(found.maps, ok=3, empty=2, saturated=0)
    gradcam = {"all": replace(found, n=5, maps=counts)}
    card = card_of(run, replace(metrics, gradcam=gradcam))
    assert "for 5 test tumours. Excluded: 2 empty maps and 0 saturated maps." in card
    assert "% of the remaining 3 maps." in card.replace("%)", "%")
    unusable = {"all": replace(found, maps=replace(counts, ok=0))}
    assert "No map remains" in card_of(run, replace(metrics, gradcam=unusable))
    assert "No test tumour has an outline" in card_of(run, replace(metrics, gradcam={}))


@pytest.mark.parametrize(
    ("settings", "statement"),
    [
        ({"model__pretrained": True}, "Initial weights: ImageNet as configured; how much of them"),
        ({"model__pretrained": False}, "Initial weights: random."),
        (
            {"model__pretrained": True, "model__weights": "a.pt"},
            "weights: the file `a.pt` as configured; how",
        ),
        ({"split__groups": "whole"}, "if the table has age and gender"),
        ({"split__groups": "none"}, "may be in several partitions, so the metrics may be too high"),
        ({"annotations__kind": "none"}, "Annotations used in training: none."),
    ],
)
def test_card_follows_the_config(run, settings, statement):
    assert statement in card_of(run, **settings)


def test_card_says_where_the_weights_were_from_and_how_much_of_them_was_used(run):
    path = run / "checkpoints" / "best.json"
    initial = {"source": "file", "name": "w.pth", "sha256": "0a1b", "loaded": 100, "tensors": 120}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"initial": initial, "sha256": "1"}))
    assert (
        "Initial weights: the file w.pth (sha256 0a1b), 100 of 120 tensors of the backbone; "
        "the others are random." in card_of(run)
    )


def test_card_without_an_operating_point_says_so(run):
    metrics = read_metrics(run)
    clinical = replace(metrics.clinical, operating_point=None)
    assert "Val has no malignant case" in card_of(run, replace(metrics, clinical=clinical))


def test_card_has_the_overrides_of_the_run(run):
    assert "`config.yaml` contains the whole config." in card_of(run)
    (run / ".hydra").mkdir()
    (run / ".hydra" / "overrides.yaml").write_text("- seed=3\n- split.held_out=[2, 3]\n")
    assert "    btxrd run seed=3 'split.held_out=[2, 3]'" in card_of(run)


def test_card_names_the_checkpoint(run):
    content = json.loads((run / "checkpoints" / "best.json").read_text())
    card = card_of(run)
    assert f"of epoch {content['epoch']} of at most" in card
    assert f"fingerprint `{content['fingerprint']}`" in card
    assert "must not be used" in card


def test_card_says_first_that_data_are_synthetic(run):
    lines = card_of(run).splitlines()
    assert lines[2].startswith("> **Synthetic data:** 60 drawn radiographs, not patients.")
    real = [line for line in card_of(run, data__phantom=None).splitlines() if "Synthetic" in line]
    assert real == []


def changed(metrics, **values):
    """Metrics with other ends of intervals on test."""
    found = {name: Estimate(*ends) for name, ends in values.items()}
    return replace(metrics, test=replace(metrics.test, values=metrics.test.values | found))


@pytest.mark.parametrize(("low", "warned"), [(0.5, True), (0.51, False)])
def test_card_of_a_run_at_chance_says_so_first(run, low, warned):
    metrics = changed(read_metrics(run), macro_auc=(0.6, low, 0.7))
    diagonal = np.diag([of_class.support for of_class in metrics.test.per_class.values()]).tolist()
    card = card_of(run, replace(metrics, test=replace(metrics.test, confusion=diagonal)))
    shown = f"0.600 (95% CI {low:.3f} to 0.700)"
    warning = f"> **Not shown to be better than chance:** macro AUC on test is {shown}."
    assert (warning in card) == warned


def test_card_of_a_constant_predictor_says_so_first(run):
    metrics = read_metrics(run)
    confusion = [[sum(cases), 0, 0] for cases in metrics.test.confusion]
    card = card_of(run, replace(metrics, test=replace(metrics.test, confusion=confusion)))
    n = metrics.test.n
    assert f"> **Constant predictor:** all {n} test images are predicted normal." in card


def test_card_warns_of_an_unusable_threshold(run):
    metrics = read_metrics(run)
    point = metrics.clinical.operating_point
    test = replace(point.test, sensitivity=Estimate(0.04, 0.01, 0.13),
                   specificity=Estimate(0.99, 0.9, 1))  # fmt: skip
    clinical = replace(metrics.clinical, operating_point=replace(point, test=test))
    assert (
        "> **Do not use this threshold:** on test, it finds 4% (95% CI 1% to 13%) of the malignant "
        "images, and marks 1% of the other images as malignant."
    ) in card_of(run, replace(metrics, clinical=clinical))


def test_none_of_the_malignant_cases_has_an_interval(run):
    metrics = changed(read_metrics(run), malignant_predicted_normal=(0.0, 0.0, 0.52))
    n = metrics.test.per_class["malignant"].support
    assert (
        f"0 of {n} malignant test images (95% CI 0% to 52.0%, by Clopper-Pearson) are predicted "
        "normal."
    ) in card_of(run, metrics)
