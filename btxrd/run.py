"""Train and evaluate classifiers of bone-tumour radiographs: one run, or a sweep of runs (-m).

Usage:
  python -m btxrd.run [KEY=VALUE ...]
  python -m btxrd.run -m [KEY=VALUE,VALUE ...]
"""

import signal
import sys
from pathlib import Path
from typing import Any

# Imports stand where they are needed: help loads no Hydra, and planning a sweep loads no torch.


def main() -> int:
    """Answer the command line; returns the exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from btxrd.configs import help_text

        print(help_text(__doc__ or ""))
        return 0
    from btxrd.compose import one_line_errors

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with one_line_errors():
        return _launch()


def _launch() -> int:
    import hydra

    from btxrd import compose
    from btxrd.configs import conf_dir
    from btxrd.sweep import ledger, summary
    from btxrd.sweep.preflight import check_runs

    compose.register_schema()
    start = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)
    plan = compose.plan_command_line()
    if plan is None:  # Hydra answers: --cfg, --info, ...
        start()
        return 0
    complete = check_runs(plan.runs)
    for run_dir in complete:
        print(f"{run_dir}: complete already")
    if not plan.is_sweep and complete:
        return 0
    ledger.backup_checkpoints(Path("checkpoints"))
    sys.argv[1:] = plan.pinned(sys.argv[1:])
    if not plan.is_sweep:
        start()
        return 0
    ledger.write_plan(plan.folder, plan.names)
    try:
        start()
    finally:
        all_complete = summary.summarize(plan.folder)
    return 0 if all_complete else 1


def job(config: Any) -> None:
    """Do one run, in the folder that Hydra has made for it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from hydra.utils import instantiate

    from btxrd import compose
    from btxrd.sweep import ledger

    settings, hydra_config = compose.parse(config), HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    if ledger.is_complete(run_dir, settings):
        return
    compose.save_hydra(run_dir / ".hydra", config, hydra_config)

    def work() -> dict[str, str]:
        from btxrd.train_eval import train_eval

        build_model = instantiate(config.model, _partial_=True)
        return train_eval(settings, build_model, run_dir, ledger.fingerprint(settings))

    state = ledger.attempt(run_dir, settings, dict(hydra_config.runtime.choices), work)
    if state == "failed" and hydra_config.mode == RunMode.RUN:
        sys.exit(1)


if __name__ == "__main__":
    from btxrd.run import main as imported_main  # workers then find `job` under its module's name

    sys.exit(imported_main())
