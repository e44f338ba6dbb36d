"""The parts of pages that are generated from the code, so that they cannot be out of date.

A page names a part in a line of its own: `<!-- generated: NAME -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path

import commands
import configuration
import files

MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)
CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
PARTS: dict[str, Callable[[], str]] = {
    "changelog": CHANGELOG.read_text,
    "keys": configuration.keys,
    "groups": configuration.groups,
    **files.PARTS,
    **commands.PARTS,
}


def expand(markdown: str) -> str:
    """Replace each mark by the part that it names.

    Raises:
        KeyError: If there is no such part.
    """
    return MARK.sub(lambda mark: PARTS[mark[1]](), markdown)
