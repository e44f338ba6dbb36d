"""The model card of a run (Mitchell et al. 2019)."""

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import yaml

from btxrd.artifacts.checked import read_split
from btxrd.artifacts.codec import DAMAGE
from btxrd.artifacts.config import read_config
from btxrd.artifacts.metrics import RunMetrics
from btxrd.artifacts.sidecar import read_sidecar
from btxrd.artifacts.tables import PARTITIONS
from btxrd.errors import DamagedError
from btxrd.evaluation.metrics import METRICS, headline_metrics
from btxrd.pages import render
from btxrd.runtime.files import is_there, read_file

CARD = "card.md"


def card_of(run_dir: Path, metrics: RunMetrics) -> str:
    """Return the model card of a run, from its files and its metrics.

    Raises:
        InputError: If a file is damaged.
        OSError: If it cannot be read.
    """
    config = read_config(run_dir).config
    split = read_split(run_dir)
    names = metrics.class_names
    sidecar = read_sidecar(run_dir)
    counts = split.groupby(["partition", "label"]).size()
    return render(
        "card.md.j2",
        config=config,
        split=config.split.title,
        annotations=config.annotations.title,
        sidecar=sidecar,
        metrics=metrics,
        overrides=_overrides(run_dir),
        counts=[
            (name, [counts.get((name, label), 0) for label in names.names], _centers(split, name))
            for name in PARTITIONS
        ],
        names=names,
        headline=headline_metrics(names),
        of_class=[metric for metric in METRICS if metric.compute_per_class is not None],
        of_center=[metric for metric in METRICS if metric.per_center and metric.exists_for(names)],
    )


def _centers(split: pd.DataFrame, partition: str) -> str:
    centers = split.loc[split["partition"] == partition, "center"].unique()
    return ", ".join(str(center) for center in sorted(centers))


def _overrides(run_dir: Path) -> list[str] | None:
    """Return the overrides of this run; None if Hydra did not record them."""
    path = run_dir / ".hydra" / "overrides.yaml"
    if not is_there(path):
        return None
    try:
        found = yaml.safe_load(read_file(path).decode())
        return [str(one) for one in msgspec.convert(found, list[Any])]
    except (*DAMAGE, yaml.YAMLError) as error:
        raise DamagedError(f"{path}: is damaged ({str(error)[:200]})") from error
