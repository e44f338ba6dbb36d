"""The tables of the reference of files, from the dataclasses that describe the files."""

from collections.abc import Callable
from functools import partial

from docstrings import description, parts_of, table_of_fields

from btxrd.artifacts.archive import ArchiveMarker
from btxrd.artifacts.audit import AuditReport
from btxrd.artifacts.codec import Artifact
from btxrd.artifacts.gallery import Gallery
from btxrd.artifacts.metrics import RunMetrics
from btxrd.artifacts.plan import SweepPlan
from btxrd.artifacts.sidecar import Sidecar
from btxrd.artifacts.status import RunStatus
from btxrd.artifacts.summary import Summary
from btxrd.artifacts.tables import (
    GRADCAM,
    HISTORY,
    LESION_MAPS,
    PREDICTIONS,
    SHORTCUTS,
    SPLIT,
    Table,
)

JSON: dict[str, type[Artifact]] = {
    "status.json": RunStatus,
    "metrics.json": RunMetrics,
    "best.json": Sidecar,
    "gallery.json": Gallery,
    "plan.json": SweepPlan,
    "summary.json": Summary,
    "audit.json": AuditReport,
    "archive.json": ArchiveMarker,
}
CSV = {
    table.name: table for table in (SPLIT, HISTORY, PREDICTIONS, SHORTCUTS, GRADCAM, LESION_MAPS)
}


def keys_of(kind: type[Artifact]) -> str:
    """Return the number of the present format of a JSON file, and a table of its keys."""
    return f"Present format: {kind.FORMAT}.\n\n{table_of_fields(kind)}"


def columns_of(table: Table) -> str:
    """Return a table of the columns of a CSV file."""
    listed = table_of_fields(table.row).replace("| Key |", "| Column |", 1)
    if table.has_probabilities:
        listed += "\n| `prob_CLASS` | number | Probability of a class, one column per class. |"
    return listed


def objects() -> str:
    """Return a section for each kind of object in the JSON files, in alphabetical order."""
    inner = {part for kind in JSON.values() for part in parts_of(kind)[1:]}
    return "\n\n".join(
        f"### {kind.__name__}\n\n{description(kind)}\n\n{table_of_fields(kind)}"
        for kind in sorted(inner, key=lambda kind: kind.__name__)
    )


PARTS: dict[str, Callable[[], str]] = {
    "objects": objects,
    **{f"keys of {name}": partial(keys_of, kind) for name, kind in JSON.items()},
    **{f"columns of {name}": partial(columns_of, table) for name, table in CSV.items()},
}
