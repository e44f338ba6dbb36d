"""The pages of the documentation, and the commands that they show."""

import re
import shlex
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from checkout import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
sys.path.insert(0, str(DOCS / "_hooks"))
FENCED = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)``` *$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"<!-- (?P<kind>not run|fails): .+ -->\s*$")
VARIABLE = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: Number of its first line in the page, with the generated parts in it.
        language: Such as `bash`.
        text: Its content.
        mark: `not run`, `fails`, or nothing.
    """

    line: int
    language: str
    text: str
    mark: str

    @property
    def commands(self) -> list[str]:
        """The commands of a `bash` block, without comments and with continuations joined."""
        text = self.text.replace("\\\n", " ").replace(" && ", "\n")
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


@cache
def text_of(name: str) -> str:
    """Return the text of a page with its generated parts."""
    from generated import expand  # composes a config

    return expand((ROOT / name).read_text(encoding="utf-8"))


def blocks(name: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text, found = text_of(name), []
    for match in FENCED.finditer(text):
        before = text[: match.start()]
        mark = MARK.search(before)
        found.append(
            Block(
                line=before.count("\n") + 1,
                language=match["language"],
                text=textwrap.dedent(match["text"]),
                mark=mark["kind"] if mark else "",
            )
        )
    return found


def words_of(command: str) -> list[str]:
    """Return the words of a command; `python -m btxrd.NAME` becomes `btxrd NAME`."""
    words = shlex.split(command, comments=True)
    while words and VARIABLE.fullmatch(words[0]):
        words = words[1:]
    if words[:2] == ["python", "-m"] and words[2].startswith("btxrd"):
        words = [*words[2].split("."), *words[3:]]
    return words


def prose_of(text: str) -> str:
    """Return the text of a page without its fenced blocks, comments and targets of links."""
    text = FENCED.sub("", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", text)


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }
