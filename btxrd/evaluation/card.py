"""The model card of a run (Mitchell et al. 2019)."""

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import yaml

from btxrd.artifacts.checked import read_split
from btxrd.artifacts.codec import DAMAGE
from btxrd.artifacts.config import NO_EVIDENCE, read_config
from btxrd.artifacts.metrics import RunMetrics
from btxrd.artifacts.scores.estimates import UNDEFINED
from btxrd.artifacts.sidecar import read_sidecar
from btxrd.artifacts.tables import PARTITIONS
from btxrd.config.schema import Config
from btxrd.errors import DamagedError
from btxrd.evaluation.calibration import judged, of_missed, of_unusable
from btxrd.evaluation.metrics import METRICS, headline_metrics
from btxrd.evaluation.selection import is_at_bound
from btxrd.pages import render
from btxrd.runtime.files import is_there, read_file

CARD = "card.md"
CHANCE = 0.5  # macro AUC


def card_of(run_dir: Path, metrics: RunMetrics) -> str:
    """Return the model card of a run, as Markdown.

    Args:
        run_dir: Folder of the run.
        metrics: Metrics of the run.

    Raises:
        InputError: If a file is damaged or missing.
        OSError: If a file cannot be read.
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
        at_bound=metrics.clinical is not None and is_at_bound(metrics.clinical.temperature),
        warnings=warnings_of(config, metrics),
        missed=_missed(metrics),
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


def warnings_of(config: Config, metrics: RunMetrics) -> list[str]:
    """Return the warnings at the top of a card: synthetic data, and those about the metrics."""
    found = warnings_about(metrics)
    if config.data.phantom is None:
        return found
    drawn = f"{config.data.phantom.cases} drawn radiographs, not patients"
    return [f"Synthetic data: {drawn}. {NO_EVIDENCE}", *found]


def warnings_about(metrics: RunMetrics) -> list[str]:
    """Return warnings about the metrics of a run: no skill, unusable threshold.

    Each has a title, a colon and a sentence.
    """
    found = []
    names, test = metrics.class_names, metrics.test
    counts = zip(names.names, zip(*test.confusion, strict=True), strict=True)
    predicted = [name for name, cases in counts if sum(cases)]
    auc = test.values.get("macro_auc", UNDEFINED)
    if len(predicted) == 1:
        found.append(
            f"Constant predictor: all {test.n:g} test images are predicted {predicted[0]}."
        )
    elif auc.low is not None and auc.high is not None and auc.low <= CHANCE and auc.value != 1:
        shown = f"{auc.value:.3f} (95% CI {auc.low:.3f} to {auc.high:.3f})"
        found.append(
            f"Not shown to be better than chance: macro AUC on test is {shown}. "
            "Nothing can be concluded from the other metrics."
        )
    point = metrics.clinical.operating_point if metrics.clinical else None
    if point is not None and judged(point) == "unusable":
        found.append(of_unusable(point, names.focus))
    return found


def _missed(metrics: RunMetrics) -> str:
    """Return a sentence on the test cases of the focus class that are predicted as background."""
    names, test = metrics.class_names, metrics.test
    found = test.values.get(f"{names.focus}_predicted_{names.background}")
    support = test.per_class[names.focus].support
    return "" if found is None else of_missed(found, support, names)


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
