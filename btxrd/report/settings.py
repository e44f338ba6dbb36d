"""Settings: groups of runs that differ in the seed alone."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from btxrd.artifacts.classes import ClassNames
from btxrd.config.identity import identity
from btxrd.config.schema import Config
from btxrd.evaluation.metrics import Floats
from btxrd.evaluation.selection import Candidate
from btxrd.report.runs import Run, ScoredRun, TestSet, short_names

OF_SPLIT = ("split.seed", "split.groups")  # keys of a split that define a different setting
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Setting:
    """Runs that differ in the seed alone, in the order of the sweep.

    Attributes:
        name: Short name, unique among the settings of one split.
        runs: One run for each seed.
    """

    name: str
    runs: tuple[ScoredRun, ...]

    @property
    def config(self) -> Config:
        """Config of its first run."""
        return self.runs[0].config.config

    @property
    def names(self) -> ClassNames:
        """The classes that its metrics are about."""
        return self.runs[0].metrics.class_names

    @property
    def split(self) -> str:
        """Title of its split."""
        return self.config.split.title

    @property
    def split_hash(self) -> str:
        """Hash of its split.csv."""
        return str(self.runs[0].row.split_hash)

    @property
    def strategy(self) -> str:
        """Strategy of its split."""
        return self.config.split.strategy

    @property
    def held_out(self) -> list[int]:
        """The test centers; meaningful only if its split holds out centers."""
        split = self.config.split
        return list(split.held_out) if self.strategy == "center" else [split.test_center]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of its runs."""
        return tuple(run.config.config.seed for run in self.runs)

    @property
    def without_split(self) -> str:
        """Text that is equal for settings that differ in the split alone."""
        return _all_but(self.runs[0], "split", but=OF_SPLIT)

    @property
    def val(self) -> Candidate | None:
        """Means over the seeds of the metrics on val; None if a run has none."""
        found = [run.val for run in self.runs if run.val is not None]
        if len(found) < len(self.runs):
            return None
        return Candidate(
            self.name,
            float(np.mean([one.macro_auc for one in found])),
            float(np.mean([one.focus_sensitivity for one in found])),
        )

    @property
    def test(self) -> TestSet:
        """Its test cases."""
        return self.runs[0].test

    @property
    def probs(self) -> list[Floats]:
        """Probabilities (n, k) of the test cases, for each run."""
        return [run.probs for run in self.runs]


def merged(values: Sequence[T]) -> T:
    """Return the means of the numbers in nested dataclasses, dicts and lists.

    A number is None if it is None in one of the values. The ends of a confidence interval are the
    means of the ends. Keys that one of the values lacks are left out.

    Args:
        values: One value per seed, all of the same structure.
    """
    first: Any = values[0]
    every: list[Any] = list(values)
    result: Any
    if any(value is None for value in every):
        result = None
    elif is_dataclass(first) and not isinstance(first, type):
        names = [item.name for item in fields(first)]
        parts = {name: merged([getattr(value, name) for value in every]) for name in names}
        result = type(first)(**parts)
    elif isinstance(first, dict):
        shared = [key for key in first if all(key in value for value in every)]
        result = {key: merged([value[key] for value in every]) for key in shared}
    elif isinstance(first, list | tuple):
        result = type(first)(merged(list(items)) for items in zip(*every, strict=True))
    elif isinstance(first, str) or all(value == first for value in every):
        result = first
    else:
        result = float(np.mean(every))
    return result  # type: ignore[no-any-return]


def settings_of(runs: Sequence[Run]) -> list[Setting]:
    """Group the scored runs that differ in the seed alone; of two equal runs, the first is used."""
    alike: dict[str, dict[int, ScoredRun]] = defaultdict(dict)
    for run in runs:
        if isinstance(run, ScoredRun):
            key = _all_but(run, "seed") + str(run.row.split_hash)
            alike[key].setdefault(run.config.config.seed, run)
    groups = [tuple(members.values()) for members in alike.values()]
    firsts = [members[0] for members in groups]
    _, names = short_names([without_split_and_seed(run.name) for run in firsts])
    if len(set(names)) == 1:
        names = [f"{run.row.model}, annotations={run.row.annotations}" for run in firsts]
    names = [name.removeprefix("experiment=") for name in names]
    taken = Counter((name, run.row.split) for name, run in zip(names, firsts, strict=True))
    return [
        Setting(name if taken[name, members[0].row.split] == 1 else members[0].name, members)
        for name, members in zip(names, groups, strict=True)
    ]


def without_split_and_seed(run: str) -> str:
    """Return the name of a run without its overrides of split and seed."""
    parts = [part for part in run.split(",") if not part.startswith(("seed=", "split"))]
    return ",".join(parts) or run


def _all_but(run: ScoredRun, key: str, but: tuple[str, ...] = ()) -> str:
    """Return what identifies a run, except for a key of its config and the keys below it."""
    rest = {
        name: value
        for name, value in identity(run.config.config).items()
        if name in but or not (name == key or name.startswith(f"{key}."))
    }
    names = run.metrics.class_names
    return json.dumps([rest, names.names, names.focus, names.background], sort_keys=True)
