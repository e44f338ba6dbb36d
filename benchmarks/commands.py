"""Benchmark commands: help, a complete run, planning a sweep, restarting a finished sweep."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.measure import Row, in_turn, seconds
from btxrd.config.compose import register_schema
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.planning import plan_sweep
from btxrd.runtime.files import read_json, write_json, write_text

TURNS, RUNS = 9, 1000
TINY = ["training.epochs=1", "model.image_size=32", "model.backbone=resnet18"]
TINY += ["data.phantom.cases=72", "device=cpu"]
SWEEP = [*TINY, "hydra.sweep.dir=out", "hydra.sweep.subdir=seed-${seed}"]
EMPTY = """
import hydra
@hydra.main(version_base="1.3", config_path=None)
def job(config): pass
job()
"""
PLAN = """
import sys
from btxrd.config.compose import register_schema
from btxrd.execution.planning import plan_sweep
register_schema()
assert plan_sweep(sys.argv[1:], "config", None).runs
"""


def rows(root: Path) -> Iterator[Row]:
    """Measure each command, relative to Hydra with an empty job."""
    folder = root / "commands"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_text(folder / "empty.py", EMPTY)

    def run(*command: str, exit_status: int = 0) -> float:
        def call() -> None:
            done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True)
            if done.returncode != exit_status:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")

        return seconds(call)

    def btxrd(*arguments: str, exit_status: int = 0) -> float:
        return run("-m", "btxrd.run", *arguments, exit_status=exit_status)

    def hydra(*arguments: str) -> float:
        return run("empty.py", *arguments, "hydra.output_subdir=null")

    one = [*TINY, "hydra.run.dir=one"]
    btxrd(*one)
    asked = {
        "--help": (["--help"], 0, "<= 1.5"),
        "a complete run": (one, 0, "<= 1.5"),
        "a wrong value": (["model.dropout=2"], 1, ""),
        "--cfg job": (["--cfg", "job"], 0, ""),
    }
    for what, (arguments, exit_status, target) in asked.items():
        yield in_turn(
            what,
            "s",
            lambda given=arguments, status=exit_status: btxrd(*given, exit_status=status),
            "Hydra, an empty job",
            hydra,
            turns=TURNS,
            target=target,
        )

    def empty_jobs(count: int) -> float:
        return hydra("-m", f"+x=range({count})")

    def plan(count: int) -> float:
        return run("-c", PLAN, f"seed=range({count})", *SWEEP)

    yield in_turn(
        f"planning a sweep of {RUNS}",
        "s",
        lambda: plan(RUNS),
        f"Hydra, {RUNS} empty jobs",
        lambda: empty_jobs(RUNS),
        turns=1,
        warm_up=False,
        doubled=lambda: plan(2 * RUNS),
    )

    btxrd("-m", "seed=0,1", *SWEEP)
    shutil.rmtree(folder / "out" / "seed-1")
    _copy_run(folder)
    yield in_turn(
        f"restarting a finished sweep of {RUNS}",
        "s",
        lambda: btxrd("-m", f"seed=range({RUNS})", *SWEEP),
        f"Hydra, {RUNS} empty jobs",
        lambda: empty_jobs(RUNS),
        turns=1,
        warm_up=False,
    )


def _copy_run(folder: Path) -> None:
    """Copy one finished run to a finished sweep of RUNS; unchanged files are hard links."""
    register_schema()
    here = Path.cwd()
    os.chdir(folder)
    try:
        plan = plan_sweep([f"seed=range({RUNS})", *SWEEP], "config", None)
        names = [run_dir.name for run_dir in plan.runs]
        status = read_json(Path("out") / names[0] / "status.json")
        stored = yaml.safe_load((Path("out") / names[0] / "config.yaml").read_text())
        for seed, (run_dir, config) in enumerate(plan.runs.items()):
            if seed > 0:
                shutil.copytree(Path("out") / names[0], run_dir, copy_function=os.link)
            write_text(run_dir / "config.yaml", yaml.safe_dump(stored | {"seed": seed}))
            write_json(run_dir / "status.json", status | {"fingerprint": fingerprint(config)})
        path = Path("out") / "plan.json"
        write_json(path, read_json(path) | {"runs": names})
    finally:
        os.chdir(here)
