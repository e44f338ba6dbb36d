import re
from pathlib import Path

import yaml

from btxrd import __version__

ROOT = Path(__file__).parents[1]


def test_the_citation_and_the_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version, date = re.findall(r"^## (\d\S+) \((\S+)\)$", changelog, re.MULTILINE)[0]
    assert citation["version"] == version
    assert str(citation["date-released"]) == date
    assert __version__ == version or re.fullmatch(r"\d+\.\d+\.\d+\.dev\d+", __version__)
