"""The environment of a subprocess that tests this checkout, in whatever folder it runs."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(**more: str) -> dict[str, str]:
    """Return the variables of this process, with this checkout first on PYTHONPATH.

    Args:
        more: Further variables. A PYTHONPATH among them comes after the checkout, in place of the
            one that this process has.
    """
    variables = os.environ | more
    further = variables.get("PYTHONPATH")
    path = os.pathsep.join([str(ROOT), *([further] if further else [])])
    return variables | {"PYTHONPATH": path}
