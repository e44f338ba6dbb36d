"""Write the findings of an audit to audit.html and audit.json, and summarise them as text."""

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

SHOWN = 60  # largest number of drawn pairs, and of drawn outlines of each kind
EXAMPLES = 3  # images of each class and center
PRINTED = 3  # largest number of errors in the terminal


def claim_audit_folder(folder: Path, data: DataConfig) -> None:
    """Check that the results of an audit may be written to a folder.

    Raises:
        InputError: If the folder cannot be written, or contains files other than those of a run or
            an audit, or the data.
    """
    key = f"hydra.run.dir={folder}"
    made = {AUDIT: "splits", STATUS: "fingerprint"}
    refuse_foreign(
        folder,
        key,
        lambda: any(codec.is_artifact(folder / name, key) for name, key in made.items()),
        inside(folder, data.root, data.cache),
    )
    refuse_readonly(folder, key)


def write_audit(folder: Path, found: Inspection, report: AuditReport) -> None:
    """Write audit.json, and audit.html with its images embedded."""
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
    """Return names and images of the first EXAMPLES groups of each center and class."""
    chosen = {}
    for (center, label), cases in found.cases.groupby(["center", "label"]):
        stems = cases.drop_duplicates("group")["stem"][:EXAMPLES]
        name = f"center {center}, {CLASSES[int(str(label))]}"
        chosen[name] = [(stem, _image(found, stem)) for stem in stems]
    return chosen


def verdicts(report: AuditReport) -> list[tuple[bool, str]]:
    """Return the main findings: whether each is good, and a sentence."""
    errors = sum(len(lines) for lines in report.errors.values())
    pairs = report.duplicates
    contradicting = sum(pair.contradict for pair in pairs)
    identified = report.patients_can_be_told
    whole = [row.whole.leakage for row in report.splits if row.whole is not None]
    leaking = sum(leak.groups for leak in whole)
    found = [
        (not errors, f"Errors: {errors}; a run would stop" if errors else "No errors found"),
        (
            not contradicting,
            f"Pairs of near-duplicates: {len(pairs)} (with different labels: {contradicting})",
        ),
        (
            identified,
            "Likely patients are identified by age, gender and other columns"
            if identified
            else "Likely patients cannot be identified, because age or gender is missing: "
            "images of one patient may be in several partitions",
        ),
        (
            not leaking,
            f"With groups=whole, groups split across partitions in {len(whole)} splits: {leaking}",
        ),
    ]
    if (ungrouped := report.splits[0].none) is not None:
        leak = ungrouped.leakage
        share = leak.test_with_group / max(1, leak.test_cases)
        line = (
            f"With groups=none, {leak.test_with_group} of {leak.test_cases} test cases "
            f"({share:.0%}) of a stratified split have a case of their group in train"
        )
        found.append((True, line))
    refused = [row for row in report.splits if row.refused]
    return found + [(False, f"{row.split} would be refused: {row.refused}") for row in refused]


def _first_errors(report: AuditReport) -> list[str]:
    errors = [line for lines in report.errors.values() for line in lines.values()]
    more = len(errors) - PRINTED
    rest = [f"and {more} more, which audit.html lists"] if more > 0 else []
    return [f"      {line}" for line in [*errors[:PRINTED], *rest]]


def as_text(report: AuditReport) -> str:
    """Return the first errors, the main findings and the leaks of each split for a terminal."""
    lines = [f"{report.cases} cases in {report.root}"]
    (mark, line), *others = [("ok" if well else "!!", line) for well, line in verdicts(report)]
    lines += [f"  {mark}  {line}", *_first_errors(report)]
    if warned := sum(len(names) for names in report.warnings.values()):
        others.insert(0, ("!!", f"Warnings: {warned}; audit.html lists them, a run continues"))
    lines += [f"  {mark}  {line}" for mark, line in others]
    names = ("groups=whole", "groups=none")
    lines += ["", f"{'test cases with their group in train':36}{names[0]:>20}{names[1]:>20}"]
    for row in report.splits:
        if row.whole is not None and row.none is not None:
            leaks = (row.whole.leakage, row.none.leakage)
            cells = [f"{leak.test_with_group} of {leak.test_cases}" for leak in leaks]
            lines.append(f"  {row.split:34}{cells[0]:>20}{cells[1]:>20}")
    return "\n".join([*lines, ""])
