"""Run benchmarks with `python -m benchmarks [PART ...]`; write a table as Markdown and JSON."""

import platform
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import commands, grid, memory, stages, training
from benchmarks.measure import Row
from btxrd.runtime.cores import cores
from btxrd.runtime.device import choose_device, describe
from btxrd.runtime.files import write_json, write_text

PARTS = {
    "training": training.rows,
    "stages": stages.rows,
    "memory": memory.rows,
    "commands": commands.rows,
    "grid": grid.rows,
}
PACKAGES = ("btxrd", "torch", "timm", "hydra-core", "numpy", "opencv-python-headless", "pillow")


def main() -> None:
    """Run the parts that the command line names, or all of them."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        sys.exit(f"{', '.join(sorted(unknown))}: no such part; choose from {', '.join(PARTS)}")
    found: list[Row] = []
    folder = Path("outputs/benchmarks") / datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")
    with tempfile.TemporaryDirectory() as root:
        for name in wanted:
            for row in PARTS[name](Path(root)):
                found.append(row)
                print(_line(row), flush=True)
                _write(folder, found)
    print(f"{folder / 'table.md'}, {folder / 'table.json'}")


def _machine() -> dict[str, object]:
    device = choose_device("auto")
    return {
        "device": describe(device),
        "cores": cores(),
        "capabilities": sorted(name for name, has in torch.cpu.get_capabilities().items() if has),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _write(folder: Path, found: list[Row]) -> None:
    machine = _machine()
    rows = [asdict(row) | {"is_met": row.is_met} for row in found]
    write_json(folder / "table.json", {"machine": machine, "rows": rows})
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"{machine['device']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {packages}.",
        "",
        "Both things of a row are measured alternately. The ratio is the median of their ratios.",
        "",
        "| what | btxrd | reference | its value | ratio | target | btxrd at twice the size |",
        "|---|---|---|---|---|---|---|",
        *map(_line, found),
    ]
    write_text(folder / "table.md", "\n".join(lines) + "\n")


def _line(row: Row) -> str:
    mark = {True: f"{row.target}, met", False: f"{row.target}, **missed**", None: ""}[row.is_met]
    grown = "" if row.doubled is None else f"{row.doubled:.2f} times"
    ours, theirs = (f"{value:.3g} {row.unit}" for value in (row.ours, row.theirs))
    return f"| {row.what} | {ours} | {row.beside} | {theirs} | {row.ratio:.3f} | {mark} | {grown} |"


if __name__ == "__main__":
    main()
