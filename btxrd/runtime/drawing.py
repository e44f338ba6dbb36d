"""Matplotlib with its own defaults, whatever the user has set in a matplotlibrc."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl


@contextmanager
def own_settings(settings: dict[str, Any]) -> Iterator[None]:
    """Draw with Matplotlib's defaults and these settings, and restore what was set before.

    A user's file may ask for LaTeX, or for a font that is missing.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        cast(Any, mpl.rcParams).update(settings)
        yield
