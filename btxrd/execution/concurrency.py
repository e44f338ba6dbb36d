"""The number of parallel runs with the highest throughput on this machine: measured, and cached."""

import contextlib
import hashlib
import json
import math
import os
import pickle
import platform
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from btxrd.artifacts.plan import PLAN, read_plan
from btxrd.config.schema import Config
from btxrd.errors import DamagedError
from btxrd.runtime.cores import cores, memory, threads
from btxrd.runtime.files import read_json, read_or_build, write_json
from btxrd.runtime.placement import Placement, share_of, visible_gpus

VERSION = 2  # raise it if the measurement changes
WORTH_MEASURING = 500  # images of 224 px in a sweep; fewer take less time than measuring
GAIN = 1.1  # factor of throughput for which more runs are done in parallel
TOO_GOOD = 3  # throughput of N runs, as a multiple of N times that of one, which is implausible
MOST_PER_GPU = 8
MEMORY = 0.5  # share of a machine or GPU for trials: other runs of a sweep may need more
TIMEOUT = 180  # seconds for a trial
READY = "ready"  # line that a trial prints before it waits for its start


@dataclass(frozen=True)
class Trial:
    """Measurement of one of several parallel processes.

    Attributes:
        images_per_second: Throughput of its training steps.
        memory: Its peak memory, as a share of the memory of the machine.
        on_gpu: Its peak GPU memory, as a share of the memory of the GPU.
    """

    images_per_second: float
    memory: float
    on_gpu: float = 0.0


class TrialError(RuntimeError):
    """A trial without a result."""


def choose_at_once(
    sweep_dir: Path, runs: list[tuple[Config, int]], use_gpus: bool
) -> tuple[int, str]:
    """Return the number of parallel runs of a sweep, and the reason for it.

    A resumed sweep keeps its number of parallel runs. Each run then has as many threads as before,
    so this does not change its results.

    Args:
        sweep_dir: Folder of the sweep.
        runs: Configs of the runs to execute, each with its number of cases.
        use_gpus: Whether the runs may use GPUs.
    """
    with contextlib.suppress(DamagedError, OSError):  # reported when the sweep begins
        if (sweep_dir / PLAN).is_file():
            return min(read_plan(sweep_dir).at_once, cores()), "as when the sweep began"
    gpus = len(visible_gpus()) if use_gpus else 0
    candidates = _candidates(len(runs), gpus)
    if len(candidates) < 2:
        return 1, "there is one run to do" if len(runs) == 1 else "there is one core"
    if sum(least_images(config, cases) for config, cases in runs) < WORTH_MEASURING:
        return 1, "there is too little to do to measure more"
    config, _ = runs[0]
    try:
        speeds = _recall_or_measure(config, gpus, candidates)
    except TrialError as error:
        return 1, f"the throughput of more could not be measured ({error})"
    return decide({int(count): speed for count, speed in speeds.items()}, config)


def _candidates(runs: int, gpus: int) -> list[int]:
    """Return the numbers of parallel runs to try: one, two, four, and one for each GPU."""
    most = min(runs, cores(), gpus * MOST_PER_GPU if gpus else cores())
    doubled = [2**power for power in range(20) if 2**power <= most]
    return sorted({*doubled, min(gpus, most)} - {0})


def least_images(config: Config, cases: int) -> float:
    """Return the least number of images that a run trains on, in images of 224 px."""
    recipe = config.training
    epochs = min(recipe.epochs, recipe.patience + 1)
    return cases * epochs * (config.model.image_size / 224) ** 2


def _recall_or_measure(config: Config, gpus: int, candidates: list[int]) -> dict[str, float]:
    parts = [VERSION, asdict(config.model), config.training.batch_size, config.device, candidates]
    parts += [platform.node(), cores(), threads(), gpus, memory(), version("torch")]
    key = hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
    target = Path(config.data.cache) / f"pace-{key}.json"
    found: dict[str, float] = read_or_build(
        target, read_json, lambda beside: write_json(beside, measure(config, candidates, gpus))
    )
    return found


def measure(config: Config, candidates: list[int], gpus: int = 0) -> dict[int, float]:
    """Return the total number of images per second for each number of parallel runs.

    The numbers are tried in their order, until more runs have no higher throughput, or do not fit
    into memory.

    Raises:
        TrialError: If a trial fails that should fit, or if other programs disturb the measurement.
    """
    print("Measuring how many parallel runs have the highest throughput", flush=True)
    found: dict[int, float] = {}
    in_memory = on_gpu = 0.0
    for count in candidates:
        on_one_gpu = math.ceil(count / gpus) if gpus else 0
        if in_memory * count > MEMORY or on_gpu * on_one_gpu > MEMORY:
            break
        trials = try_out(config, count)
        in_memory = max(trial.memory for trial in trials)
        on_gpu = max(trial.on_gpu for trial in trials)
        before = max(found.values(), default=0.0)
        found[count] = sum(trial.images_per_second for trial in trials)
        if found[count] > TOO_GOOD * count * found[candidates[0]]:
            raise TrialError("other programs were using the machine")
        if found[count] < GAIN * before:
            break
    return found


def decide(speeds: dict[int, float], config: Config) -> tuple[int, str]:
    """Return the smallest number of runs whose throughput no other number exceeds by GAIN."""
    what = f"{config.model.backbone}, {config.model.image_size} px"
    if len(speeds) == 1:
        return 1, f"more may not fit into memory ({what}, measured)"
    best = 1
    for count, speed in sorted(speeds.items()):
        if speed >= GAIN * speeds[best]:
            best = count
    other = best if best > 1 else max(speeds)
    times = speeds[other] / speeds[1]
    return (
        best,
        f"{other} parallel runs have {times:.2f} times the throughput of one ({what}, measured)",
    )


def try_out(config: Config, count: int) -> list[Trial]:
    """Execute training steps in `count` parallel processes.

    Raises:
        TrialError: If a process fails.
    """
    gpus = visible_gpus() if config.device in ("auto", "cuda") else []
    processes: list[subprocess.Popen[bytes]] = []
    alarm = threading.Timer(TIMEOUT, kill, [processes])
    alarm.start()
    try:
        for number in range(count):
            placement = Placement(share_of(count), gpus[number % len(gpus)] if gpus else None)
            processes.append(start("btxrd.execution.trial", placement))
        for process in processes:
            _tell(process, pickle.dumps(config))
        if [_hear(process) for process in processes] != [READY] * count:
            raise ValueError
        for process in processes:
            _tell(process, b"\n")
        return [Trial(**json.loads(_hear(process))) for process in processes]
    except (OSError, ValueError) as error:
        raise TrialError(
            f"one of {count} parallel runs failed or took {TIMEOUT} seconds"
        ) from error
    finally:
        alarm.cancel()
        kill(processes)


def start(module: str, placement: Placement) -> "subprocess.Popen[bytes]":
    """Start a module as a program, with pipes to its stdin and stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
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


def kill(processes: "list[subprocess.Popen[bytes]]") -> None:
    """End processes, close their pipes, and wait for them."""
    for process in processes:
        process.kill()
    for process in processes:
        with contextlib.suppress(OSError), process:
            pass
