"""The configs and the environments of the runs: values that differ, and values that they share."""

from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.config.identity import flat
from btxrd.report.runs import Run, ScoredRun


@dataclass(frozen=True)
class Configs:
    """The configs of all scored runs.

    Attributes:
        keys: Keys whose values differ between runs.
        rows: Values of these keys, by the name of the run.
        same: Values of the other keys.
    """

    keys: list[str]
    rows: dict[str, list[str]]
    same: dict[str, str]


def configs_of(runs: Sequence[Run]) -> Configs:
    """Return the differing and the shared values of the configs of all scored runs."""
    found = {
        run.name: {key: str(value) for key, value in flat(run.config.config).items()}
        for run in runs
        if isinstance(run, ScoredRun)
    }
    keys = list(dict.fromkeys(key for config in found.values() for key in config))
    values = {key: [config.get(key, "") for config in found.values()] for key in keys}
    differ = [key for key in keys if len(set(values[key])) > 1]
    return Configs(
        differ,
        {name: [config.get(key, "") for key in differ] for name, config in found.items()},
        {key: values[key][0] for key in keys if key not in differ},
    )


def environment(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the distinct devices, hosts, numbers of threads and versions of all runs."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        if run.status is None:
            continue
        worker = run.status.worker
        known: dict[str, object] = {
            "device": run.status.device,
            "host": worker and worker.host,
            "threads": worker and worker.threads,
            **(run.status.versions or {}),
        }
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return {name: list(values) for name, values in found.items()}
