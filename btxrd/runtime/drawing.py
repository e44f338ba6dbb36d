"""Matplotlib with its default settings, independent of the user's matplotlibrc."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl


@contextmanager
def own_settings(settings: dict[str, Any]) -> Iterator[None]:
    """Draw with Matplotlib's defaults and these settings, and restore the earlier ones afterwards.

    A user's settings may require LaTeX, or a font that is not installed.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        cast(Any, mpl.rcParams).update(settings)
        yield
