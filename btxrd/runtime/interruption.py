"""Signals that end a command or a run, by the names that this system has."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def signals(*names: str) -> tuple[signal.Signals, ...]:
    """Return the signals of these names; Windows does not have all of them."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


# SIGUSR2: Slurm sends it shortly before the time limit. SIGBREAK: ASKING, as Windows delivers it.
TERMINATING = signals("SIGTERM", "SIGUSR2", "SIGBREAK")
(ASKING,) = signals("CTRL_BREAK_EVENT") or (signal.SIGTERM,)  # asks a run to save its state and end


class Interruption:
    """Convert a termination signal to SystemExit. Inside `held()`, defer the exit to its end.

    Without a call of `listen`, no signal is handled.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_held = False

    def listen(self) -> None:
        """Handle the termination signals. Ignore Ctrl-C, which the parent process handles."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in TERMINATING:
            signal.signal(number, self.receive)

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Record the first signal, and exit at once unless held. Ignore any further signal."""
        if self._received is not None:
            return
        self._received = number
        if not self._is_held:
            self._exit_if_received()

    def end(self) -> None:
        """Ignore further signals, because the work that remains is short and must complete."""
        self._is_held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer the handling of a signal to the end of the block."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self._exit_if_received()

    def _exit_if_received(self) -> None:
        if self._received is not None:
            raise SystemExit(128 + self._received)
