"""Signals that end a run, handled at points where nothing is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATING = (signal.SIGTERM, signal.SIGUSR2)  # SIGUSR2: Slurm's, shortly before the time limit


class Interruption:
    """Convert a termination signal to SystemExit. Inside `held()`, defer the exit to its end.

    Without a call of `listen`, no signal is handled.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_held = False

    def listen(self) -> None:
        """Handle the signals of this process; Ctrl-C is handled by the process that started it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in TERMINATING:
            signal.signal(number, self.receive)

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Record the first signal, and exit at once unless held. Later ones are ignored."""
        if self._received is not None:
            return
        self._received = number
        if not self._is_held:
            self._exit_if_received()

    def end(self) -> None:
        """Ignore further signals: what remains is short, and must not be interrupted."""
        self._is_held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Handle a signal at the end of the block only."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self._exit_if_received()

    def _exit_if_received(self) -> None:
        if self._received is not None:
            raise SystemExit(128 + self._received)
