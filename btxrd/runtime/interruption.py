"""Signals that ask a run to end, heeded where nothing is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGUSR2)  # SIGUSR2: Slurm's, shortly before the time limit


class Interruption:
    """Turns a signal into SystemExit, but not in the middle of what must stay whole.

    One that does not listen never fires.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_held = False

    def listen(self) -> None:
        """Take over the signals of this process; Ctrl-C is left to the process that started it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in ASKING:
            signal.signal(number, self.receive)

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Note the first signal, and heed it at once unless held; the run is ending then."""
        if self._received is not None:
            return
        self._received = number
        if not self._is_held:
            self._heed()

    def end(self) -> None:
        """Heed none any more: what is left to do is short, and must stay whole."""
        self._is_held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Heed a signal at the end of the block only."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self._heed()

    def _heed(self) -> None:
        if self._received is not None:
            raise SystemExit(128 + self._received)
