"""The page of a sweep, as files and in a browser."""

import re
import shutil
import subprocess

import pytest
from PIL import Image
from sweeps import write_run

from btxrd.artifacts.plan import SweepPlan, write_plan
from btxrd.artifacts.status import RunError
from btxrd.html.publish import summarize

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--enable-logging=stderr",
)  # fmt: skip
SECTIONS = ("findings", "settings", "options", "centers", "errors", "focus", "attention", "runs")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three settings on two splits, one over three seeds; a failed run and a missing one."""
    folder = tmp_path_factory.mktemp("sweep")
    for split in ("stratified", "center"):
        for place, (name, skill) in enumerate((("strong", 0.6), ("even", 0.6), ("weak", 0.05))):
            for seed in range(3 if name == "strong" else 1):
                run = f"experiment={name},seed={seed},split={split}"
                power = skill / (1 if split == "stratified" else 3)
                write_run(folder, run, backbone=name, split=split, seed=seed,
                          skill=(skill, power), noise=place * 10 + seed, cases=(60, 150),
                          centers=(1, 2) if split == "stratified" else (2, 3))  # fmt: skip
                (folder / run / "gradcam").mkdir()
                Image.new("RGB", (840, 456), "teal").save(
                    folder / run / "gradcam/malignant_hit.png"
                )
    error = RunError("InputError", "films/a.jpeg: is broken")
    write_run(folder, "experiment=broken,seed=0,split=center", state="failed", error=error)
    names = [path.parent.name for path in folder.glob("*/status.json")]
    write_plan(folder, SweepPlan((*names, "never"), command="-m 'experiment=glob(*)'"))
    summarize([folder], folder)
    return folder


@pytest.fixture(scope="module")
def page(sweep):
    return (sweep / "report.html").read_text()


def test_the_rule_stands_above_the_table(page):
    assert page.index("highest val macro AUC, then") < page.index('class="setting')


def test_every_section_exists_and_is_linked(page):
    for name in SECTIONS:
        assert f'<section id="{name}"' in page
        assert f'href="#{name}"' in page


def test_failed_and_missing_runs_are_named(page):
    assert "InputError: films/a.jpeg: is broken" in page
    assert "never started" in page


def test_the_command_can_be_copied(page):
    assert "btxrd run -m &#39;experiment=glob(*)&#39;" in page


def test_nothing_is_fetched(page):
    fetched = re.findall(r'(?:src|<link[^>]*href)="([^"]{0,30})', page)
    assert fetched
    assert all(target.startswith("data:") for target in fetched)
    assert not re.search(r"url\(|@import|fetch\(|https?://(?!www\.w3\.org)", page)


def test_pictures_can_be_left_out(sweep, page, tmp_path):
    summarize([sweep], tmp_path, images=False)
    without = (tmp_path / "report.html").read_text()
    assert "data:image/webp" in page
    assert "data:image/webp" not in without
    assert "shows no radiographs" in without


def in_browser(page, script, tmp_path, width=1280):
    """The page after a script has run in it, and what the console said."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium to open the page in; on Debian: apt-get install chromium")
    changed = tmp_path / "page.html"
    changed.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    answer = subprocess.run(
        [browser, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},900", "--dump-dom", changed.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    console = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    return answer.stdout, console


def test_page_opens_without_console_messages(page, tmp_path):
    dom, console = in_browser(page, "document.body.dataset.open = 1", tmp_path)
    assert 'data-open="1"' in dom
    assert console == []


def test_console_error_is_detected(page, tmp_path):
    _, console = in_browser(page, "undefined_name()", tmp_path)
    assert len(console) == 1


def test_tables_are_sorted_by_a_click(page, tmp_path):
    script = """
      const heads = document.querySelectorAll(".settings thead th");
      const column = () => [...document.querySelectorAll(".settings .setting")]
        .map((body) => body.rows[0].cells[2].dataset.sort);
      const shown = [];
      for (let click = 0; click < 2; click++) {
        heads[2].querySelector("button").click(); shown.push(column());
      }
      document.body.dataset.shown = JSON.stringify(shown);
    """
    dom, _ = in_browser(page, script, tmp_path)
    (shown,) = re.findall(r'data-shown="([^"]*)"', dom)
    first, second = ([float(v) for v in re.findall(r"[\d.]+", part)]
                     for part in shown.split("],["))  # fmt: skip
    assert len(first) == 3
    assert first == sorted(first)
    assert second == first[::-1]
