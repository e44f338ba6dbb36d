"""The table of the runs of a sweep, which is updated on a terminal while they are executed."""

import csv
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from btxrd.artifacts.status import STATUS, RunStatus, read_status
from btxrd.artifacts.tables import HISTORY
from btxrd.errors import InputError, describe_error
from btxrd.execution.planning import Plan
from btxrd.pages import duration

REFRESH_SECONDS = 1.0
OTHER_LINES = 7  # head of the table, counts, bar, and one for the cursor
ECHO = 8  # columns after the bar, for the ^C that a terminal shows there: no line may be wrapped
NARROW, WIDE = 56, 80  # columns; below, not all columns and not all headings fit
STYLES = {"running": "bold", "failed": "red", "complete": "green", "refused": "yellow"}
ORDER = ("running", "failed", "interrupted", "complete", "waiting", "refused")


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        state: State as in status.json, or `refused`, or `waiting` before this call starts the run.
        epoch: Number of finished epochs.
        epochs: Largest number of epochs.
        val_macro_auc: Macro AUC on val of the last epoch, or of the best epoch of a complete run.
        seconds: Duration of the run, if it has ended.
        seconds_left: Longest time that the training may still take.
    """

    state: str
    epoch: int = 0
    epochs: int = 0
    val_macro_auc: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        """The share of the run that is done, between 0 and 1."""
        if self.state in ("complete", "failed", "refused"):
            return 1.0
        return self.epoch / self.epochs if self.state == "running" and self.epochs else 0.0


def read_progress(run_dir: Path, epochs: int, launch: str) -> Progress:
    """Read the progress of a run. If its files cannot be read, it counts as not started.

    Args:
        run_dir: Folder of the run.
        epochs: Largest number of epochs.
        launch: Name of this call, as in plan.json.
    """
    try:
        status = read_status(run_dir)
        rows = _history(run_dir)
    except (InputError, OSError, ValueError):
        return Progress("waiting", 0, epochs)
    if status is None or (status.state != "complete" and status.launch != launch):
        return Progress("waiting", 0, epochs)
    return _progress(status, rows, epochs)


def _progress(status: RunStatus, rows: Sequence[dict[str, str]], epochs: int) -> Progress:
    auc, left = status.val_macro_auc, None
    with suppress(ValueError, TypeError, LookupError, ZeroDivisionError):  # an incomplete row
        auc = float(rows[-1]["val_macro_auc"]) if auc is None else auc
        pace = sum(float(row["seconds"]) for row in rows) / len(rows)
        left = pace * (epochs - len(rows)) if status.state == "running" else None
    took = None if status.state == "running" else status.seconds  # of earlier attempts
    return Progress(status.state, len(rows), epochs, auc, took, left)


def _history(run_dir: Path) -> list[dict[str, str]]:
    path = run_dir / HISTORY.name
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class RunTable:
    """The runs of a sweep, read from their folders."""

    def __init__(self, plan: Plan, refused: Sequence[Path], launch: str) -> None:
        """Create the table of the planned runs.

        Args:
            plan: Plan of the command.
            refused: Folders of the runs that are not executed.
            launch: Name of this call, as in plan.json.
        """
        self.plan, self.launch, self.refused = plan, launch, set(refused)
        self.heading, self.names = _names(plan)
        self.found: dict[Path, Progress] = {}
        self.start = time.monotonic()
        self.read()
        self.share_before = self._share()

    def read(self) -> None:
        """Read again the runs that may have changed."""
        any_run = next(iter(self.plan.runs.values()))
        if self.plan.sweeper is not None:  # the sweeper proposes the runs later
            begun = sorted(path.parent for path in self.plan.folder.glob(f"*/{STATUS}"))
            self.names |= {run_dir: run_dir.name for run_dir in begun}
        for run_dir in self.names:
            before = self.found.get(run_dir)
            if run_dir in self.refused:
                self.found[run_dir] = Progress("refused")
            elif before is None or before.state not in ("complete", "failed"):
                config = self.plan.runs.get(run_dir, any_run)
                epochs = config.training.epochs
                self.found[run_dir] = read_progress(run_dir, epochs, self.launch)

    def render(self, width: int, height: int) -> Group:
        """Draw the table and a bar for the whole sweep.

        Args:
            width: Number of columns of the terminal.
            height: Number of lines of the terminal. Runs that do not fit are only counted.
        """
        headings = ["state", "epoch", "val macro AUC", "time"][: 4 if width >= NARROW else 2]
        numbered = list(enumerate(self.found.items()))
        shown = sorted(numbered, key=lambda item: ORDER.index(item[1][1].state))
        rows = [
            (progress.state, str(number), self.names[run_dir], *_cells(progress)[: len(headings)])
            for number, (run_dir, progress) in sorted(shown[: max(1, height - OTHER_LINES)])
        ]
        widths = []
        for at, heading in enumerate(headings, 3):
            words = heading.split() if width < WIDE else [heading]
            widths.append(max(map(len, [*words, *(row[at] for row in rows)])))
        digits = len(str(len(numbered)))
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("#", justify="right", width=digits)
        left = width - 1 - digits - sum(widths) - 2 * (len(widths) + 1)  # 1: an indent of old rich
        table.add_column(self.heading, no_wrap=True, overflow="ellipsis", max_width=max(left, 8))
        for heading, needed in zip(headings, widths, strict=True):
            table.add_column(heading, width=needed)
        for state, *cells in rows:
            table.add_row(*map(Text, cells), style=STYLES.get(state, "dim"))
        bar = ProgressBar(total=1.0, completed=self._share(), width=max(10, width - ECHO))
        return Group(table, Text(self._counts()), bar)

    def _share(self) -> float:
        total = len(self.found)
        if self.plan.sweeper is not None:
            total = max(total, self.plan.sweeper.trials or 0)
        return sum(one.share for one in self.found.values()) / total if total else 0.0

    def _counts(self) -> str:
        states = [one.state for one in self.found.values()]
        counted = ", ".join(f"{states.count(one)} {one}" for one in ORDER if one in states)
        passed = time.monotonic() - self.start
        share = self._share()
        done = share - self.share_before
        left = f", about {duration(passed / done * (1 - share))} left" if done > 0.02 else ""
        runs = "1 run" if len(states) == 1 else f"{len(states)} runs"
        return f"{runs}: {counted}; {duration(passed)} so far{left}"


def _names(plan: Plan) -> tuple[str, dict[Path, str]]:
    """Return the keys in which the runs differ, and their values in each run."""
    if plan.sweeper is not None:
        return "run", {}
    typed = {
        run_dir: dict(one.partition("=")[::2] for one in point.overrides)
        for run_dir, point in plan.points.items()
    }
    keys = list(dict.fromkeys(key for values in typed.values() for key in values))
    varied = [key for key in keys if len({values.get(key) for values in typed.values()}) > 1]
    if not varied:
        return "run", {run_dir: run_dir.name for run_dir in typed}
    heading = ", ".join(key.rpartition(".")[2] for key in varied)
    return heading, {
        run_dir: ", ".join(values.get(key, "") for key in varied)
        for run_dir, values in typed.items()
    }


def _cells(progress: Progress) -> tuple[str, str, str, str]:
    auc = progress.val_macro_auc
    time_ = ""
    if progress.seconds_left is not None:
        time_ = f"{duration(progress.seconds_left)} left"
    elif progress.seconds is not None:
        time_ = f"took {duration(progress.seconds)}"
    has_begun = progress.state not in ("waiting", "refused")
    epoch = f"{progress.epoch} of {progress.epochs}" if has_begun else ""
    return progress.state, epoch, "" if auc is None else f"{auc:.3f}", time_


class Display:
    """A terminal with a table of runs at its end, which is updated in place."""

    def __init__(self, console: Console) -> None:
        """Create a display on a terminal."""
        self.console = console

    @classmethod
    def here(cls) -> "Display | None":
        """Return the terminal of this process. None if there is none, or if it is a simple one."""
        console = Console()
        is_terminal = sys.stdout.isatty() and sys.stderr.isatty() and console.is_interactive
        return cls(console) if is_terminal else None

    @contextmanager
    def showing(self, runs: RunTable) -> Iterator[None]:
        """Show a table until the block ends. Other output appears above it."""

        def render() -> RenderableType:
            try:
                runs.read()
                return runs.render(self.console.width, self.console.height)
            except Exception as error:  # an error of the display must not end the sweep
                return Text(f"The table of runs cannot be shown: {describe_error(error)}")

        with Live(
            console=self.console,
            get_renderable=render,
            refresh_per_second=1 / REFRESH_SECONDS,
            transient=True,
            vertical_overflow="crop",
        ):
            yield

    def forward(self, stream: IO[bytes]) -> None:
        """Print the lines of a stream above the table, until the stream ends."""

        def copy() -> None:
            with stream:
                for line in stream:
                    text = Text(line.decode(errors="replace").rstrip())
                    self.console.print(text, soft_wrap=True)

        threading.Thread(target=copy, daemon=True).start()
