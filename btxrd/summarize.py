"""Write the summary and the page of a sweep or of several together, or the page of one run."""

import argparse
import shlex
import sys
from pathlib import Path

from btxrd.artifacts.plan import read_usable_plan
from btxrd.artifacts.status import STATUS
from btxrd.config.commandline import resuming
from btxrd.config.messages import one_line_errors
from btxrd.config.schema import ReportConfig, check
from btxrd.html.publish import publish_run, summarize
from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Run the command line; return 0 if all runs are complete, 1 if not, 2 for wrong input."""
    settle_in()
    parser = argparse.ArgumentParser(prog="python -m btxrd.summarize", description=__doc__)
    parser.add_argument(
        "sweep_dirs",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="folder of a sweep, such as multirun/2026-01-31/12-00-00, or of a single run",
    )
    parser.add_argument(
        "--to", type=Path, help="folder to write into; by default that of the sweep, if it is one"
    )
    parser.add_argument(
        "--no-images", action="store_true", help="leave radiographs out of the report"
    )
    parser.add_argument(
        "--margin",
        type=float,
        help="smallest difference in macro AUC that matters; by default report.margin of the sweep",
    )
    args = parser.parse_args()
    if len(args.sweep_dirs) > 1 and args.to is None:
        print("--to: must name a folder for the summary of several sweeps", file=sys.stderr)
        return 2
    with one_line_errors(2):
        folder = args.to or args.sweep_dirs[0]
        if args.margin is not None:
            check(ReportConfig(margin=args.margin), "report.")
        if args.to is None and (folder / STATUS).is_file():
            return 0 if publish_run(folder, images=not args.no_images) else 1
        if summarize(args.sweep_dirs, folder, images=not args.no_images, margin=args.margin):
            return 0
        for sweep_dir in args.sweep_dirs:
            if command := read_usable_plan(sweep_dir).command:
                typed = shlex.split(command)
                print(f"To resume: {resuming(typed, 'hydra.sweep.dir', sweep_dir)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
