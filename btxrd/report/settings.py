"""Settings: runs that differ in nothing but the seed, which are replicates of one experiment."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from btxrd.evaluation.metrics import Floats
from btxrd.evaluation.selection import Candidate
from btxrd.execution.fingerprint import numbers
from btxrd.report.runs import Run, TestSet, short_names

OF_SPLIT = ("split.seed", "split.groups")  # keys of a split that make it another experiment


@dataclass(frozen=True, eq=False)
class Setting:
    """Runs that are equal but for the seed, in the order of the sweep.

    Attributes:
        name: short, and its own among the settings of one split.
        runs: evaluated, one a seed.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def split(self) -> str:
        """The title of its split."""
        return str(self.runs[0].row["split"])

    @property
    def split_hash(self) -> str:
        """Of its partitions."""
        return str(self.runs[0].row["split_hash"])

    @property
    def strategy(self) -> str:
        """Of its split."""
        return str(self._config["split"]["strategy"])

    @property
    def held_out(self) -> list[int]:
        """The centers that its split tests on, where it tests on centers."""
        split = self._config["split"]
        return list(split["held_out"] if self.strategy == "center" else [split["test_center"]])

    @property
    def seeds(self) -> list[int]:
        """Of its runs."""
        return [run.row["seed"] for run in self.runs]

    @property
    def apart_from_split(self) -> str:
        """Equal for settings that differ in the split alone."""
        return _all_but(self._config, "split", but=OF_SPLIT)

    @property
    def _config(self) -> dict[str, Any]:
        assert self.runs[0].config is not None
        return self.runs[0].config

    @property
    def val(self) -> Candidate | None:
        """Means over the seeds; None where one has none."""
        found = [run.val for run in self.runs if run.val is not None]
        if len(found) < len(self.runs):
            return None
        return Candidate(
            self.name,
            float(np.mean([one.macro_auc for one in found])),
            float(np.mean([one.malignant_sensitivity for one in found])),
        )

    @property
    def test(self) -> TestSet:
        """Its test cases."""
        assert self.runs[0].test is not None
        return self.runs[0].test

    @property
    def probs(self) -> list[Floats]:
        """(n, 3) of the test cases, of each run."""
        return [run.probs for run in self.runs if run.probs is not None]

    def metrics(self, *keys: str) -> Any:
        """A part of metrics.json, over the seeds; see `merged`."""
        found = []
        for run in self.runs:
            value: Any = run.metrics
            for key in keys:
                value = value[key]
            found.append(value)
        return merged(found)


def merged(values: list[Any]) -> Any:
    """Means of numbers, through dicts and lists that are alike; None where one is None.

    So an interval over several seeds lies between the means of its ends.
    """
    first = values[0]
    if None in values:
        return None
    if isinstance(first, dict):
        shared = [key for key in first if all(key in value for value in values)]
        return {key: merged([value[key] for value in values]) for key in shared}
    if isinstance(first, list):
        return [merged(list(items)) for items in zip(*values, strict=True)]
    if isinstance(first, str) or all(value == first for value in values):
        return first
    return float(np.mean(values))


def settings_of(runs: list[Run]) -> list[Setting]:
    """Put runs together that differ in the seed alone; of equal ones the first counts."""
    alike: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        if run.config is not None:
            key = _all_but(run.config, "seed") + str(run.row["split_hash"])
            alike[key].setdefault(run.row["seed"], run)
    groups = [tuple(members.values()) for members in alike.values()]
    firsts = [members[0] for members in groups]
    _, names = short_names([without_split_and_seed(run.name) for run in firsts])
    if len(set(names)) == 1:
        names = [f"{run.row['model']}, annotations={run.row['annotations']}" for run in firsts]
    names = [name.removeprefix("experiment=") for name in names]
    taken = Counter(
        (name, members[0].row["split"]) for name, members in zip(names, groups, strict=True)
    )
    return [
        Setting(name if taken[name, members[0].row["split"]] == 1 else members[0].name, members)
        for name, members in zip(names, groups, strict=True)
    ]


def without_split_and_seed(run: str) -> str:
    """The name of a run, which is its overrides, without those of split and seed."""
    parts = [part for part in run.split(",") if not part.startswith(("seed=", "split"))]
    return ",".join(parts) or run


def _all_but(config: dict[str, Any], key: str, but: tuple[str, ...] = ()) -> str:
    """What can change a number of a run, save for one key or the keys under it."""
    found = numbers({name: value for name, value in config.items() if name != "choices"})
    rest = {
        name: value
        for name, value in found.items()
        if name in but or not (name == key or name.startswith(f"{key}."))
    }
    return json.dumps(rest, sort_keys=True)
