"""Train and evaluate models: one run, or a sweep of runs (`btxrd run`)."""

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from btxrd.config import parsers
from btxrd.runtime.interruption import signals
from btxrd.runtime.surroundings import settle_in

if TYPE_CHECKING:
    from btxrd.config.commandline import CommandLine

# Imports are local: help loads no Hydra, and planning a sweep loads no torch.


def main() -> int:
    """Run the command; return the exit status."""
    settle_in()
    if parsers.run().answer_help(sys.argv[1:]):
        return 0
    from btxrd.config.messages import one_line_errors

    for number in signals("SIGTERM", "SIGHUP", "SIGBREAK"):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    with one_line_errors():
        return _launch()


def _launch() -> int:
    from btxrd.config.commandline import parse_arguments, program, resuming
    from btxrd.config.compose import register_schema
    from btxrd.execution.planning import plan

    typed = parse_arguments(sys.argv[1:])
    register_schema()
    if typed.shows:
        _show(typed)
        return 0
    from btxrd.execution.ahead.forecast import describe_duration
    from btxrd.execution.ahead.preflight import check_sweep_folder
    from btxrd.execution.job import do_one
    from btxrd.execution.launch import backup_checkpoints, check, launch, saying_how_to_resume
    from btxrd.execution.status import can_resume

    while True:
        wanted = plan(typed)
        if wanted.is_sweep:
            check_sweep_folder(wanted.folder, wanted.runs.values())
        found = check(wanted.runs, fail_fast=wanted.fail_fast, is_local=wanted.is_local)
        if not wanted.is_sweep and found.complete:
            return 0
        if wanted.request.folder.claim():
            break  # and not another command of the same second
    backup_checkpoints(Path("checkpoints"))
    key = "hydra.sweep.dir" if wanted.is_sweep else "hydra.run.dir"
    resume = resuming(sys.argv[1:], key, wanted.folder, program("run"))
    if not wanted.is_sweep:
        ((run_dir, point),) = wanted.points.items()
        with saying_how_to_resume(resume) as end:
            state = do_one(run_dir, point.spec(run_dir))
            has_run = state in ("complete", "failed", "interrupted")
            end.is_over = state == "complete" or not has_run
            if has_run:
                from btxrd.html.publish import publish_run

                publish_run(run_dir)
        return 0 if state == "complete" else 1

    def write_summary() -> bool:
        from btxrd.html.publish import summarize  # loads pandas and SciPy

        return summarize([wanted.folder], wanted.folder, images=wanted.images)

    with saying_how_to_resume(resume) as end:
        command = shlex.join(sys.argv[1:])
        at_once = wanted.at_once(found)
        if (expected := describe_duration(wanted, found, at_once)) is not None:
            print(expected)
        code = launch(wanted, found, at_once, command, job, write_summary)
        left = [at for at in wanted.runs if at not in found.refused]
        end.is_over = code == 0 or not (wanted.sweeper or can_resume(left))
    return code


def _show(typed: "CommandLine") -> None:
    """Let Hydra show a config, its plugins or its own help; wrong input is said in one line."""
    import hydra

    from btxrd.config.choices import conf_dir
    from btxrd.config.compose import compose, hydra_over_conf

    with hydra_over_conf(typed.config_dir) as loader:
        compose(loader, typed)  # Hydra would report its errors over several lines
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()


def job(config: Any) -> float | None:
    """Do one run, in the process that a launcher plugin has made for it; return its objective."""
    from btxrd.config.compose import register_schema
    from btxrd.config.plugins import job_of
    from btxrd.execution.job import do_job

    register_schema()
    return do_job(*job_of(config))


if __name__ == "__main__":
    from btxrd.run import main as imported_main  # workers then find `job` under its module's name

    sys.exit(imported_main())
