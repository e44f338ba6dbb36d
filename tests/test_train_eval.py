import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reference import by_sklearn
from sklearn import metrics as sk

from btxrd.artifacts.metrics import read_metrics
from btxrd.data.annotations import find_outlines
from btxrd.data.cases import load_cases
from btxrd.data.constants import CLASSES
from btxrd.data.dataset import SEALED, load_dataset
from btxrd.data.pixels import load_pixels
from btxrd.evaluation.inference import predict
from btxrd.execution.status import read_status
from btxrd.model.checkpoint import load_checkpoint
from btxrd.runtime.device import choose_device

PROBS = [f"prob_{name}" for name in CLASSES]


def metrics_of(run):
    return json.loads((run.run_dir / "metrics.json").read_text())


@pytest.fixture
def tables(guided_run):
    names = ("split", "predictions", "history", "gradcam")
    return {name: pd.read_csv(guided_run.run_dir / f"{name}.csv") for name in names}


def test_a_run_writes_exactly_its_files(guided_run):
    found = {
        path.relative_to(guided_run.run_dir).as_posix() for path in guided_run.run_dir.rglob("*.*")
    }
    pictures = {name for name in found if name.startswith("gradcam/")}
    assert 2 <= len(pictures) <= 9
    of_gallery = {name for name in found if name.startswith("gallery/")}
    assert "gallery/gallery.json" in of_gallery
    assert found - pictures - of_gallery == {
        "status.json", "config.yaml", "split.csv", "history.csv", "predictions.csv", "metrics.json",
        "gradcam.csv", "shortcuts.csv", "card.md", "checkpoints/best.safetensors",
        "checkpoints/best.json",
        *(f"figures/{name}.png" for name in ("roc", "pr", "confusion", "calibration", "history")),
    }  # fmt: skip


def test_status_records_state_duration_and_device(guided_run):
    status = read_status(guided_run.run_dir)
    assert (status.state, status.attempts, status.error) == ("complete", 1, None)
    assert status.seconds > 0
    assert {"python", "torch", "timm", "btxrd", "git"} <= set(status.versions)
    assert status.device.startswith(choose_device("auto").type)


def test_every_val_and_test_case_is_predicted_exactly_once(tables):
    split, predictions = tables["split"], tables["predictions"]
    judged = split[split["partition"] != "train"]
    merged = predictions.merge(judged, on=["image_id", "partition", "label"], validate="one_to_one")
    assert len(merged) == len(judged) == len(predictions)
    assert np.allclose(predictions[PROBS].sum(axis=1), 1)


@pytest.mark.parametrize("partition", ["val", "test"])
def test_stored_metrics_equal_those_of_the_stored_predictions(guided_run, tables, partition):
    rows = tables["predictions"].query("partition == @partition")
    labels = rows["label"].map({name: i for i, name in enumerate(CLASSES)}).to_numpy()
    probs = rows[PROBS].to_numpy()
    stored = getattr(read_metrics(guided_run.run_dir), partition)
    flat = {name: metric.value for name, metric in stored.values.items()}
    for title, of_class in stored.per_class.items():
        flat |= {f"{title}.{name}": metric.value for name, metric in of_class.values.items()}
    wanted = by_sklearn(labels, probs)
    assert set(flat) - set(wanted) == {"ece"}
    for name, want in wanted.items():
        assert flat[name] == (want if want is None else pytest.approx(want)), name
    confusion = sk.confusion_matrix(labels, probs.argmax(axis=1), labels=[0, 1, 2])
    assert stored.confusion == confusion.tolist()
    assert stored.n == len(rows)
    split = pd.read_csv(guided_run.run_dir / "split.csv").set_index("image_id")
    centers = split.loc[rows["image_id"], "center"].to_numpy()
    for center, found in stored.per_center.items():
        here = centers == int(center)
        want = sk.accuracy_score(labels[here], probs[here].argmax(axis=1))
        assert found.values["accuracy"].value == pytest.approx(want)


def test_stored_checkpoint_reproduces_the_stored_predictions(guided_run, tables):
    model, sidecar = load_checkpoint(guided_run.run_dir / "checkpoints")
    data = guided_run.config.data
    root = Path(data.root)
    cases = load_cases(root)
    prepared = sidecar.preprocessing
    pixels = load_pixels(
        cases["path"].tolist(),
        sidecar.image_size,
        clahe_clip=prepared.clahe_clip,
        clahe_tiles=prepared.clahe_tiles,
        cache=root.parent / "other-cache",
    )
    stored = tables["predictions"].set_index("image_id")
    rows = np.flatnonzero(cases["image_id"].isin(stored.index))
    probs = predict(model.to(choose_device("auto")), pixels, rows)
    want = stored.loc[cases["image_id"].iloc[rows], PROBS].to_numpy()
    assert np.abs(probs - want).max() < 1e-5


def test_best_epoch_has_the_lowest_val_loss(guided_run, tables):
    history = tables["history"]
    sidecar = json.loads((guided_run.run_dir / "checkpoints" / "best.json").read_text())
    best = history.loc[history["val_loss"].idxmin()]
    assert sidecar["epoch"] == best["epoch"]
    assert sidecar["val"]["val_loss"] == pytest.approx(best["val_loss"])
    assert sidecar["fingerprint"] == read_status(guided_run.run_dir).fingerprint


def test_gradcam_has_a_row_for_each_test_tumour(tables):
    split = tables["split"].query("partition == 'test' and label != 'normal'")
    assert sorted(tables["gradcam"]["image_id"]) == sorted(split["image_id"])
    mapped = tables["gradcam"].dropna(subset="energy_inside")
    assert len(mapped) > 0
    assert (
        mapped[["lesion_share", "energy_inside"]].clip(0, 1)
        == mapped[["lesion_share", "energy_inside"]]
    ).all(axis=None)


def test_equal_seeds_give_equal_runs_and_different_seeds_do_not(guided_run, do_run, compose):
    again = do_run(compose("annotations=guided"), anew=True)
    other = do_run(compose("annotations=guided", "seed=1"))
    files = [(run.run_dir / "predictions.csv").read_text() for run in (guided_run, again, other)]
    assert files[0] == files[1] != files[2]
    splits = {(run.run_dir / "split.csv").read_text() for run in (guided_run, again, other)}
    assert len(splits) == 1


def test_no_choice_depends_on_test_images(guided_run, do_run, compose, phantom, tmp_path):
    """With noise as test images, weights, epoch, temperature and threshold are unchanged."""
    root = tmp_path / "phantom"
    shutil.copytree(phantom, root)
    split = guided_run.run_dir / "split.csv"
    noise = np.random.default_rng(0)
    for name in pd.read_csv(split).query("partition == 'test'")["image_id"]:
        path = root / "images" / name
        with Image.open(path) as image:
            size = image.size[::-1]
        Image.fromarray(noise.integers(0, 256, size, np.uint8)).save(path)
    asked = ("split=manifest", f"split.manifest={split}", "annotations=guided")
    other = do_run(compose(*asked, f"data.root={root}"))
    weights = [
        (r.run_dir / "checkpoints/best.safetensors").read_bytes() for r in (guided_run, other)
    ]
    assert weights[0] == weights[1]
    one, two = metrics_of(guided_run), metrics_of(other)
    assert one["test"]["macro_auc"] != two["test"]["macro_auc"]
    assert one["clinical"]["temperature"] == two["clinical"]["temperature"]
    point = [found["clinical"]["operating_point"] for found in (one, two)]
    assert point[0]["threshold"] == point[1]["threshold"]
    assert point[0]["val"] == point[1]["val"]


def test_training_cannot_request_the_test_partition(compose):
    config = compose()
    sealed = load_dataset(config.data, config.split, 64).sealed()
    with pytest.raises(ValueError, match="sealed"):
        sealed.rows("test")
    assert len(sealed.rows("train")) > 0
    judged = set(sealed.cases.loc[sealed.cases["partition"] == SEALED, "stem"])
    assert judged
    assert not judged & set(sealed.lesions)


def test_metrics_of_test_tumours_follow_from_the_files(guided_run, tables):
    found, shortcuts = metrics_of(guided_run), pd.read_csv(guided_run.run_dir / "shortcuts.csv")
    for variant, rows in shortcuts.groupby("variant"):
        labels = rows["label"].map(CLASSES.index)
        area = sk.roc_auc_score(labels, rows[PROBS], multi_class="ovr")
        assert found["shortcuts"][variant]["macro_auc"]["value"] == pytest.approx(area)
    assert len(found["shortcuts"]) == 6
    maps = tables["gradcam"]
    usable = maps[maps["map"] == "ok"]
    localisation = found["gradcam"]["all"]
    assert localisation["n"] == len(maps)
    assert localisation["maps"]["ok"] == len(usable)
    assert localisation["peak_inside"]["value"] == pytest.approx(usable["peak_inside"].mean())
    assert localisation["iou"]["by_chance"] == pytest.approx(
        usable["iou_by_chance"].mean(), abs=1e-6
    )


def test_the_card_describes_data_metrics_and_limits(guided_run):
    card = (guided_run.run_dir / "card.md").read_text()
    metrics = metrics_of(guided_run)
    assert f"{metrics['test']['macro_auc']['value']:.3f}" in card
    assert f"{metrics['clinical']['temperature']:.3f}" in card
    for text in ("annotations=guided", "must not be used", "lesion masked", "| train |"):
        assert text in card


def test_guidance_changes_the_weights(guided_run, do_run, compose):
    plain = do_run(compose("annotations=none"))
    read = [(run.run_dir / "predictions.csv").read_text() for run in (plain, guided_run)]
    assert read[0] != read[1]


def test_evaluate_false_trains_only(do_run, compose):
    run = do_run(compose("evaluate=false", "training.epochs=1"))
    assert (run.run_dir / "checkpoints" / "best.safetensors").is_file()
    assert not (run.run_dir / "metrics.json").exists()
    assert not (run.run_dir / "predictions.csv").exists()


def test_split_hash_is_that_of_its_file_everywhere(guided_run):
    content = (guided_run.run_dir / "split.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    assert read_status(guided_run.run_dir).split_hash == digest
    sidecar = json.loads((guided_run.run_dir / "checkpoints" / "best.json").read_text())
    assert sidecar["split_hash"] == digest


def test_if_val_is_test_each_case_is_listed_once_with_a_note(do_run, compose):
    run = do_run(compose("split=random", "training.epochs=1"))
    predictions = pd.read_csv(run.run_dir / "predictions.csv")
    split = pd.read_csv(run.run_dir / "split.csv")
    assert set(predictions["partition"]) == {"test"}
    assert (
        len(predictions)
        == (split["partition"] == "test").sum()
        == predictions["image_id"].nunique()
    )
    metrics = metrics_of(run)
    assert metrics["clinical"] is None
    assert metrics["val"] == metrics["test"]
    assert metrics["test"]["notes"]["split"] == "random (val is test)"


def test_split_of_a_run_is_a_manifest_for_another(guided_run, do_run, compose, tmp_path):
    shutil.copyfile(guided_run.run_dir / "split.csv", tmp_path / "theirs.csv")
    again = compose(
        "split=manifest", f"split.manifest={tmp_path / 'theirs.csv'}", "training.epochs=1"
    )
    run = do_run(again)
    hashes = {read_status(one.run_dir).split_hash for one in (run, guided_run)}
    assert len(hashes) == 1


def test_results_are_equal_with_and_without_the_cache(guided_run, compose, do_run, tmp_path):
    anew = do_run(compose("annotations=guided", f"data.cache={tmp_path}"))
    for name in ("predictions.csv", "metrics.json", "checkpoints/best.safetensors"):
        assert (anew.run_dir / name).read_bytes() == (guided_run.run_dir / name).read_bytes()


@pytest.fixture(scope="session")
def lesion_run(compose, do_run):
    return do_run(
        compose("annotations=lesion", "training.ema=0.5", "model.test_flip=true"), pictures=True
    )


def test_lesion_map_is_saved_scored_and_shown(lesion_run):
    run_dir = lesion_run.run_dir
    test = pd.read_csv(run_dir / "split.csv").query("partition == 'test'")
    with np.load(run_dir / "lesion_maps.npz") as saved:
        assert saved["image_id"].tolist() == test["image_id"].tolist()
        assert saved["maps"].shape == (len(test), 4, 4)
        assert 0 <= saved["maps"].min() < saved["maps"].max() <= 1
    table = pd.read_csv(run_dir / "lesion_maps.csv")
    gradcam = pd.read_csv(run_dir / "gradcam.csv")
    assert table["image_id"].tolist() == gradcam["image_id"].tolist()
    assert (table["energy_inside"] != gradcam["energy_inside"]).any()
    found = metrics_of(lesion_run)
    assert found["lesion_maps"]["all"]["n"] == found["gradcam"]["all"]["n"] == len(table)
    assert "The lesion map of the model was computed for" in (run_dir / "card.md").read_text()
    widths = {Image.open(path).width for path in (run_dir / "gradcam").iterdir()}
    assert min(widths) > 1000


def test_checkpoint_of_a_lesion_run_gives_its_predictions(lesion_run):
    config = lesion_run.config
    model, _ = load_checkpoint(lesion_run.run_dir / "checkpoints")
    dataset = load_dataset(config.data, config.split, 64)
    probs = predict(model, dataset.pixels, dataset.rows("test"))
    stored = pd.read_csv(lesion_run.run_dir / "predictions.csv").query("partition == 'test'")
    assert np.abs(probs - stored[PROBS].to_numpy()).max() < 1e-5
    model.test_flip = False
    assert np.abs(probs - predict(model, dataset.pixels, dataset.rows("test"))).max() > 1e-5


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("guided", "backbone"), ("lesion", "backbone"), ("cam", "backbone"), ("lesion", "lesion")],
)
def test_outlines_of_val_and_test_do_not_affect_weights_or_predictions(
    kind, pooling, compose, do_run, phantom, tmp_path
):
    """With other outlines outside train, weights and predictions are unchanged."""
    asked = f"annotations={kind}", f"model.pooling={pooling}"
    before = do_run(compose(*asked), pictures=kind == "guided")  # as `guided_run`
    moved = tmp_path / "moved"
    shutil.copytree(phantom, moved)
    split = pd.read_csv(before.run_dir / "split.csv")
    others = split.loc[split["partition"] != "train", "image_id"].str.split(".").str[0]
    files, _ = find_outlines(moved)
    changed = [files[stem] for stem in others if stem in files]
    assert len(changed) > 5
    for path in changed:
        content = json.loads(path.read_text())
        content["shapes"][0]["points"] = [[0, 0], [20, 0], [20, 20]]
        content["shapes"] = [content["shapes"][0] | {"shape_type": "polygon"}]
        path.write_text(json.dumps(content))
    after = do_run(compose(*asked, f"data.root={moved}"))
    for name in ("checkpoints/best.safetensors", "predictions.csv"):
        assert (before.run_dir / name).read_bytes() == (after.run_dir / name).read_bytes()
    one, two = metrics_of(before), metrics_of(after)
    for part in ("val", "test", "clinical"):
        assert one[part] == two[part]
    assert (before.run_dir / "gradcam.csv").read_bytes() != (
        after.run_dir / "gradcam.csv"
    ).read_bytes()
