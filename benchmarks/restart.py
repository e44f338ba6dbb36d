"""Time to start a finished sweep of 100 runs again, beside Hydra planning 100 empty jobs.

The sweep is one real run, copied. Each row is the median of ratios between commands run in turn.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from btxrd.compose import register_schema
from btxrd.files import read_json, write_json
from btxrd.planning import plan_sweep
from btxrd.sweep.fingerprint import fingerprint

RUNS, TURNS = 100, 5
OURS = ["training.epochs=1", "model.image_size=32", "model.backbone=resnet18"]
OURS += ["data.phantom.cases=72", "hydra.sweep.dir=out", "hydra.sweep.subdir=seed-${seed}"]
EMPTY = """
import hydra
@hydra.main(version_base="1.3", config_path=None)
def job(config): pass
job()
"""


def btxrd(seeds: str) -> list[str]:
    return [sys.executable, "-m", "btxrd.run", "-m", f"seed={seeds}", *OURS]


def copy_run(folder: Path) -> None:
    """Make a finished sweep of a run."""
    register_schema()
    plan = plan_sweep([f"seed=range({RUNS})", *OURS], "config", None)
    names = [run_dir.name for run_dir in plan.runs]
    for seed, (run_dir, config) in enumerate(plan.runs.items()):
        copy = folder / run_dir
        if seed > 0:
            shutil.copytree(folder / "out" / names[0], copy)
        stored = yaml.safe_load((copy / "config.yaml").read_text())
        (copy / "config.yaml").write_text(yaml.safe_dump(stored | {"seed": seed}))
        status = read_json(copy / "status.json")
        write_json(copy / "status.json", status | {"fingerprint": fingerprint(config)})
    write_json(
        folder / "out" / "plan.json", read_json(folder / "out" / "plan.json") | {"runs": names}
    )


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.py").write_text(EMPTY)
        hydra = [sys.executable, "empty.py", "-m", f"+x=range({RUNS})"]
        seconds(btxrd("0,1"), folder)
        shutil.rmtree(folder / "out" / "seed-1")
        copy_run(folder)
        again = btxrd(f"range({RUNS})")
        pairs = [(seconds(again, folder), seconds(hydra, folder)) for _ in range(TURNS)]
    ratio = statistics.median(one / other for one, other in pairs)
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"started again: {ours:.2f} s; Hydra, empty jobs: {theirs:.2f} s; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
