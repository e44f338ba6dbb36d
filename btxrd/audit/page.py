"""Write the findings of an audit as audit.html, audit.json, and a few lines of text."""

from pathlib import Path

from btxrd.artifacts import codec
from btxrd.artifacts.audit import AUDIT, AuditReport
from btxrd.artifacts.status import STATUS
from btxrd.audit.pictures import plots, small_image
from btxrd.config.schema import DataConfig
from btxrd.data.constants import CLASSES
from btxrd.data.inspection import Inspection
from btxrd.pages import render
from btxrd.runtime.files import write_text
from btxrd.runtime.folders import inside, refuse_foreign, refuse_readonly

SHOWN = 60  # pairs of duplicates, and outlines of each kind, that are drawn; audit.json lists all
EXAMPLES = 3  # images of each class and center


def claim_audit_folder(folder: Path, data: DataConfig) -> None:
    """Refuse a folder that must not or cannot be written into; the data may lie in it.

    Raises:
        InputError: If it holds anything other than a run or an audit.
    """
    place = f"hydra.run.dir={folder}"
    made = {AUDIT: "splits", STATUS: "fingerprint"}
    refuse_foreign(
        folder,
        place,
        lambda: any(codec.is_artifact(folder / name, key) for name, key in made.items()),
        inside(folder, data.root, data.cache),
    )
    refuse_readonly(folder, place)


def write_audit(folder: Path, found: Inspection, report: AuditReport) -> None:
    """Write audit.json and audit.html, one file with all its pictures."""
    page = render(
        "audit.html.j2",
        classes=CLASSES,
        plots=plots(found, report),
        verdicts=verdicts(report),
        pairs=[
            (pair, _image(found, pair.one), _image(found, pair.other))
            for pair in report.duplicates[:SHOWN]
        ],
        outlined={
            kind: [(name, _image(found, name)) for name in names[:SHOWN]]
            for kind, names in report.warnings.items()
            if kind.startswith("outlines") and set(names) <= set(found.outlines)
        },
        examples=_examples(found),
        **vars(report),
    )
    codec.write(folder / AUDIT, report)
    write_text(folder / "audit.html", page)


def _image(found: Inspection, stem: str) -> str:
    path = found.cases.loc[found.cases["stem"] == stem, "path"].iloc[0]
    return small_image(path, found.outlines.get(stem))


def _examples(found: Inspection) -> dict[str, list[tuple[str, str]]]:
    """The first images of different patients of each center and class."""
    chosen = {}
    for (center, label), cases in found.cases.groupby(["center", "label"]):
        stems = cases.drop_duplicates("group")["stem"][:EXAMPLES]
        name = f"center {center}, {CLASSES[int(str(label))]}"
        chosen[name] = [(stem, _image(found, stem)) for stem in stems]
    return chosen


def verdicts(report: AuditReport) -> list[tuple[bool, str]]:
    """What matters first: whether all is well, and a sentence."""
    errors = sum(len(lines) for lines in report.errors.values())
    pairs = report.duplicates
    contradicting = sum(pair.contradict for pair in pairs)
    told = report.patients_can_be_told
    whole = [row.whole.leakage for row in report.splits if row.whole is not None]
    parted = sum(leak.groups for leak in whole)
    found = [
        (not errors, f"{errors or 'No'} errors{'; a run would stop' if errors else ''}"),
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
    if (ungrouped := report.splits[0].none) is not None:
        leak = ungrouped.leakage
        share = leak.test_with_group / max(1, leak.test_cases)
        line = (
            f"Case by case {leak.test_with_group} of {leak.test_cases} test cases "
            f"({share:.0%}) of a stratified split would have a sibling in train"
        )
        found.append((True, line))
    refused = [row for row in report.splits if row.refused]
    return found + [(False, f"{row.split} would be refused: {row.refused}") for row in refused]


def as_text(report: AuditReport) -> str:
    """The page's first lines, and its table of leaks, for a terminal."""
    lines = [f"{report.cases} cases in {report.root}"]
    lines += [f"  {'ok' if well else '!!'}  {line}" for well, line in verdicts(report)]
    names = ("with whole groups", "with groups=none")
    lines += ["", f"{'test cases with a sibling in train':36}{names[0]:>20}{names[1]:>20}"]
    for row in report.splits:
        if row.whole is not None and row.none is not None:
            leaks = (row.whole.leakage, row.none.leakage)
            cells = [f"{leak.test_with_group} of {leak.test_cases}" for leak in leaks]
            lines.append(f"  {row.split:34}{cells[0]:>20}{cells[1]:>20}")
    return "\n".join([*lines, ""])
