"""What an audit found -> audit.html, audit.json, and a few lines of text."""

from pathlib import Path
from typing import Any

from btxrd.audit.pictures import plots, small_film
from btxrd.data.constants import CLASSES
from btxrd.data.inspection import Inspection
from btxrd.pages import render
from btxrd.runtime.files import write_json, write_text

SHOWN = 60  # pairs of duplicates, and outlines of each kind, that are drawn; audit.json lists all
EXAMPLES = 3  # films of each class and center


def write_audit(folder: Path, found: Inspection, findings: dict[str, Any]) -> None:
    """Write audit.json and audit.html, one file with all its pictures."""
    page = render(
        "audit.html.j2",
        classes=CLASSES,
        plots=plots(found, findings),
        verdicts=verdicts(findings),
        pairs=[
            (pair, _film(found, pair["one"]), _film(found, pair["other"]))
            for pair in findings["duplicates"][:SHOWN]
        ],
        outlined={
            kind: [(name, _film(found, name)) for name in names[:SHOWN]]
            for kind, names in findings["remarks"].items()
            if kind.startswith("outlines") and set(names) <= set(found.outlines)
        },
        examples=_examples(found),
        **findings,
    )
    write_json(folder / "audit.json", findings)
    write_text(folder / "audit.html", page)


def _film(found: Inspection, stem: str) -> str:
    path = found.cases.loc[found.cases["stem"] == stem, "path"].iloc[0]
    return small_film(path, found.outlines.get(stem))


def _examples(found: Inspection) -> dict[str, list[tuple[str, str]]]:
    """The first films of different patients of each center and class."""
    chosen = {}
    for (center, label), cases in found.cases.groupby(["center", "label"]):
        stems = cases.drop_duplicates("group")["stem"][:EXAMPLES]
        name = f"center {center}, {CLASSES[int(str(label))]}"
        chosen[name] = [(stem, _film(found, stem)) for stem in stems]
    return chosen


def verdicts(findings: dict[str, Any]) -> list[tuple[bool, str]]:
    """What matters first: whether all is well, and a sentence."""
    faults = sum(len(lines) for lines in findings["faults"].values())
    pairs = findings["duplicates"]
    contradicting = sum(pair["contradict"] for pair in pairs)
    told = findings["patients_can_be_told"]
    whole = [row["whole"]["leakage"] for row in findings["splits"] if "whole" in row]
    parted = sum(leak["groups"] for leak in whole)
    found = [
        (not faults, f"{faults or 'No'} faults would stop a run"),
        (
            not contradicting,
            f"{len(pairs)} pairs of near-duplicates, {contradicting} of which contradict in label",
        ),
        (
            told,
            "Likely patients can be told, by age and gender among others"
            if told
            else "Likely patients cannot be told, since age or gender is missing: "
            "films of one patient may lie in train and test",
        ),
        (not parted, f"With whole groups {parted} groups are parted, over {len(whole)} splits"),
    ]
    if "none" in findings["splits"][0]:
        leak = findings["splits"][0]["none"]["leakage"]
        share = leak["test_with_group"] / max(1, leak["test_cases"])
        line = (
            f"Case by case {leak['test_with_group']} of {leak['test_cases']} test cases "
            f"({share:.0%}) of a stratified split would have a sibling in train"
        )
        found.append((True, line))
    refused = [row for row in findings["splits"] if row["refused"]]
    return found + [
        (False, f"{row['split']} would be refused: {row['refused']}") for row in refused
    ]


def as_text(findings: dict[str, Any]) -> str:
    """The page's first lines, and its table of leaks, for a terminal."""
    lines = [f"{findings['cases']} cases in {findings['root']}"]
    lines += [f"  {'ok' if well else '!!'}  {line}" for well, line in verdicts(findings)]
    names = ("with whole groups", "with groups=none")
    lines += ["", f"{'test cases with a sibling in train':36}{names[0]:>20}{names[1]:>20}"]
    for row in findings["splits"]:
        if "none" in row:
            cells = [
                f"{row[groups]['leakage']['test_with_group']} of "
                f"{row[groups]['leakage']['test_cases']}"
                for groups in ("whole", "none")
            ]
            lines.append(f"  {row['split']:34}{cells[0]:>20}{cells[1]:>20}")
    return "\n".join([*lines, ""])
