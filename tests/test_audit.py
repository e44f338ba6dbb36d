"""An audit lists the planted flaws in its JSON file and shows them on its page."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from btxrd.artifacts import codec
from btxrd.artifacts.audit import AuditReport
from btxrd.audit.findings import audit
from btxrd.audit.page import as_text, verdicts, write_audit
from btxrd.config.schema import DataConfig, SplitConfig
from btxrd.data.constants import PUBLISHED_COUNTS

SPLIT = SplitConfig(strategy="stratified")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module", params=["clean", "damaged"])
def audited(request, folder, flawed):
    """Return the content of audit.json and audit.html, and the planted flaws."""
    root = flawed(request.param)
    planted = json.loads((root / "phantom.json").read_text())["planted"]
    found, report = audit(DataConfig(root=str(root), cache=str(folder / "cache")), SPLIT)
    write_audit(folder / f"{request.param}-audit", found, report)
    written = json.loads((folder / f"{request.param}-audit" / "audit.json").read_text())
    return written, (folder / f"{request.param}-audit" / "audit.html").read_text(), planted


def test_json_lists_the_planted_flaws(audited):
    written, _, planted = audited
    pairs = sorted([pair["one"], pair["other"]] for pair in written["duplicates"])
    assert pairs == sorted(planted.get("duplicates", []))
    assert sorted(written["errors"].get("images", {})) == sorted(planted.get("images", []))
    assert sorted(written["errors"].get("outlines", {})) == sorted(planted.get("outlines", []))
    errors = sum(len(lines) for lines in written["errors"].values())
    assert errors == sum(
        len(planted.get(name, [])) for name in ("rows", "images", "outlines", "no image")
    )


def test_counts_are_those_of_the_usable_cases(audited):
    written, _, _ = audited
    counted = sum(sum(row.values()) for row in written["counts"].values())
    assert counted == written["cases"]
    by_size = written["groups"]["groups"]["by_size"]
    assert sum(int(size) * number for size, number in by_size.items()) == written["cases"]
    assert sum(written["images"]["modes"].values()) == written["cases"]


def test_whole_groups_do_not_leak_and_single_cases_do(audited):
    written, _, _ = audited
    titles = [row["split"] for row in written["splits"]]
    assert len(titles) == len(set(titles)) == 2 + 3 + 5 + 1
    for row in written["splits"]:
        whole, none = row["whole"]["leakage"], row["none"]["leakage"]
        assert not any(value for name, value in whole.items() if name != "test_cases")
        assert none["groups"] > 0
    assert written["splits"][0]["none"]["leakage"]["test_with_group"] > 0


def test_page_is_one_file_with_all_findings(audited):
    written, page, _ = audited
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for pair in written["duplicates"]:
        assert f"{pair['one']} ({pair['labels'][0]}" in page
    for lines in written["errors"].values():
        assert all(name.split(" in row ")[0] in page for name in lines)
    assert page.count("<svg") == 4
    assert "nan" not in re.sub(r"center=nan|data:[^\"]*", "", page).lower().split()


def test_errors_are_the_first_finding(audited):
    written, page, planted = audited
    report = AuditReport.from_content(written)
    lines = verdicts(report)
    assert lines[0][0] == (not planted)
    assert all(line in page for _, line in lines)
    assert all(line in as_text(report) for _, line in lines)


def test_the_terminal_shows_the_first_errors_and_counts_the_warnings(audited):
    written, _, _ = audited
    lines = as_text(AuditReport.from_content(written)).splitlines()
    errors = [line for kind in written["errors"].values() for line in kind.values()]
    assert [line.strip() for line in lines[2 : 2 + len(errors[:3])]] == errors[:3]
    assert (f"and {len(errors) - 3} more, which" in "\n".join(lines)) == (len(errors) > 3)
    warned = sum(len(names) for names in written["warnings"].values())
    assert any(f"Warnings: {warned};" in line for line in lines) == (warned > 0)


def test_a_refused_split_has_a_reason(phantom, tmp_path):
    manifest = tmp_path / "short.csv"
    manifest.write_text("image_id,partition\nIMG000001,train\n")
    split = SplitConfig(strategy="manifest", manifest=str(manifest))
    _, report = audit(DataConfig(root=str(phantom), cache=str(tmp_path)), split)
    last = report.splits[-1]
    assert last.split == "manifest (short.csv)"
    assert "lists 1 of" in last.refused
    assert any(
        "manifest (short.csv) would be refused" in line
        for well, line in verdicts(report)
        if not well
    )


def test_command_writes_both_files_and_prints_the_path(phantom, tmp_path):
    command = [sys.executable, "-m", "btxrd.audit", "data=btxrd", f"data.root={phantom}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    page = tmp_path / done.stdout.strip().splitlines()[-1]
    assert page.name == "audit.html"
    assert page.is_file()
    assert page.with_suffix(".json").is_file()
    wrong = subprocess.run(
        [*command[:3], "data=btxrd", "data.root=nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("data.root=nowhere: no such folder")
    assert wrong.stderr.count("\n") == 1


def test_counts_of_btxrd_are_the_published_ones(real_table):
    counts = real_table.groupby(["center", "label"]).size()
    for center, row in PUBLISHED_COUNTS.items():
        assert counts[center].tolist() == list(row)


def test_sample_has_no_errors(sample, tmp_path):
    _, report = audit(DataConfig(root=str(sample), cache=str(tmp_path)), SPLIT)
    assert report.errors == {}
    assert len(report.duplicates) == 2
    assert report.splits[0].points_from_whole < 1


@pytest.mark.parametrize("cases", [1, 3, 10])
def test_a_tiny_data_set_can_be_audited(phantom, tmp_path, cases):
    root = shutil.copytree(phantom, tmp_path / "data")
    pd.read_excel(root / "dataset.xlsx")[:cases].to_excel(root / "dataset.xlsx", index=False)
    found, report = audit(DataConfig(root=str(root), cache=str(tmp_path / "c")), SPLIT)
    write_audit(tmp_path / "out", found, report)
    assert report.cases == cases
    assert (tmp_path / "out" / "audit.html").is_file()


def test_report_of_format_1_is_read(audited, tmp_path):
    written, _, _ = audited
    old_names = {"errors": "faults", "warnings": "remarks", "images": "films"}
    old = {old_names.get(key, key): value for key, value in written.items() if key != "format"}
    pairs = [{**pair, "likeness": pair["detail_correlation"]} for pair in old["duplicates"]]
    for pair in pairs:
        del pair["detail_correlation"]
    (tmp_path / "audit.json").write_text(json.dumps(old | {"duplicates": pairs}))
    assert codec.read(tmp_path / "audit.json", AuditReport) == AuditReport.from_content(written)
