"""Errors of Hydra and OmegaConf in one line, with what would be right."""

import difflib
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from btxrd.config import schema
from btxrd.config.choices import GROUPS, choices_of
from btxrd.errors import InputError, describe_error, ran_out_of_memory

EXTRAS = {  # config of a plugin -> what asked for it, and the extra that brings it
    "hydra/sweeper/optuna": ("hydra/sweeper=optuna", "optuna"),
    "hydra/launcher/submitit_slurm": ("hydra/launcher=slurm", "slurm"),
}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line for wrong input; with a traceback if HYDRA_FULL_ERROR=1."""
    try:
        yield
    except (InputError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(explain(error), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (MemoryError, OSError) as error:
        if not ran_out_of_memory(error):
            raise
        print(describe_error(error), file=sys.stderr)
        sys.exit(1)


def explain(error: Exception) -> str:
    """Return one line for an error of Hydra or OmegaConf, with what would be right."""
    if isinstance(error, InputError):
        return str(error)
    missing = error.missing_cfg_file if isinstance(error, MissingConfigException) else None
    if missing in EXTRAS:
        choice, extra = EXTRAS[missing]
        return f"{choice}: not installed; run pip install -e '.[{extra}]' in the checkout"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.partition("/")
        if group in GROUPS:
            choices = choices_of(group)
        else:  # Hydra's own, such as hydra/launcher
            group, _, name = error.missing_cfg_file.rpartition("/")
            choices = sorted(error.options)
        return f"{group}={name}: no such choice; must be one of {', '.join(choices)}"
    text = str(error)
    if error.__cause__ is not None:
        text += "\n" + str(error.__cause__)
    unknown = re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'\s+full_key: (\S+)", text)
    if unknown:
        key, owner, full_key = unknown.groups()
        ours = getattr(schema, owner, None)  # None: a node of Hydra's
        return f"{full_key}: no such key" + ("" if ours is None else nearest(key, ours))
    wrong = re.search(r"(Value .*|Cannot .*|Incompatible .*)\s+full_key: (\S+)", text)
    if wrong:
        return f"{wrong[2]}: {wrong[1]}"
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not re.match(r"\w+_type=", line))


def nearest(key: str, owner: type) -> str:
    """Suggest the key of a dataclass that may have been meant."""
    known = [item.name for item in fields(owner)]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
