"""How many runs side by side do the most work on this machine: measured, and kept."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from btxrd.cores import cores, threads
from btxrd.files import read_json, read_or_build, write_json
from btxrd.schema import Config
from btxrd.sweep.placement import Placement, visible_gpus
from btxrd.sweep.plan import PLAN, read_plan

VERSION = 1  # of what is measured; raise it when that changes
WORTH_MEASURING = 500  # images of 224 px to come in a sweep; fewer are done before it is known
GAIN = 1.1  # of the work done, for which more runs are started at once
MOST_PER_GPU = 8
MEMORY = 0.8  # of the machine's, that the runs may take together
PATIENCE = 180  # seconds for a trial
READY = "ready"  # what a trial says before it is told to go


@dataclass(frozen=True)
class Trial:
    """What one of several processes did while all were at it.

    Attributes:
        images_per_second: in training steps.
        memory: bytes that it took, at most.
    """

    images_per_second: float
    memory: int


def choose_at_once(
    sweep_dir: Path, runs: list[tuple[Config, int]], use_gpus: bool
) -> tuple[int, str]:
    """Say how many runs of a sweep to do side by side, and why.

    A sweep that goes on does as many as it began with: each run has as many threads as before, and
    so the same numbers.

    Args:
        sweep_dir: of the sweep.
        runs: that are to be done, each with the number of its cases.
        use_gpus: whether the runs may use them.
    """
    if (sweep_dir / PLAN).is_file():
        return read_plan(sweep_dir).at_once, "as when the sweep began"
    gpus = len(visible_gpus()) if use_gpus else 0
    candidates = [count for count in _candidates(gpus) if count <= len(runs)]
    work = sum(_images(config, cases) for config, cases in runs)
    if len(candidates) < 2 or work < WORTH_MEASURING:
        return 1, "there is too little to do for more at once"
    config, _ = runs[0]
    measured = _recall_or(config, gpus, lambda: measure(config, candidates))
    return decide({int(count): speed for count, speed in measured.items()}, config)


def _candidates(gpus: int) -> list[int]:
    """Numbers of runs at once that are worth a try: one, then twice as many each time."""
    unit, most = (gpus, min(cores(), gpus * MOST_PER_GPU)) if gpus else (1, cores())
    counts = [unit * 2**power for power in range(20) if unit * 2**power <= most]
    return sorted({1, *counts})


def _images(config: Config, cases: int) -> float:
    """Images of 224 px that a run trains on at least."""
    recipe = config.training
    epochs = min(recipe.epochs, recipe.patience + 1)
    return cases * epochs * (config.model.image_size / 224) ** 2


def _recall_or(
    config: Config, gpus: int, measured: Callable[[], dict[int, float]]
) -> dict[str, float]:
    parts = [VERSION, asdict(config.model), config.training.batch_size, config.device]
    parts += [cores(), threads(), gpus, version("torch")]
    key = hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
    target = Path(config.data.cache) / f"pace-{key}.json"
    found: dict[str, float] = read_or_build(
        target, read_json, lambda beside: write_json(beside, measured())
    )
    return found


def measure(config: Config, candidates: list[int]) -> dict[int, float]:
    """Images per second of all runs together, by how many there are at once.

    The numbers are tried in their order, until more of them do no more, or do not fit.
    """
    print("Measuring how many runs at once do the most work", flush=True)
    found: dict[int, float] = {}
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY
    memory = 0
    for count in candidates:
        if memory * count > available:
            break
        trials = try_out(config, count)
        if trials is None:
            break
        memory = max(trial.memory for trial in trials)
        before = max(found.values(), default=0.0)
        found[count] = sum(trial.images_per_second for trial in trials)
        if found[count] < GAIN * before:
            break
    return found


def decide(speeds: dict[int, float], config: Config) -> tuple[int, str]:
    """Choose from what `measure` found: the fewest runs at once that none does GAIN better than."""
    what = f"{config.model.backbone}, {config.model.image_size} px"
    if not speeds:
        return 1, f"how fast they are could not be measured ({what})"
    if len(speeds) == 1:
        return 1, f"two do not fit into memory ({what})"
    best = 1
    for count, speed in sorted(speeds.items()):
        if speed >= GAIN * speeds[best]:
            best = count
    other = best if best > 1 else max(speeds)
    times = speeds[other] / speeds[1]
    return best, f"{other} at once do {times:.2f} times the work of one ({what}, measured)"


def try_out(config: Config, count: int) -> list[Trial] | None:
    """Let `count` processes take training steps side by side; None where one of them fails."""
    gpus = visible_gpus() if config.device in ("auto", "cuda") else []
    share = threads() if count == 1 else min(threads(), max(1, cores() // count))
    processes: list[subprocess.Popen[bytes]] = []
    alarm = threading.Timer(PATIENCE, _kill, [processes])
    alarm.start()
    try:
        for number in range(count):
            placement = Placement(share, gpus[number % len(gpus)] if gpus else None)
            processes.append(_start(placement))
        for process in processes:
            _tell(process, pickle.dumps(config))
        if [_hear(process) for process in processes] != [READY] * count:
            return None
        for process in processes:
            _tell(process, b"\n")
        return [Trial(**json.loads(_hear(process))) for process in processes]
    except (OSError, ValueError):  # it is gone: out of memory, no such device, killed by the alarm
        return None
    finally:
        alarm.cancel()
        _kill(processes)


def _start(placement: Placement) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "btxrd.sweep.trial"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | placement.environment,
    )


def _tell(process: "subprocess.Popen[bytes]", message: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(message)
    process.stdin.flush()


def _hear(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def _kill(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        with process:  # closes its pipes, and waits for it
            process.kill()
