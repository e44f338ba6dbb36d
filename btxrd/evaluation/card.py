"""The model card of a run (Mitchell et al. 2019)."""

from pathlib import Path

import pandas as pd
import yaml

from btxrd.artifacts.config import read_config
from btxrd.artifacts.metrics import RunMetrics
from btxrd.artifacts.sidecar import read_sidecar
from btxrd.artifacts.tables import PARTITIONS, SPLIT, read_table
from btxrd.evaluation.metrics import METRICS, headline_metrics
from btxrd.pages import render
from btxrd.runtime.files import write_text

CARD = "card.md"


def write_card(run_dir: Path, metrics: RunMetrics) -> None:
    """Write the model card of a run, from its files and its metrics."""
    config = read_config(run_dir).config
    split = read_table(run_dir, SPLIT)
    names = metrics.class_names
    counts = split.groupby(["partition", "label"]).size()
    text = render(
        "card.md.j2",
        config=config,
        split=config.split.title,
        annotations=config.annotations.title,
        sidecar=read_sidecar(run_dir),
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
    write_text(run_dir / CARD, text)


def _centers(split: pd.DataFrame, partition: str) -> str:
    centers = split.loc[split["partition"] == partition, "center"].unique()
    return ", ".join(str(center) for center in sorted(centers))


def _overrides(run_dir: Path) -> list[str] | None:
    """Return the overrides of this run; None if Hydra did not record them."""
    path = run_dir / ".hydra" / "overrides.yaml"
    return [str(one) for one in yaml.safe_load(path.read_text())] if path.is_file() else None
