"""The help of each command, as it prints it."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

COMMANDS = ("run", "summarize", "score", "audit", "download")


def help_of(command: str) -> str:
    """Return the help of a command as a block of text."""
    shown = subprocess.run(
        [sys.executable, "-m", f"btxrd.{command}", "--help"],
        env=os.environ | {"COLUMNS": "88"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return f"```text\n{shown.stdout.rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    f"help of {command}": partial(help_of, command) for command in COMMANDS
}
