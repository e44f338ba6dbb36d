"""How long the command line takes to answer, beside `import hydra` and torch.

Each row is the median of ratios between commands run in turn.
"""

import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 9
BASE = [sys.executable, "-c", "import hydra"]
COMMANDS = {
    "--help": [sys.executable, "-m", "btxrd.run", "--help"],
    "--cfg job": [sys.executable, "-m", "btxrd.run", "--cfg", "job"],
    "wrong value": [sys.executable, "-m", "btxrd.run", "model.dropout=2"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str], folder: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    print("| command | seconds | times `import hydra` |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            seconds(command, folder)
            pairs = [(seconds(command, folder), seconds(BASE, folder)) for _ in range(RUNS)]
            ratio = statistics.median(one / other for one, other in pairs)
            print(f"| {name} | {statistics.median(one for one, _ in pairs):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
