"""An estimate of how long a sweep takes on this machine, from a few steps of each model.

Separate processes make the measurement: `python -m btxrd.execution.ahead.forecast`.
"""

import contextlib
import hashlib
import heapq
import json
import math
import pickle
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path

from btxrd.artifacts.sidecar import CHECKPOINTS, LAST
from btxrd.config.schema import Config
from btxrd.errors import InputError
from btxrd.execution.ahead.preflight import Findings
from btxrd.execution.ahead.space import Counts
from btxrd.execution.concurrency import WORTH_MEASURING, kill, start
from btxrd.execution.planning import Plan
from btxrd.pages import duration
from btxrd.runtime.cores import cores
from btxrd.runtime.files import read_json, write_json
from btxrd.runtime.placement import Placement, share_of, visible_gpus

VERSION = 1  # raise it if the measurement changes
WITH_LESIONS = ("lesion", "cam")  # kinds of annotations with another training step
SPEEDS = "speeds.json"  # file in `data.cache`: measurements by the name of what was measured
TIMEOUT = 120  # seconds for all measurements; without a result, no estimate is printed
SECONDS = 0.5  # intended duration of a measured step
MASKED = 3  # predictions of a masked test case
GRADCAM = 1.2  # time of a Grad-CAM map, in predictions
OVERHEAD_IMAGES = 100  # what a run costs besides training, in training images of 224 px
OVERHEAD = 2.5  # time of a run outside the network, in times of loading PyTorch


@dataclass(frozen=True)
class Speed:
    """Measurement of one of several parallel processes for a model, in seconds.

    Attributes:
        load: Time to load PyTorch and the other libraries.
        update: Time of the optimiser in a training step.
        train: Further time of a training step per image.
        predict: Time of a prediction per image.
    """

    load: float
    update: float
    train: float
    predict: float


def describe_duration(plan: Plan, found: Findings, at_once: int) -> str | None:
    """Return one line with the expected duration of a sweep.

    Returns:
        None if the duration cannot be measured in advance, as on a GPU, on Slurm or in a search,
        or if there is too little to do.
    """
    if not plan.is_local or plan.sweeper is not None or (plan.use_gpus and visible_gpus()):
        return None
    runs = {run_dir: plan.runs[run_dir] for run_dir in found.counts}
    names = {run_dir: _name(config, at_once) for run_dir, config in runs.items()}
    configs = {names[run_dir]: config for run_dir, config in runs.items()}
    work = sum(_images(config, found.counts[it].cases) for it, config in runs.items())
    speeds = _recall_or_measure(configs, at_once, is_worthwhile=work >= WORTH_MEASURING)
    if not runs or not configs.keys() <= speeds.keys():
        return None
    times = [
        run_seconds(config, found.counts[it], speeds[names[it]], _finished_epochs(it))
        for it, config in runs.items()
    ]
    count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    return (
        f"{count} to do: about {duration(makespan(times, at_once))} "
        "(estimated from a few steps of each model; early stopping can make it shorter)"
    )


def _images(config: Config, cases: int) -> float:
    """Return how much work a run is at most, in training images of 224 px."""
    return OVERHEAD_IMAGES + cases * config.training.epochs * (config.model.image_size / 224) ** 2


def run_seconds(config: Config, counts: Counts, speed: Speed, finished: int = 0) -> float:
    """Estimate the duration of a run.

    Args:
        config: Config of the run.
        counts: Numbers of its cases.
        speed: Measurement of its model.
        finished: Number of epochs that an interrupted run has finished.
    """
    annotations, recipe = config.annotations, config.training
    second_views = counts.train if annotations.sham == "normals" else counts.outlined
    views = counts.train + (second_views if annotations.kind == "guided" else 0)
    steps = math.ceil(views / recipe.batch_size)
    images = steps * math.ceil(views / max(1, steps))
    predict = speed.predict * (2 if config.model.test_flip else 1)
    epoch = steps * speed.update + images * speed.train + (counts.val or counts.test) * predict
    evaluated = counts.val + counts.test + MASKED * counts.masked
    evaluation = (evaluated + GRADCAM * counts.outlined_in_test) * predict
    total = max(0, recipe.epochs - finished) * epoch + OVERHEAD * speed.load
    return total + (evaluation if config.evaluate else 0)


def makespan(times: Iterable[float], at_once: int) -> float:
    """Return the time at which the last run ends. At most `at_once` runs are active at a time."""
    places = [0.0] * at_once
    for seconds in times:
        heapq.heapreplace(places, places[0] + seconds)
    return max(places)


def _finished_epochs(run_dir: Path) -> int:
    """Return the number of epochs after which a run will resume."""
    from btxrd.artifacts.tables import HISTORY  # loads pandas

    path = run_dir / HISTORY.name
    if not (run_dir / CHECKPOINTS / LAST).is_file() or not path.is_file():
        return 0
    return max(0, len(path.read_bytes().splitlines()) - 1)


def _name(config: Config, at_once: int) -> str:
    """Return a hash of everything that the measurement depends on."""
    model = replace(config.model, pretrained=False, weights=None, test_flip=False)
    kind = config.annotations.kind
    parts = [VERSION, asdict(model), kind if kind in WITH_LESIONS else "none"]
    parts += [config.training.batch_size]
    parts += [config.device, platform.node(), cores(), at_once, share_of(at_once), version("torch")]
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _recall_or_measure(
    configs: dict[str, Config], at_once: int, *, is_worthwhile: bool
) -> dict[str, Speed]:
    """Return the measurements by name. Missing ones are measured if this is worthwhile."""
    known: dict[str, Speed] = {}
    missing = dict(configs)
    for cache in {Path(config.data.cache) for config in configs.values()}:
        with contextlib.suppress(OSError, TypeError, AttributeError, InputError):
            known |= {name: Speed(**found) for name, found in read_json(cache / SPEEDS).items()}
    missing = {name: config for name, config in configs.items() if name not in known}
    if missing and is_worthwhile:
        print("Measuring a few training steps of each model, to estimate the duration", flush=True)
        known |= dict(zip(missing, _measure(list(missing.values()), at_once), strict=False))
        cache = Path(next(iter(configs.values())).data.cache)
        with contextlib.suppress(OSError, InputError):  # the file only saves time
            write_json(cache / SPEEDS, {name: asdict(speed) for name, speed in known.items()})
    return known


def _measure(configs: list[Config], at_once: int) -> list[Speed]:
    """Return the mean of what `at_once` parallel processes measure; empty if this fails."""
    placement = Placement(share_of(at_once))
    processes = [start("btxrd.execution.ahead.forecast", placement) for _ in range(at_once)]
    deadline = time.monotonic() + TIMEOUT
    try:
        for process in processes:
            assert process.stdin is not None
            pickle.dump(configs, process.stdin)
            process.stdin.close()
        found = []
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
            assert process.stdout is not None
            found.append([Speed(**speed) for speed in json.load(process.stdout)])
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):
        return []
    finally:
        kill(processes)
    return [_mean(speeds) for speeds in zip(*found, strict=True)]


def _mean(speeds: Iterable[Speed]) -> Speed:
    rows = [asdict(speed) for speed in speeds]
    names = [item.name for item in fields(Speed)]
    return Speed(**{name: sum(row[name] for row in rows) / len(rows) for name in names})


def main() -> None:
    """Measure the models of the configs on stdin, and write the results to stdout as JSON."""
    configs: list[Config] = pickle.load(sys.stdin.buffer)
    start = time.perf_counter()
    from btxrd.training import acceleration, step  # noqa: F401, and with them PyTorch and timm

    load = time.perf_counter() - start
    print(json.dumps([asdict(_speed(config, load)) for config in configs]))


def _speed(config: Config, load: float) -> Speed:
    """Measure a training step on random images, and predictions.

    Raises:
        RuntimeError: If the device of the config is not a CPU.
    """
    import torch
    from torch import Tensor, nn

    from btxrd.data.batches import Batch
    from btxrd.model.factory import create_model
    from btxrd.model.fit import without_draws
    from btxrd.runtime.device import choose_device, make_reproducible
    from btxrd.training.acceleration import to_device
    from btxrd.training.loss import Objective
    from btxrd.training.step import Step, adamw

    make_reproducible(0)
    device, kind = choose_device(config.device), config.annotations.kind
    if device.type != "cpu":
        raise RuntimeError(f"{device}: durations are measured on CPUs only")
    settings = asdict(replace(config.model, pretrained=False, weights=None))
    del settings["_target_"]
    with without_draws():
        model = create_model(**settings, num_classes=3, lesion_map=kind == "lesion")
    to_device(model, device).train()
    objective = Objective(nn.CrossEntropyLoss(), kind, 1.0, 0)
    step = Step(model, objective, adamw(model, config.training.lr), device)
    size = config.model.image_size

    def images(count: int) -> Tensor:
        drawn = torch.rand(count, len(model.normalisation.mean), size, size)
        return drawn.contiguous(memory_format=torch.channels_last)

    def train(count: int) -> None:
        lesions = torch.ones(count, 1, size, size) if kind in WITH_LESIONS else None
        step(Batch(images(count), torch.arange(count) % 3, lesions))

    train(2)  # also prepares the kernels
    # The number of images follows from the time of the cores, which other programs do not raise.
    slow = _seconds(lambda: train(2), time.process_time) / torch.get_num_threads()
    count = min(config.training.batch_size, max(2, round(2 * SECONDS / slow)))
    total = min(_seconds(lambda: train(count)) for _ in range(2))
    update = _seconds(step.optimiser.step)
    model.eval()
    with torch.inference_mode():
        predict = min(_seconds(lambda: model(images(count))) for _ in range(2))
    return Speed(load, update, max(0.0, total - update) / count, predict / count)


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
