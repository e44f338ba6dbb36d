"""Models without pixels, on the same test cases as the settings."""

from collections.abc import Sequence

from btxrd.artifacts.verdicts import Reference
from btxrd.report.comparison_sets import ComparisonSet

WITHOUT_PIXELS = ("table", "style", "center_and_size")  # variants in shortcuts.csv


def references(sets: Sequence[ComparisonSet]) -> list[Reference]:
    """Return each such model of each split, from the first setting that has it."""
    found: dict[tuple[str, str], Reference] = {}
    for compared in sets:
        for setting in compared.settings:
            for run in setting.runs:
                for name in WITHOUT_PIXELS:
                    variant = run.metrics.shortcuts.get(name)
                    if variant is not None:
                        one = Reference(setting.split, setting.split_hash, name, variant.macro_auc)
                        found.setdefault((setting.split_hash, name), one)
    return list(found.values())
