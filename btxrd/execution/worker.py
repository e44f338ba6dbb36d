"""The process of one run; `supervisor.py` starts it as `btxrd.execution.worker RUN_DIR`."""

import faulthandler
import logging
import os
import pickle
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from btxrd.artifacts.status import Outcome, read_status
from btxrd.config.jobspec import LOG, JobSpec
from btxrd.errors import InputError
from btxrd.execution.record import record
from btxrd.runtime.interruption import Interruption
from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Execute the run specified on stdin. Return 0 if it completes."""
    settle_in()
    interruption = Interruption()
    interruption.listen()
    run_dir = Path(sys.argv[1])
    job: JobSpec = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def work() -> Outcome:
        from hydra.core.utils import configure_log
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        try:
            configure_log(OmegaConf.create(job.logging))
        except (ValueError, TypeError, AttributeError) as error:
            reason = error.__cause__ or error
            raise InputError(f"hydra.job_logging: cannot be used ({reason})") from error
        for library in ("torch", "matplotlib"):  # statistics at exit; the first list of fonts
            logging.getLogger(library).setLevel(logging.WARNING)
        from btxrd.train_eval import train_eval

        build_model = instantiate(asdict(job.config.model), _partial_=True)
        status = read_status(run_dir)
        assert status is not None
        outcome = train_eval(job.config, build_model, run_dir, status.fingerprint, interruption)
        interruption.end()
        return outcome

    with (run_dir / LOG).open("a") as log:
        faulthandler.enable(log)
        logging.raiseExceptions = False  # an error in writing the log must not end the run
        try:
            return 0 if record(run_dir, work) == "complete" else 1
        except InputError as error:  # the final status cannot be written
            print(error, file=sys.stderr)
            return 1
        finally:
            faulthandler.disable()


def _end_with_parent() -> None:
    """End at once when stdin is closed, because the supervising process has then ended."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
