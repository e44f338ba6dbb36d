"""Write the summary and the page of a sweep again, from what is on disk; or of several together."""

import argparse
import sys
from pathlib import Path

from btxrd.artifacts.plan import read_plan
from btxrd.errors import InputError
from btxrd.report.summary import summarize


def main() -> int:
    """Answer the command line; returns 0 where all runs are complete, 1 elsewhere."""
    parser = argparse.ArgumentParser(prog="python -m btxrd.summarize", description=__doc__)
    parser.add_argument(
        "sweep_dirs",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="such as multirun/2026-01-31/12-00-00",
    )
    parser.add_argument("--to", type=Path, help="where to write it; of one sweep, its own folder")
    parser.add_argument("--no-images", action="store_true", help="leave films out of the page")
    args = parser.parse_args()
    if len(args.sweep_dirs) > 1 and args.to is None:
        print("--to: must name a folder for the summary of several sweeps", file=sys.stderr)
        return 2
    try:
        images = not args.no_images and all(read_plan(path).images for path in args.sweep_dirs)
        folder = args.to or args.sweep_dirs[0]
        return 0 if summarize(args.sweep_dirs, folder, images=images) else 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
