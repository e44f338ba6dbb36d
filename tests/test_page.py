"""The page of a sweep: from a summary in memory to what a browser shows."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
from summaries import clinical as clinical_of
from summaries import est, gap, judged, point, setting, subgroup, summary, unselected

from btxrd.artifacts.evidence.comparison import SettingEstimate
from btxrd.artifacts.evidence.verdicts import OptionContrast, OptionPair, Reference
from btxrd.artifacts.scores.estimates import CenterMetrics
from btxrd.artifacts.summary import SummaryRow
from btxrd.html.axes import axis_over
from btxrd.html.sweep import write_report
from btxrd.report.runs import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--enable-logging=stderr", "--force-prefers-reduced-motion", "--virtual-time-budget=60000",
)  # fmt: skip
FRAME = """<!doctype html><body>
<script>onmessage = (event) => {{ document.body.dataset.answer = event.data }}</script>
<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe></body>
"""  # no window is as narrow as a telephone
WIDTHS = (1440, 1280, 768, 390)
WORSE = judged("worse", -0.045, -0.081, -0.009, detectable=0.05)
UNCLEAR = judged("not_enough_data", -0.01, -0.06, 0.04, detectable=0.05)


def row(name, split, auc, difference=None, *, letters="a", **changes):
    """A setting with three seeds on a split."""
    at = clinical_of(at=point((0.82, 0.73, 0.9)))
    centers = {"2": CenterMetrics(300, {"macro_auc": est(*auc)}), "3": CenterMetrics(12, {})}
    return setting(
        name, split=split, key=name, difference=difference, clinical=at, per_center=centers,
        compared={"macro_auc": SettingEstimate(*auc, 0.008, letters)},
        **changes,
    )  # fmt: skip


def runs_of(rows):
    """Rows of runs whose metric is that of the setting, a little apart."""
    found = []
    for one in rows:
        value = one.compared["macro_auc"].value
        for place, run in enumerate(one.runs):
            metrics = {"macro_auc": est(value + 0.01 * (place - 1), value - 0.05, value + 0.05)}
            found.append(SummaryRow(run, "complete", metrics=metrics, split=one.split))
    return tuple(found)


def two_splits():
    """Four settings at seen and at unseen centers, with everything that the page can show."""
    rows = (
        row("A", "stratified", (0.893, 0.873, 0.912), missed=(0.041, 0.01, 0.12)),
        row("B", "stratified", (0.883, 0.85, 0.91), UNCLEAR),
        row("C", "stratified", (0.848, 0.82, 0.87), WORSE, letters="b", seeds=(0, 1), planned=3),
        row("D", "stratified", (0.5, 0.48, 0.52), judged("worse", -0.393, -0.42, -0.36),
            letters="c", skill="at_chance", annotations="guided_shuffled",
            constant={f"D,stratified,{seed}": "normal" for seed in range(3)}),
        row("A", "center", (0.735, 0.708, 0.763)),
        row("B", "center", (0.647, 0.618, 0.675), WORSE),
    )  # fmt: skip
    pair = OptionPair("B", "C", "resnet50", judged("better", 0.03, 0.01, 0.05), None)
    pooled = judged("no_difference", 0.003, -0.01, 0.016)
    contrasts = tuple(
        OptionContrast("annotations", one, "none", "stratified", "stratified", control,
                       (pair, pair), pooled, None)
        for one, control in (("guided", False), ("guided_shuffled", True))
    )  # fmt: skip
    return summary(
        *rows,
        selected="A",
        synthetic="240 drawn radiographs, not patients.",
        runs=(*runs_of(rows), SummaryRow("E", "failed", error="OutOfMemoryError: <b>no</b>")),
        options=contrasts,
        references=(
            Reference("stratified", "stratified", "table", est(0.87, 0.842, 0.896)),
            Reference("center", "center", "table", est(0.7, 0.668, 0.731)),
        ),
        subgroups=(subgroup("under 18", "worse", -0.12, -0.2, -0.04),),
        generalisation_gap=(gap("loss", 0.216, 0.18, 0.253),),
    )


def many(number=60):
    """One split with many settings, three of four of them worse than the selected one."""
    rows = []
    for place in range(number):
        value = 0.92 - place * 0.004
        difference = None
        if place:
            verdict = "worse" if place > number // 4 else "not_enough_data"
            low, high = -0.004 * place - 0.03, -0.004 * place + 0.03
            difference = judged(verdict, -0.004 * place, low, high)
        name = "A" if not place else f"resnet50_cbam_guided_lr{place}"
        rows.append(row(name, "stratified", (value, value - 0.03, value + 0.03), difference,
                        letters="abcdefghij"[place // 6], seeds=(0,)))  # fmt: skip
    return summary(*rows, runs=runs_of(rows))


def page_of(folder, content):
    """Write the page of a summary without runs on disk, and return its text."""
    runs = [Run(one.run, folder / one.run, one) for one in content.runs]
    write_report(folder, content, runs, [], images=False)
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("two"), two_splits())


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("many"), many())


@cache
def axe():
    """The text of axe-core, from a package that ships it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("no axe-core to check the page with: pip install axe-playwright-python")
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()


def in_browser(page, script, tmp_path, width):
    """What a script returns that runs in the page at a width; it may wait."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium to open the page in; on Debian: apt-get install chromium")
    run = f"(async () => {{ {script} }})()"
    say = 'parent.postMessage(JSON.stringify(answer), "*")'
    ended = f"<script>{run}.then((answer) => {say})</script></body>"
    (tmp_path / "page.html").write_text(page.replace("</body>", ended))
    outer = tmp_path / "outer.html"
    outer.write_text(FRAME.format(width=width))
    shown = subprocess.run(
        [browser, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1600,1000",
         "--dump-dom", outer.as_uri()],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert "Uncaught" not in shown.stderr
    (answer,) = re.findall(r'data-answer="([^"]*)"', shown.stdout)
    return json.loads(html.unescape(answer))


def without_tags(text):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def setting_of(page, name):
    """The HTML of a setting in the table: its line, and what opens below it."""
    bodies = re.findall(r'<tbody role="rowgroup" class="setting.*?</tbody>', page, re.DOTALL)
    return next(body for body in bodies if f'data-sort="{name}"' in body)


def marks(text):
    """Where the value and the interval of each lane are drawn, in percent."""
    drawn = re.findall(r'<i style="left:([\d.]+)%;width:([\d.]+)%">.*?<b.*?left:([\d.]+)%', text)
    return [(float(left), float(left) + float(width), float(at)) for left, width, at in drawn]


def scale(head):
    """The function from a place in percent to a value, from the ticks of an axis."""
    ticks = re.findall(r'<span style="left:([\d.]+)%">([-−+.\d]+)</span>', head)
    (x0, v0), (x1, v1) = ((float(x), float(v.replace("−", "-"))) for x, v in (ticks[0], ticks[-1]))
    return lambda x: v0 + (x - x0) * (v1 - v0) / (x1 - x0)


def test_marks_have_the_values_of_the_summary(page):
    found = two_splits()
    value_at = scale(re.search(r'<th [^>]*class="forest">.*?</th>', page, re.DOTALL)[0])
    for name in "AB":
        forest = re.search(r'<td role="cell" class="forest">.*?</td>', setting_of(page, name),
                           re.DOTALL)[0]  # fmt: skip
        expected = [one.compared["macro_auc"] for one in found.settings if one.setting == name]
        drawn = [tuple(map(value_at, places)) for places in marks(forest)]
        assert drawn == [pytest.approx((e.low, e.high, e.value), abs=2e-4) for e in expected]


def test_differences_have_the_values_of_the_summary(page):
    head = re.search(r'<th [^>]*class="difference">.*?</th>', page, re.DOTALL)[0]
    cell = re.search(r'class="difference".*?</td>', setting_of(page, "B"), re.DOTALL)[0]
    drawn = [tuple(map(scale(head), places)) for places in marks(cell)]
    assert drawn == [pytest.approx((UNCLEAR.low, UNCLEAR.high, UNCLEAR.value), abs=2e-4)]


def test_a_value_off_the_axis_is_an_arrow_at_its_end(page):
    cell = re.search(r'class="difference".*?</td>', setting_of(page, "D"), re.DOTALL)[0]
    assert 'class="beyond-left" style="left:0.0%"' in cell
    assert "−0.393" in without_tags(cell)


def test_every_plot_says_its_value_and_interval(page):
    labels = re.findall(r'class="plot[^"]*" role="img" aria-label="([^"]*)"', page)
    assert len(labels) > 20
    assert all(re.search(r"\d.* (to|at) .*\d", label) for label in labels)


def test_a_setting_is_one_line_on_both_splits(page):
    text = without_tags(setting_of(page, "B"))
    assert "0.883 0.850 to 0.910" in text
    assert "0.647 0.618 to 0.675" in text
    assert "not enough data" in text
    assert "at the threshold: sensitivity 82% 73% to 90% , specificity 85%" in text


def test_tags_name_missing_runs_constants_and_controls(page):
    assert "2 of 3 runs" in without_tags(setting_of(page, "C"))
    assert "constant: every image “normal”" in without_tags(setting_of(page, "D"))
    assert "control" in without_tags(setting_of(page, "D"))


def test_references_are_rows_of_the_same_plot(page):
    text = without_tags(re.search(r'class="references">.*?</tbody>', page, re.DOTALL)[0])
    assert "Table center and image size; age, gender, site, region and view if the" in text
    assert "0.870 0.842 to 0.896 unseen 0.700 0.668 to 0.731" in text


def test_text_of_a_run_is_escaped(page):
    assert "<b>no</b>" not in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page


def test_synthetic_data_is_in_the_title_and_in_a_banner(page):
    assert "<title>[synthetic]" in page
    assert page.index("240 drawn radiographs") < page.index("<header")


def test_a_missing_run_is_named_before_any_result(page):
    assert page.index("1 failed") < page.index("0.893")


def test_one_heading_of_the_first_level(page):
    assert page.count("<h1") == 1


def test_the_script_is_short():
    folder = files("btxrd.pages").joinpath("sweep")
    sizes = [len(one.read_bytes()) for one in folder.iterdir() if one.name.endswith(".js")]
    assert sum(sizes) <= 15_000


def test_sixty_settings_take_half_a_megabyte(long_page):
    assert len(long_page.encode()) <= 500_000


def test_sixty_settings_are_in_two_blocks(long_page):
    text = without_tags(long_page)
    assert "not shown to be worse: 16" in text
    assert "Worse than the selected setting: 44" in text


def test_without_a_winner_no_setting_has_a_star(tmp_path):
    rows = [replace(row(name, "stratified", (0.53, 0.49, 0.57)), skill="at_chance")
            for name in "AB"]  # fmt: skip
    content = summary(*rows, selected="", unselected=[unselected("at_chance")], runs=runs_of(rows))
    page = page_of(tmp_path, content)
    assert 'class="star' not in page
    assert "No setting is shown to be better than chance" in without_tags(page)


def test_one_setting_on_one_split_has_notes_on_what_to_add(tmp_path):
    rows = [row("A", "stratified", (0.893, 0.873, 0.912))]
    text = without_tags(page_of(tmp_path, summary(*rows, runs=runs_of(rows))))
    assert "add split=stratified,center" in text
    assert "Difference from ★" not in text


def test_split_with_val_equal_to_test_has_a_banner(tmp_path):
    rows = [row("A", "random (val is test)", (0.893, 0.873, 0.912))]
    page = page_of(tmp_path, summary(*rows, selected="", runs=runs_of(rows)))
    assert "Validation equals test." in page


def test_a_fourth_split_is_folded(tmp_path):
    rows = [row("A", f"kfold (fold {fold} of 4)", (0.8, 0.7, 0.9)) for fold in range(4)]
    page = page_of(tmp_path, summary(*rows, runs=runs_of(rows)))
    first, second = re.findall(r'<table class="settings.*?</thead>', page, re.DOTALL)
    assert "fold 2 of 4" in first
    assert "fold 3 of 4" in second


def test_sweep_without_a_scored_run_has_a_page(tmp_path):
    content = summary(runs=(SummaryRow("A", "failed", error="OSError: no data"),))
    assert "OSError: no data" in page_of(tmp_path, content)


@pytest.mark.parametrize("values", [[0.5], [0.0, 1.0], [-0.3, 0.2, None], [0.9, 0.900001], []])
def test_axis_contains_its_values_and_has_round_ticks(values):
    axis = axis_over(values)
    assert all(axis.start <= value <= axis.end for value in values if value is not None)
    assert 2 <= len(axis.ticks) <= 8


SCROLLS = """
  const over = () => document.documentElement.scrollWidth - innerWidth;
  const found = [innerWidth, over()];
  for (const one of document.querySelectorAll("details")) one.open = true;
  for (const one of document.querySelectorAll(".opener, p.more button")) one.click();
  return [...found, over()];
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["page", "long_page"])
def test_nothing_scrolls_sideways(which, width, request, tmp_path):
    page = request.getfixturevalue(which)
    shown, at_first, opened = in_browser(page, SCROLLS, tmp_path, width)
    assert shown == width
    assert max(at_first, opened) <= 0


AXE = """
  const found = [];
  for (const one of document.querySelectorAll("details")) one.open = true;
  for (const one of document.querySelectorAll(".opener")) one.click();
  for (const theme of ["light", "dark"]) {
    document.documentElement.dataset.theme = theme;
    const result = await axe.run({ resultTypes: ["violations"] });
    for (const one of result.violations.filter((one) => /serious|critical/.test(one.impact)))
      found.push([theme, one.id, one.nodes[0].html.slice(0, 200)]);
  }
  return found;
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(page, width, tmp_path):
    with_axe = page.replace("</body>", f"<script>{axe()}</script></body>")
    assert in_browser(with_axe, AXE, tmp_path, width) == []


def test_another_metric_replaces_macro_auc(page, tmp_path):
    script = """
      const cells = () => [...document.querySelectorAll(".setting")[0].rows[0].cells].slice(2, 4)
        .map((cell) => cell.textContent);
      const metric = document.getElementById("metric"), shown = [cells()];
      for (const name of ["malignant predicted normal", "macro AUC"]) {
        metric.value = name;
        metric.dispatchEvent(new Event("change"));
        shown.push(cells());
      }
      return shown;
    """
    first, other, last = in_browser(page, script, tmp_path, 1280)
    assert first == last
    assert other == ["seen0.041 0.010 to 0.120", "unseennot computed"]


def test_rows_open_and_the_filter_hides_others(page, tmp_path):
    script = """
      const opener = document.querySelector(".opener");
      const detail = document.getElementById(opener.getAttribute("aria-controls"));
      const states = [detail.hidden];
      opener.click();
      states.push(detail.hidden, opener.getAttribute("aria-expanded"));
      const filter = document.getElementById("filter");
      filter.value = "control";
      filter.dispatchEvent(new Event("input"));
      states.push([...document.querySelectorAll(".setting")].filter((one) => !one.hidden).length);
      return states;
    """
    assert in_browser(page, script, tmp_path, 1280) == [True, False, "true", 1]


def test_pictures_take_the_room_of_missing_subgroups(tmp_path):
    page = page_of(tmp_path, replace(two_splits(), subgroups=()))
    script = """
      const width = (name) => document.querySelector(`.errors > .${name}`).clientWidth;
      return [width("pictures") / width("matrices"), width("subgroups") - width("matrices")];
    """
    ratio, wider = in_browser(page, script, tmp_path, 1440)
    assert (ratio > 2, wider) == (True, 0)


def test_both_columns_of_statements_begin_below_the_heading(page, tmp_path):
    script = """
      const fold = document.querySelector("details.fold");
      const box = '<aside class="written"><h3>Title</h3><p>One.</p><p>Two.</p></aside>';
      fold.insertAdjacentHTML("beforeend", box);
      const places = [...fold.lastElementChild.children].map((one) => one.getBoundingClientRect());
      const [title, first, second] = places;
      return [first.left < second.left, first.top === second.top, title.bottom <= first.top];
    """
    assert in_browser(page, script, tmp_path, 1440) == [True, True, True]
