"""Train and evaluate classifiers of bone-tumour radiographs: one run, or a sweep of runs (-m).

Usage:
  python -m btxrd.run [KEY=VALUE ...]
  python -m btxrd.run -m [KEY=VALUE,VALUE ...]
"""

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

# Imports stand where they are needed: help loads no Hydra, and planning a sweep loads no torch.


def main() -> int:
    """Answer the command line; returns the exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from btxrd.config.choices import help_text

        print(help_text(__doc__ or ""))
        return 0
    from btxrd.config.messages import one_line_errors

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    with one_line_errors():
        return _launch()


def _launch() -> int:
    import hydra

    from btxrd.config.choices import conf_dir
    from btxrd.config.compose import register_schema
    from btxrd.execution.baselines import backup_checkpoints
    from btxrd.execution.launch import check, launch
    from btxrd.execution.planning import plan_command_line

    register_schema()
    start = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)
    plan = plan_command_line()
    if plan is None:  # Hydra answers: --cfg, --info, ...
        start()
        return 0
    found = check(plan.runs, fail_fast=plan.fail_fast)
    if not plan.is_sweep and found.complete:
        return 0
    backup_checkpoints(Path("checkpoints"))
    typed = sys.argv[1:]

    at_once = plan.at_once(found)

    def begin() -> None:
        sys.argv[1:] = plan.pinned(typed, at_once)
        start()

    if not plan.is_sweep:
        begin()
        return 0

    def write_summary() -> bool:
        from btxrd.report.summary import summarize  # loads pandas and SciPy

        return summarize([plan.folder], plan.folder, images=plan.images)

    runs = [] if plan.is_search else list(plan.runs)
    return launch(
        plan.folder,
        runs,
        found,
        begin,
        at_once=at_once,
        may_restart=plan.n_jobs is not None or at_once > 1,
        command=shlex.join(typed),
        images=plan.images,
        summarize=write_summary,
    )


def job(config: Any) -> float | None:
    """Do one run, in the folder that Hydra has made for it; returns its objective on val."""
    from hydra.core.hydra_config import HydraConfig

    from btxrd.config.compose import job_of
    from btxrd.execution.job import do_job

    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    spec, context = job_of(config, hydra_config)
    return do_job(run_dir, spec, context)


if __name__ == "__main__":
    from btxrd.run import main as imported_main  # workers then find `job` under its module's name

    sys.exit(imported_main())
