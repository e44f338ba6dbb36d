"""The command `btxrd`, which `python -m btxrd` is too: it calls one of the commands."""

import difflib
import importlib
import sys

from btxrd import __version__
from btxrd.config.parser import COMMANDS, COMPLETION, Parser, section
from btxrd.config.parsers import PARSERS
from btxrd.errors import printable
from btxrd.runtime.surroundings import settle_in

MODULES = {"audit": "btxrd.audit.__main__"}  # of the commands that are a package


def main() -> int:
    """Call the command that is named first; return its exit status, or 2 if there is none."""
    settle_in()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        del sys.argv[1]
        if PARSERS[name]().answer_help(sys.argv[1:]):
            return 0
        command = importlib.import_module(MODULES.get(name, f"btxrd.{name}"))
        return int(command.main())
    if name in ("-h", "--help", ""):
        _parser().print_help(sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name == "--version":
        print(f"btxrd {__version__}")
        return 0
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(COMMANDS)}"
    print(f"btxrd {printable(name)}: no such command; {hint}", file=sys.stderr)
    return 2


def _parser() -> Parser:
    parser = Parser(
        "COMMAND",
        "...",
        "Train and evaluate classifiers of bone-tumour radiographs, one run or a sweep of runs.",
        section("commands", COMMANDS),
        "btxrd COMMAND --help shows the arguments of a command.",
        COMPLETION,
    )
    parser.usage = "btxrd COMMAND [OPTIONS] ..."
    parser.add_argument("--version", action="store_true", help="show the version, and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
