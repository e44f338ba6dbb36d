"""The runs of a command line, each with its folder, before any of them starts."""

import hashlib
import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from btxrd.artifacts.status import STATUS
from btxrd.config.commandline import CommandLine
from btxrd.config.compose import register_schema
from btxrd.config.request import Launcher, Point, Request, Sweeper, request
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.ahead.preflight import Findings
from btxrd.execution.concurrency import choose_at_once
from btxrd.runtime.placement import runs_at_once

IS_WINDOWS = sys.platform == "win32"
LONGEST_NAME = 100 if IS_WINDOWS else 240  # bytes; a name has at most 255, a Windows path 260
FORBIDDEN = re.compile(  # in a name on Windows; elsewhere all characters are allowed
    r'[<>:"|?*\\\x01-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)' if IS_WINDOWS else "(?!)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Plan:
    """The runs of a command line, composed and checked, before any of them starts.

    Attributes:
        request: The composed command line.
        points: The runs in order, by their folders. A search has one, which represents all.
    """

    request: Request
    points: dict[Path, Point]

    @property
    def folder(self) -> Path:
        """Folder of the run, or of the sweep."""
        return self.request.folder.path

    @cached_property
    def runs(self) -> dict[Path, Config]:
        """Config of each run by its folder."""
        return {run_dir: point.config for run_dir, point in self.points.items()}

    @property
    def is_sweep(self) -> bool:
        """Whether the command line defines a sweep."""
        return self.request.launcher is not None

    @property
    def launcher(self) -> Launcher:
        """Launcher of the runs of a sweep; None for a single run."""
        assert self.request.launcher is not None
        return self.request.launcher

    @property
    def is_local(self) -> bool:
        """Whether btxrd executes the runs on this machine."""
        return not self.is_sweep or self.launcher.is_local

    @property
    def sweeper(self) -> Sweeper | None:
        """Sweeper that proposes the runs of a search; None without a search."""
        return self.request.sweeper

    @property
    def fail_fast(self) -> bool:
        """Whether the first failure stops the sweep."""
        return any(config.fail_fast for config in self.runs.values())

    @property
    def images(self) -> bool:
        """Whether the report of a sweep shows images."""
        return all(config.report.images for config in self.runs.values())

    @property
    def margin(self) -> float:
        """The smallest difference in macro AUC that matters: the largest of the runs."""
        return max(config.report.margin for config in self.runs.values())

    @property
    def use_gpus(self) -> bool:
        """Whether the runs may use GPUs."""
        return any(config.device in ("auto", "cuda") for config in self.runs.values())

    def at_once(self, found: Findings) -> int:
        """Return the number of parallel runs on this machine. Print the reason if btxrd chose it.

        Complete runs count, too: a resumed sweep gives each run as many threads as before, so
        this does not change its results.
        """
        n_jobs = self.launcher.n_jobs
        if not self.launcher.is_local or (n_jobs is None and self.sweeper is not None):
            return 1
        if n_jobs is not None:
            config = next(iter(self.runs.values()))
            runs = None if self.sweeper is not None else len(self.runs)
            return runs_at_once(n_jobs, runs, config.runs_per_gpu, use_gpus=self.use_gpus)
        count, reason = choose_at_once(
            self.folder,
            [(self.runs[at], counts.cases) for at, counts in found.counts.items()],
            self.use_gpus,
        )
        if found.counts:
            print(f"{'One run at a time' if count == 1 else f'{count} runs in parallel'}: {reason}")
        return count


def plan(typed: CommandLine) -> Plan:
    """Compose and check the runs of a command line.

    Raises:
        InputError, HydraException: If a run cannot be composed, or if a value is wrong.
    """
    asked = request(typed)
    folder = asked.folder.path
    if asked.launcher is None:
        return Plan(asked, {folder: asked.points[0]})
    if asked.sweeper is not None:
        return Plan(asked, {folder / "search": asked.points[0]})
    return Plan(asked, folders_of(folder, asked.points))


def folders_of(sweep_dir: Path, points: Sequence[Point]) -> dict[Path, Point]:
    """Return each run with its folder.

    Raises:
        InputError: If two runs would share a folder, or if a run has no name.
    """
    found: dict[Path, Point] = {}
    constant = set.intersection(*(set(point.overrides) for point in points)) if points else set()
    for point in points:
        run_dir = folder_of(sweep_dir, point, constant)
        if run_dir in found:
            raise InputError(
                f"{' '.join(point.overrides)}: two runs of this sweep would share the folder "
                f"{run_dir.name}; sweep only over keys that name a folder, or set "
                "hydra.sweep.subdir"
            )
        found[run_dir] = point
    return found


def folder_of(sweep_dir: Path, point: Point, constant: Collection[str] = ()) -> Path:
    """Return the folder of a run, which is directly in the folder of its sweep.

    A slash in the name becomes a dot. Up to version 0.1, it created nested folders; a run in such
    folders stays there. A name that is too long is shortened. On Windows, a forbidden character is
    replaced.

    Args:
        sweep_dir: Folder of the sweep.
        point: The run.
        constant: Overrides that all runs of the sweep have.

    Raises:
        InputError: If the run has no name.
    """
    subdir = Path(point.subdir)
    is_inside = not subdir.is_absolute() and ".." not in subdir.parts
    is_short = all(len(part.encode()) <= LONGEST_NAME for part in subdir.parts)
    if len(subdir.parts) > 1 and is_inside and is_short and (sweep_dir / subdir / STATUS).is_file():
        return sweep_dir / subdir
    name = point.subdir.replace("/", ".")
    if not name:
        raise InputError("nothing to sweep over: leave out -m, or give a key several values")
    if subdir.is_absolute():
        raise InputError(
            f"hydra.sweep.subdir={point.subdir}: must be the name of a folder in hydra.sweep.dir, "
            "not an absolute path"
        )
    if not name.strip("."):
        raise InputError(f"hydra.sweep.subdir={point.subdir}: must be the name of a folder")
    if "\0" in name:
        raise InputError(f"hydra.sweep.subdir={name!r}: is not a valid folder name")
    is_usable = len(os.fsencode(name)) <= LONGEST_NAME and FORBIDDEN.search(name) is None
    return sweep_dir / (name if is_usable else _shortened(name, constant))


def _shortened(name: str, constant: Collection[str]) -> str:
    """Return a short name for a folder. Equal names have equal short names, others have others.

    The overrides that all runs have and the last digits of long numbers are left out. A hash of
    the whole name distinguishes runs with equal short names.
    """
    kept = name
    for text in constant:
        part = re.escape(text.replace("/", "."))
        kept = re.sub(f"(^|,){part}(?=,|$)", "", kept)
    kept = re.sub(r"\d+\.\d{5,}(e-?\d+)?", lambda found: f"{float(found[0]):.4g}", kept)
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]
    kept = FORBIDDEN.sub("_", kept.lstrip(","))
    start = os.fsencode(kept)[: LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
    return f"{start},{digest}".lstrip(",")


def plan_run(
    overrides: list[str], config_name: str = "config", config_dir: str | None = None
) -> Plan:
    """Compose and check one run; see `plan`."""
    return plan(CommandLine(overrides, config_name, config_dir))


def plan_sweep(
    overrides: list[str], config_name: str = "config", config_dir: str | None = None
) -> Plan:
    """Compose and check the runs of a sweep; see `plan`."""
    return plan(CommandLine(overrides, config_name, config_dir, is_sweep=True))


def compose_one(overrides: list[str]) -> Plan:
    """Compose one run from its overrides; see `plan`."""
    register_schema()
    return plan_run(overrides)
