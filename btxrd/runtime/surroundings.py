"""The environment of a command: streams that may be closed, and settings of other tools.

A sweep must not end because its output is no longer read.
"""

import io
import os
import signal
import sys
import warnings
from typing import Any, cast


def settle_in() -> None:
    """Prepare the streams, signals and settings of a process. Each command calls this first."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise it is ignored
        signal.signal(signal.SIGINT, lambda *_: sys.exit(128 + signal.SIGINT))
    _open_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a terminal without UTF-8
            setattr(sys, name, _Forgiving(stream))
    os.environ["MPLBACKEND"] = (
        "agg"  # read when Matplotlib is imported; a notebook sets another backend
    )
    os.environ.pop("PYTHONWARNINGS", None)  # it could turn warnings of libraries into errors
    cast(Any, warnings.filters)[:] = [kept for kept in warnings.filters if kept[0] != "error"]


def _open_streams() -> None:
    """Open the standard streams that are closed. Otherwise, a file would get their number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


class _Forgiving:
    """A stream that discards text that cannot be written, for example after a pipe was closed."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
