"""The process of one run: `python -m btxrd.sweep.worker RUN_DIR`, started by `supervisor.py`."""

import faulthandler
import os
import pickle
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from btxrd.interruption import Interruption
from btxrd.sweep import ledger
from btxrd.sweep.record import record
from btxrd.sweep.supervisor import Order


def main() -> int:
    """Do the run that stdin tells of; returns 0 where it is complete."""
    interruption = Interruption()
    interruption.listen()
    run_dir = Path(sys.argv[1])
    order: Order = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def work() -> dict[str, Any]:
        from hydra.core.utils import configure_log
        from hydra.utils import instantiate
        from omegaconf import OmegaConf

        configure_log(OmegaConf.create(order.logging))
        from btxrd.train_eval import train_eval

        build_model = instantiate(asdict(order.config.model), _partial_=True)
        name = (ledger.read(run_dir) or {})["fingerprint"]
        found = train_eval(order.config, build_model, run_dir, name, interruption)
        interruption.end()
        return found

    with (run_dir / ledger.LOG).open("a") as log:
        faulthandler.enable(log)
        try:
            return 0 if record(run_dir, work) == "complete" else 1
        finally:
            faulthandler.disable()


def _end_with_parent() -> None:
    """Wait until the other end of stdin is gone, then end at once: nobody watches over us."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
