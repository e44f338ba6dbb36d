"""The model card of a run (Mitchell et al. 2019), from what lies in its folder."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from btxrd.artifacts.sidecar import SIDECAR
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import AnnotationsConfig, SplitConfig
from btxrd.data.constants import CLASSES, HEADLINE
from btxrd.pages import render
from btxrd.runtime.files import read_json, write_text


def write_card(run_dir: Path) -> None:
    """Write card.md of a run that is evaluated."""
    config = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
    split = pd.read_csv(run_dir / "split.csv", dtype=str)
    counts = split.groupby(["partition", "label"]).size()
    text = render(
        "card.md.j2",
        config=config,
        split=SplitConfig(**config["split"]).title,
        annotations=AnnotationsConfig(**config["annotations"]).title,
        sidecar=read_json(run_dir / "checkpoints" / SIDECAR),
        metrics=read_json(run_dir / "metrics.json"),
        overrides=_overrides(run_dir),
        counts=[
            (name, [counts.get((name, label), 0) for label in CLASSES], _centers(split, name))
            for name in PARTITIONS
        ],
        classes=CLASSES,
        headline=HEADLINE,
    )
    write_text(run_dir / "card.md", text)


def _centers(split: pd.DataFrame, partition: str) -> str:
    return ", ".join(sorted(split.loc[split["partition"] == partition, "center"].unique()))


def _overrides(run_dir: Path) -> list[Any] | None:
    """What was typed for this run, as Hydra keeps it."""
    path = run_dir / ".hydra" / "overrides.yaml"
    return list(yaml.safe_load(path.read_text())) if path.is_file() else None
