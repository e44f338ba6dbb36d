"""The overrides of the runs of a sweep: every combination of the values that were given."""

import itertools
import math
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import DictConfig, OmegaConf

from btxrd.errors import InputError

MANY = 1000  # number of runs above which composing takes seconds and is announced


def grid(loader: ConfigLoader, base: DictConfig, *, fixed_only: bool) -> Iterator[tuple[str, ...]]:
    """Yield the overrides of each run: every combination of the values that were given.

    Args:
        loader: Config loader of Hydra.
        base: Config that the runs have in common.
        fixed_only: Whether overrides with several values are left to a sweeper.
    """
    values: dict[str, list[str]] = {}
    for item in overrides_of(loader, base):
        key = item.get_key_element()
        if not item.is_sweep_override():
            values[key] = [f"{key}={item.get_value_element_as_str()}"]
        elif fixed_only:
            values.pop(key, None)
        elif isinstance(item.value(), Glob):
            values[key] = [f"{key}={name}" for name in _matching(loader, base, item)]
        elif item.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in item.sweep_string_iterator()]
            if not values[key]:
                raise InputError(f"{item.input_line}: gives no value; give at least one")
            if len(set(values[key])) < len(values[key]):
                raise InputError(f"{item.input_line}: contains a value twice; give each value once")
        else:
            raise InputError(f"{item.input_line}: needs a search; add hydra/sweeper=optuna")
    number = math.prod(map(len, values.values()))
    if number > MANY:
        print(f"Composing {number:,} runs", file=sys.stderr, flush=True)
    return itertools.product(*values.values())


def _matching(loader: ConfigLoader, base: DictConfig, item: Any) -> list[str]:
    """Return the options that match GROUP=glob(...); `*` does not match a slash.

    Raises:
        InputError: If no option matches.
    """

    def options(group: str, prefix: str = "") -> Iterator[str]:
        def named(kind: ObjectType) -> list[str]:
            return loader.get_group_options(
                group, kind, base.hydra.job.config_name, list(base.hydra.overrides.hydra)
            )

        yield from (prefix + name for name in named(ObjectType.CONFIG))
        for name in named(ObjectType.GROUP):
            yield from options(f"{group}/{name}", f"{prefix}{name}/")

    def fits(option: str, patterns: list[str]) -> bool:
        return any(
            option.count("/") == pattern.count("/")
            and all(map(fnmatchcase, option.split("/"), pattern.split("/")))
            for pattern in patterns
        )

    known, glob = list(options(item.key_or_group)), item.value()
    if not known:
        raise InputError(f"{item.input_line}: {item.key_or_group} is not a config group")
    found = [name for name in known if fits(name, glob.include) and not fits(name, glob.exclude)]
    if not found:
        choices = ", ".join(known)
        raise InputError(f"{item.input_line}: matches no choice; must match one of {choices}")
    return found


def overrides_of(loader: ConfigLoader, base: DictConfig) -> list[Any]:
    """Parse the overrides in `hydra.sweeper.params` and in the command line."""

    def unresolved(node: Any) -> Any:  # an interpolation is resolved for each run separately
        return OmegaConf.to_container(node, resolve=False)

    params = unresolved(base.hydra.sweeper).get("params") or {}
    swept = [f"{key}={value}" for key, value in params.items()]
    parser = OverridesParser.create(loader)
    return list(parser.parse_overrides(swept + unresolved(base.hydra.overrides.task)))


def has_space(loader: ConfigLoader, base: DictConfig) -> bool:
    """Return whether an override defines several values for a search."""
    return any(item.is_sweep_override() for item in overrides_of(loader, base))
