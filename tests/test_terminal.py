"""The summary in the terminal: what is said first, and what a newcomer reads of the findings."""

import os
import re
from pathlib import Path

import pytest
from summaries import clinical, gap, judged, point, setting, summary, unselected

from btxrd.report.terminal import as_text

SYNTHETIC = "Synthetic data: 240 drawn radiographs, not patients."


def text_of(of):
    return as_text(Path("sweep"), of, {})


def two_splits():
    """A setting that loses at unseen centers, beside another."""
    rows = [
        setting(clinical=clinical(at=point((0.82, 0.73, 0.9)))),
        setting("B", difference=judged("worse", -0.06, -0.1, -0.02, tests=1)),
        setting(split="center", auc=(0.677, 0.645, 0.707)),
    ]
    return summary(*rows, generalisation_gap=(gap("loss", 0.216, 0.18, 0.253),))


def test_synthetic_data_are_named_first():
    of = summary(setting(), synthetic=SYNTHETIC)
    assert text_of(of).split("\n")[:2] == ["", SYNTHETIC]
    assert "Synthetic" not in text_of(summary(setting()))


def test_findings_are_a_short_line_for_each_question():
    lines = text_of(two_splits()).splitlines()
    start = lines.index("  stratified: A, macro AUC 0.893 (95% CI 0.873 to 0.912)")
    answers = [line.strip().split("?", 1) for line in lines[start + 1 : start + 5]]
    assert [(question, answer.strip()) for question, answer in answers] == [
        ("Better than the other settings", "Better than the other; by 0.060"),
        ("Better than chance and than models without pixels",
         "Better than chance; models without pixels: not computed"),
        ("Does it hold at unseen centers", "No: 0.216 lower; 95% CI 0.180 to 0.253"),
        ("Are malignant tumours found",
         "90% not shown; 82% (73% to 90%) of 107, specificity 85%"),
    ]  # fmt: skip
    assert "  center: A, macro AUC 0.677 (95% CI 0.645 to 0.707)" in lines


def test_settings_that_nothing_is_concluded_about_are_marked():
    rows = [
        setting("A", skill="at_chance", seeds=(0,)),
        setting("B", seeds=(0,), constant={"B,stratified,0": "normal"}),
    ]
    lines = text_of(summary(*rows, selected=None)).splitlines()
    (first,) = (line for line in lines if line.startswith("A "))
    (second,) = (line for line in lines if line.startswith("B "))
    assert first.endswith("not shown to be better than chance")
    assert second.endswith('constant: every image "normal"')


def test_no_winner_has_a_reason():
    rows = [setting(skill="at_chance", seeds=(0,))]
    text = text_of(summary(*rows, selected=None, unselected=[unselected("at_chance")]))
    assert (
        "Winner: none\n  stratified: No setting is shown to be better than chance (the highest "
        "macro AUC is 0.531 (95% CI 0.488 to 0.574))"
    ) in text


def test_caveat_of_single_seeds_is_said_once():
    rows = [setting(seeds=(0,)), setting("B", seeds=(0,)), setting(split="center", seeds=(0,))]
    assert text_of(summary(*rows)).count("The sweep compares trained networks") == 1


@pytest.mark.parametrize("columns", [60, 80])
def test_findings_fit_the_terminal(columns, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 20)))
    text = text_of(two_splits())
    found = text[text.index("Winner") : text.index("Over seeds")].splitlines()
    assert max(map(len, found)) <= columns
    assert " ".join(" ".join(found).split()).count("specificity 85%") == 1


@pytest.mark.parametrize("columns", [40, 60, 300])
def test_every_run_fits_the_terminal_with_its_state_and_metrics(columns, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 20)))
    text = text_of(two_splits())
    table = text[: text.index("Winner")]
    assert max(map(len, table.splitlines())) <= columns
    assert " ".join(table.split()).count("complete") == len(two_splits().runs) + 1


def test_the_name_of_a_single_run_fits_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 20)))
    name = ",".join(f"data.long_name_of_a_key_{n}=3" for n in range(5))
    text = text_of(summary(setting(name, seeds=(0,))))
    assert max(map(len, text[: text.index("Winner")].splitlines())) <= 80


def test_a_standard_deviation_stays_beside_its_mean(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for columns in range(40, 90):
        size = os.terminal_size((columns, 20))
        monkeypatch.setattr("shutil.get_terminal_size", lambda size=size: size)
        lines = text_of(two_splits()).split("standard deviation on test:")[1].splitlines()
        assert max(map(len, lines)) <= columns
        assert not any(re.search(r"\+-$|^ *\+-", line) for line in lines)


def test_signs_are_those_of_every_terminal():
    assert text_of(two_splits()).isascii()
