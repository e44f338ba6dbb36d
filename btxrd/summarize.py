"""Write the summary and the page of a sweep again, from what is on disk."""

import argparse
import sys
from pathlib import Path

from btxrd.errors import InputError
from btxrd.sweep.summary import summarize


def main() -> int:
    """Answer the command line; returns 0 where all runs are complete, 1 elsewhere."""
    parser = argparse.ArgumentParser(prog="python -m btxrd.summarize", description=__doc__)
    parser.add_argument("sweep_dir", type=Path, help="such as multirun/2026-01-31/12-00-00")
    try:
        return 0 if summarize(parser.parse_args().sweep_dir) else 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
