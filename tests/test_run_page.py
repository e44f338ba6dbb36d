"""run.html: the page of a run that is complete, that failed, or that is on its own."""

import re
import shlex
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sweeps import write_run

from btxrd.artifacts.config import StoredConfig, read_config, write_config
from btxrd.artifacts.gallery import GALLERY, Gallery, GalleryImage, write_gallery
from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.artifacts.status import RunError
from btxrd.config.identity import identity
from btxrd.execution.planning import plan_run
from btxrd.html.gallery import path_of
from btxrd.html.publish import publish_run, summarize
from btxrd.html.run_page import Origin, repeat_command, write_run_page
from btxrd.report.runs import read_runs


def add_gallery(run_dir, count=8):
    """Write a gallery with `count` missed images and one that was found."""
    folder = run_dir / GALLERY
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (260, 260), np.uint8)
    images = []
    for number in range(count + 1):
        Image.fromarray(noise).save(folder / f"{number}.webp", quality=70)
        Image.new("RGBA", (52, 52), (255, 0, 0, 90)).save(folder / f"{number}.map.webp")
        outcome = "missed" if number < count else "found"
        images.append(GalleryImage(
            f"film{number}", 1, outcome, "malignant",
            "normal" if outcome == "missed" else "malignant", (0.9, 0.05, 0.05),
            f"{number}.webp", f"{number}.map.webp", (((0.1, 0.2), (0.3, 0.2), (0.3, 0.4)),),
        ))  # fmt: skip
    counts = {"missed": count, "false_alarm": 0, "found": 1}
    names = ("normal", "benign", "malignant")
    write_gallery(run_dir, Gallery(names, "malignant", counts, tuple(images)))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A complete run with pictures, one of another seed, a failed one and a missing one."""
    folder = tmp_path_factory.mktemp("sweep")
    for seed in (0, 1):
        add_gallery(write_run(folder, f"experiment=a,seed={seed}", seed=seed, noise=seed))
    error = RunError("InputError", "films/a.jpeg: is broken", "Traceback: line 7")
    failed = write_run(folder, "experiment=b,seed=0", state="failed", error=error)
    (failed / "run.log").write_text("one\ntwo\nlast words\n")
    names = ("experiment=a,seed=0", "experiment=a,seed=1", "experiment=b,seed=0", "never")
    write_plan(folder, SweepPlan(names, command="-m experiment=a,b"))
    summarize([folder], folder)
    return folder


def page_of(sweep, run):
    return (sweep / run / "run.html").read_text()


def test_each_run_with_a_folder_has_a_page(sweep):
    pages = {path.parent.name for path in sweep.glob("*/run.html")}
    assert pages == {"experiment=a,seed=0", "experiment=a,seed=1", "experiment=b,seed=0"}
    report = (sweep / "report.html").read_text()
    assert 'href="experiment%3Da%2Cseed%3D0/run.html"' in report


def test_page_of_a_complete_run_has_all_parts(sweep):
    page = page_of(sweep, "experiment=a,seed=0")
    for section in ("result", "learning", "errors", "focus", "attention", "repeat"):
        assert f'<section id="{section}"' in page
    assert "describes one trained network" in page
    assert 'href="../report.html"' in page
    assert "The 2 seeds of this setting" in page


def test_page_of_a_constant_predictor_begins_with_the_warning_of_its_card(tmp_path):
    run_dir = write_run(tmp_path, "alone")
    (run,) = read_runs(tmp_path)
    test = run.metrics.test
    confusion = [[sum(cases), 0, 0] for cases in test.confusion]
    metrics = replace(run.metrics, test=replace(test, confusion=confusion))
    write_run_page(replace(run, metrics=metrics), Origin())
    page = (run_dir / "run.html").read_text()
    banner = f"<b>Constant predictor:</b> all {test.n} test images are predicted normal."
    assert f'<p class="banner bad">{banner}</p>' in page


def test_pictures_of_a_run_are_shown_from_its_folder(sweep):
    page = page_of(sweep, "experiment=a,seed=0")
    shown = re.findall(r'<img[^>]* src="([^"]+)"', page)
    assert len(shown) == 2 * 9
    assert all((sweep / "experiment=a,seed=0" / path).is_file() for path in shown)
    assert "<h3>Images by the most probable class" in page


def test_page_of_a_failed_run_says_why_and_how_to_resume_it(sweep):
    page = page_of(sweep, "experiment=b,seed=0")
    for text in ("films/a.jpeg: is broken", "last words", "Traceback: line 7",
                 "hydra.sweep.dir=", "btxrd run -m experiment=a,b"):  # fmt: skip
        assert text in page
    assert '<section id="errors"' not in page
    assert "one trained network" not in page


def test_unchanged_page_is_not_written_again(tmp_path):
    run_dir = write_run(tmp_path, "alone")
    publish_run(run_dir)
    before = (run_dir / "run.html").stat().st_mtime_ns
    publish_run(run_dir)
    assert (run_dir / "run.html").stat().st_mtime_ns == before


def test_page_of_a_run_of_its_own_is_written_by_summarize(sweep, tmp_path, capsys):
    run_dir = write_run(tmp_path, "alone")
    assert publish_run(run_dir)
    assert "report.html" not in (run_dir / "run.html").read_text()
    assert "run.html" in capsys.readouterr().out


def test_images_are_left_out_if_the_config_forbids_them(sweep, tmp_path):
    run_dir = write_run(tmp_path, "alone")
    add_gallery(run_dir)
    stored = read_config(run_dir)
    report = replace(stored.config.report, images=False)
    write_config(run_dir, replace(stored.config, report=report), {})
    publish_run(run_dir)
    page = (run_dir / "run.html").read_text()
    assert "<img" not in page
    assert "shows no radiographs" in page


def test_six_images_of_a_tab_are_shown_at_first(sweep):
    page = (sweep / "report.html").read_text()
    first = page[page.index('-missed"') : page.index('-false_alarm"')]
    seen, waiting = first.split("<template>")
    assert (seen.count('class="film"'), waiting.count('class="film"')) == (6, 2)
    assert "Show the rest (2)" in waiting


def test_images_of_the_page_of_a_sweep_are_in_it(sweep):
    page = (sweep / "report.html").read_text()
    assert page.count('src="data:image/webp') == 2 * 9
    assert len(page) < 2_000_000


def test_outline_is_drawn_at_its_corners():
    assert path_of((((0.1, 0.2), (0.3, 0.25)),)) == "M100 200 300 250z"


def test_repeated_run_has_the_same_config(compose):
    """Detects a command that misses a setting, or that Hydra reads as something else."""
    config = compose("split=center", "split.held_out=[1,3]", "training.lr=0.002",
                      "annotations=guided_shuffled", "seed=7")  # fmt: skip
    choices = {"split": "center", "annotations": "guided", "hydra/launcher": "joblib"}
    command = repeat_command(StoredConfig(config, choices | {"search": None}))
    assert shlex.split(command)[:2] == ["btxrd", "run"]
    (found,) = plan_run(shlex.split(command)[2:], "config", None).runs.values()
    assert identity(found) == identity(config)


def test_pages_of_twenty_runs_take_a_second(tmp_path):
    for seed in range(20):
        add_gallery(write_run(tmp_path, f"seed={seed}", seed=seed), 1)
    runs = read_runs(tmp_path)
    start = time.process_time()
    for run in runs:
        write_run_page(run, Origin("../report.html"))
    assert time.process_time() - start < 1.5
