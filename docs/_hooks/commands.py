"""The help of each command, as it prints it."""

import os
from collections.abc import Callable
from functools import partial
from unittest import mock

from btxrd.config.parsers import PARSERS

WIDTH = 100  # columns


def help_of(command: str) -> str:
    """Return the help of a command as a block of text."""
    with mock.patch.dict(os.environ, {"COLUMNS": str(WIDTH)}):
        return f"```text\n{PARSERS[command]().format_help().rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    f"help of {command}": partial(help_of, command) for command in PARSERS
}
