"""Write the summary and the page of a sweep or of several together, or the page of one run."""

import shlex
import sys
from pathlib import Path

from btxrd.artifacts.plan import read_usable_plan
from btxrd.artifacts.status import STATUS
from btxrd.config import parsers
from btxrd.config.checks import check
from btxrd.config.commandline import program, resuming
from btxrd.config.messages import one_line_errors
from btxrd.config.schema import ReportConfig
from btxrd.errors import InputError
from btxrd.execution.status import can_resume
from btxrd.html.publish import publish_run, summarize
from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Run the command line; return 0 if all runs are complete, 1 if not, 2 for wrong input."""
    settle_in()
    parser = parsers.summarize()
    if parser.answer_help(sys.argv[1:]):
        return 0
    with one_line_errors(2):
        args = parser.parse_args()
        if len(args.sweep_dirs) > 1 and args.to is None:
            raise InputError("--to: must name a folder for the summary of several sweeps")
        folder = args.to or args.sweep_dirs[0]
        if args.margin is not None:
            check(ReportConfig(margin=args.margin), "report.")
        if args.to is None and (folder / STATUS).is_file():
            return 0 if publish_run(folder, images=not args.no_images) else 1
        if summarize(args.sweep_dirs, folder, images=not args.no_images, margin=args.margin):
            return 0
        for sweep_dir in args.sweep_dirs:
            if command := _resume_command(sweep_dir):
                print(f"To resume: {command}")
    return 1


def _resume_command(sweep_dir: Path) -> str:
    """Return the command that resumes a sweep; empty if it is complete, running or not known."""
    plan = read_usable_plan(sweep_dir)
    refused = {sweep_dir / name for name in plan.refused}
    planned = {sweep_dir / name for name in plan.runs}
    begun = {path.parent for path in sweep_dir.rglob(STATUS)}
    if not plan.command or not can_resume((planned | begun) - refused):
        return ""
    typed = shlex.split(plan.command)
    return resuming(typed, "hydra.sweep.dir", sweep_dir, program("run"), plan.started_in)


if __name__ == "__main__":
    sys.exit(main())
