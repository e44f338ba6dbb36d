"""Completion of a command line of `btxrd`: commands, options, settings and their values.

This module does not load Hydra, so that completion is fast.
"""

import shlex
from argparse import Action
from collections.abc import Sequence
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from btxrd.config.choices import GROUPS, PLUGINS, choices_of
from btxrd.config.parser import COMMANDS, Parser
from btxrd.config.parsers import PARSERS, SHELLS
from btxrd.config.schema import Config

FILES, FOLDERS = "<files>", "<folders>"  # the shell completes these names itself
HYDRA = ("hydra.run.dir", "hydra.sweep.dir", "hydra.launcher.n_jobs", "hydra.sweeper.n_trials")


def completions(line: str) -> list[str]:
    """Complete the last word of a command line.

    Args:
        line: Command line up to the cursor, such as `btxrd run split=c`.

    Returns:
        Possible words. A complete word ends in a space. Instead of a list of paths, FILES or
        FOLDERS is returned.
    """
    try:
        words = shlex.split(line)
    except ValueError:  # a quotation mark is not closed
        return []
    if line[-1:].isspace():
        words.append("")
    if len(words) <= 2:
        return _beginning([f"{name} " for name in (*COMMANDS, "--help", "--version")], words[-1])
    command, typed, word = words[1], words[2:-1], words[-1]
    if command not in PARSERS:
        return []
    parser = PARSERS[command]()
    option = _option(parser, typed[-1]) if typed else None
    if option is not None and option.nargs != 0:
        return _values(option, word)
    if word.startswith("-"):
        known = [action.option_strings[-1] for action in parser.arguments if action.option_strings]
        return _beginning([f"{name} " for name in known], word)
    if command in ("summarize", "score"):
        return [FOLDERS]
    if command == "completion":
        return _beginning([f"{name} " for name in SHELLS], word)
    return _overrides(word, typed)


def _beginning(words: Sequence[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _option(parser: Parser, word: str) -> Action | None:
    found = [action for action in parser.arguments if word in action.option_strings]
    return found[0] if found else None


def _values(option: Action, word: str) -> list[str]:
    if option.choices:
        return _beginning([f"{choice} " for choice in option.choices], word)
    return [FOLDERS] if option.metavar in ("DIR", "FOLDER") else []


def _overrides(word: str, typed: Sequence[str]) -> list[str]:
    """Complete KEY=VALUE. Of several values, the last one is completed."""
    sign = word[: len(word) - len(word.lstrip("+~"))]
    key, equals, value = word[len(sign) :].partition("=")
    if sign in ("+", "~"):  # no key can be added or removed
        return []
    if not equals:
        return [f"{sign}{found}" for found in _keys(key)]
    if key in PLUGINS:
        values: Sequence[str] = PLUGINS[key]
    elif key in GROUPS:
        values = [choice for folder in _config_dirs(typed) for choice in choices_of(key, folder)]
    else:
        values = _values_of(key)
    if FILES in values:
        return [FILES]
    earlier, comma, last = value.rpartition(",")
    end = "" if {"-m", "--multirun"} & set(typed) else " "
    found = _beginning(sorted(set(values) - set(earlier.split(","))), last)
    return [f"{sign}{key}={earlier}{comma}{one}{end}" for one in found]


def _config_dirs(typed: Sequence[str]) -> list[Path | None]:
    """Return the folders of configs: None for conf/, and those that were typed."""
    pairs = pairwise(typed)
    return [None, *(Path(folder) for name, folder in pairs if name in ("-cd", "--config-dir"))]


def _keys(start: str) -> list[str]:
    """Return the keys that begin with `start`. A key ends in `=`, a part of a key in `.`."""
    path = start.rpartition(".")[0]
    node = _type_of(path)
    found = []
    if is_dataclass(node):
        for name in (name for name in get_type_hints(node) if name != "_target_"):
            key = f"{path}.{name}" if path else name
            found.append(f"{key}." if is_dataclass(_type_of(key)) else f"{key}=")
    if not path:
        found += [f"{group}=" for group in (*GROUPS, *PLUGINS)]
    found += [f"{key}=" for key in HYDRA]
    return sorted(set(_beginning(found, start)))


def _type_of(key: str) -> Any:
    """Return the type of a setting, without an optional None; None for an unknown key."""
    node: Any = Config
    for name in filter(None, key.split(".")):
        node = get_type_hints(node).get(name) if is_dataclass(node) else None
        node = next((one for one in get_args(node) if is_dataclass(one)), node)
    return node


def _values_of(key: str) -> Sequence[str]:
    owner, _, name = key.rpartition(".")
    node, kind = _type_of(owner), _type_of(key)
    if key.endswith(".dir") or str in (kind, *get_args(kind)):
        declared = getattr(node, "__dataclass_fields__", {}).get(name)
        return (declared.metadata.get("choices") if declared else None) or [FILES]
    return ["true", "false"] if kind is bool else []
