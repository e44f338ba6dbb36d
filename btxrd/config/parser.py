"""The common form of the arguments and of the help of all commands.

This module does not load Hydra, so that help is fast.
"""

import argparse
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from btxrd.errors import InputError

COMMANDS = {
    "run": "train and evaluate models: one run, or a sweep of runs",
    "summarize": "write the summary and the report of a sweep, and print its progress",
    "score": "compute the metrics, the plots and the model card of finished runs again",
    "download": "fetch the BTXRD data set",
    "audit": "check a data set: its content, its errors, and what leaks between partitions",
    "completion": "print the code that switches on shell completion",
}
COMPLETION = """\
shell completion:
  eval "$(btxrd completion bash)"       add this line to ~/.bashrc
  source <(btxrd completion zsh)        add this line to ~/.zshrc, after compinit
  btxrd completion fish | source        add this line to ~/.config/fish/config.fish"""
SMALLEST = 40  # columns of a terminal


class Parser(argparse.ArgumentParser):
    """Parser of one command. Wrong arguments raise an error of one line."""

    def __init__(self, command: str, operands: str, about: str, *sections: str) -> None:
        """Describe a command.

        Args:
            command: Name, such as `run`.
            operands: Operands in the usage line, such as `DIR ...`.
            about: Description of the command, in full sentences.
            sections: Further sections of the help, each with its heading; see `section`.
        """
        super().__init__(
            prog=f"btxrd {command}",
            usage=f"btxrd {command} [OPTIONS] {operands}",
            description=textwrap.fill(about, _width()),
            epilog="\n\n".join(sections),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.arguments: list[argparse.Action] = []
        self.add_argument("-h", "--help", action="help", help="show this text, and exit")

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, and record it for completion."""
        self.arguments.append(super().add_argument(*names, **options))
        return self.arguments[-1]

    def taking_overrides(self) -> "Parser":
        """Add an argument for settings, and return the parser."""
        self.add_argument(
            "overrides", nargs="*", metavar="KEY=VALUE", help="a setting, as of btxrd run"
        )
        return self

    def answer_help(self, arguments: Sequence[str]) -> bool:
        """Print the help if an argument requests it. Return whether one does."""
        is_asked = not {"-h", "--help"}.isdisjoint(arguments)
        if is_asked:
            self.print_help()
        return is_asked

    def error(self, message: str) -> NoReturn:
        """Raise an error for a wrong argument.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{message}; see {self.prog} --help")


def section(heading: str, rows: Mapping[str, str]) -> str:
    """Format a section of a help text: two columns, the second wrapped to the terminal."""
    widest = max(map(len, rows)) + 4
    lines = [f"{heading}:"]
    for name, text in rows.items():
        lines += textwrap.wrap(
            text,
            _width(),
            initial_indent=f"  {name}".ljust(widest),
            subsequent_indent=" " * widest,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def examples(rows: Mapping[str, str]) -> str:
    """Format examples: each command below a description."""
    lines = ["examples:"]
    for command, text in rows.items():
        lines += [f"  # {text}", f"  {command}"]
    return "\n".join(lines)


def other_commands(command: str) -> str:
    """Format the list of all commands except this one."""
    others = {f"btxrd {name}": text for name, text in COMMANDS.items() if name != command}
    return section("other commands", others)


def _width() -> int:
    return max(shutil.get_terminal_size().columns - 2, SMALLEST)
