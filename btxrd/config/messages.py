"""Messages of one line for errors of Hydra and OmegaConf, with a correction."""

import difflib
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from btxrd.config import schema
from btxrd.config.choices import GROUPS, PLUGINS, choices_of, why_no_mapping
from btxrd.config.commandline import override
from btxrd.errors import InputError, describe_error, printable, ran_out_of_memory

EXTRAS = {  # config of a plugin -> override that needs it, and extra that installs it
    "hydra/sweeper/optuna": ("hydra/sweeper=optuna", "optuna"),
    "hydra/launcher/submitit_slurm": ("hydra/launcher=slurm", "slurm"),
}
VALUES = {  # what OmegaConf says of the value of a key -> what to say
    r"(?:Value '\{\}' of type|Cannot convert) 'dict'": (
        "{key}: holds a value, not further keys; give {key}=VALUE"
    ),
    r"Value '(.*)' of .* could not be converted to Integer": "{key}={0}: must be an integer",
    r"Value '(.*)' of .* could not be converted to Float": "{key}={0}: must be a number",
    r"Value '(.*)' is not a valid bool": "{key}={0}: must be true or false",
    r"field .* is not Optional|Incompatible value 'None'": "{key}=null: must have a value",
    r"Interpolation key '(.*)' not found": (
        "{key}: refers to ${{{0}}}, but there is no such key; give {key}=VALUE"
    ),
}
REPORT = "btxrd: an unexpected error; please report the following lines and the command"


@contextmanager
def one_line_errors(code: int = 1) -> Iterator[None]:
    """End the process with one line for an error that a user can correct.

    These are wrong input and errors of the file system. Other exceptions are bugs of btxrd and
    keep their traceback. With HYDRA_FULL_ERROR=1, all errors have a traceback.

    Args:
        code: Exit status for wrong input.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(_first(error), KeyboardInterrupt | SystemExit):
            sys.exit(128 + signal.SIGINT)  # a library failed because it was interrupted
        is_plain = isinstance(error, InputError | HydraException | OmegaConfBaseException | OSError)
        if isinstance(error, MemoryError):
            print(describe_error(error), file=sys.stderr)
        elif is_plain and os.environ.get("HYDRA_FULL_ERROR") != "1":
            print(printable(explain(error)), file=sys.stderr)
        else:
            if not is_plain:
                print(REPORT, file=sys.stderr)
            raise
        sys.exit(code)


def _first(error: BaseException) -> BaseException:
    """Return the exception during whose handling the others were raised."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def explain(error: Exception) -> str:
    """Return one line for an error of Hydra or OmegaConf, with a correction."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return _explain_os(error)
    if isinstance(error, OverrideParseException):
        return _explain_override(error)
    missing = error.missing_cfg_file if isinstance(error, MissingConfigException) else None
    if missing in EXTRAS:
        choice, extra = EXTRAS[missing]
        return f"{choice}: not installed; run pip install -e '.[{extra}]' in the checkout"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.partition("/")
        if group in GROUPS:
            choices = choices_of(group)
        else:  # Hydra's own, such as hydra/launcher
            group, _, name = error.missing_cfg_file.rpartition("/")
            choices = list(PLUGINS.get(group, sorted(error.options)))
        return f"{group}={name}: no such choice; must be one of {', '.join(choices)}"
    text = str(error)
    ambiguous = re.match(r"Ambiguous value for argument '(.*)'\n", text)
    if ambiguous:
        key, _, value = ambiguous[1].partition("=")
        return (
            f"{ambiguous[1]}: has several values; add -m for a run of each, or give a list, "
            f"{shlex.quote(f'{key}=[{value}]')}, or a text, {shlex.quote(override(key, value))}"
        )
    swept = re.match(r"Sweep parameters '(.*)' requires --multirun", text)
    if swept:
        is_range = re.search(r"\binterval\(", swept[1])
        right = "-m and hydra/sweeper=optuna for a search" if is_range else "-m for a run of each"
        return f"{swept[1]}: has several values; add {right}"
    added = re.match(r"Could not append to config\. An item is already at '(.*)'", text)
    if added:
        return f"+{added[1]}: there is such a key; leave out the +, as in {added[1]}=VALUE"
    if error.__cause__ is not None:
        text += "\n" + str(error.__cause__)
    unknown = re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'\s+full_key: (\S+)", text)
    if unknown:
        key, owner, full_key = unknown.groups()
        ours = getattr(schema, owner, None)  # None for a node of Hydra
        return f"{full_key}: no such key" + ("" if ours is None else nearest(key, ours))
    merged = re.search(
        r"In '(.*?)': .*Merge error: \w+ is not a subclass of (\w+)", text, re.DOTALL
    )
    if merged:
        key = merged[2].removesuffix("Config").lower()
        return f"{merged[1]}.yaml: {key}: must contain keys and values"
    if text.startswith("Cannot find primary config"):
        return f"--config-name {missing}: no such config"
    wrong = re.search(r"(.*)\s+full_key: (\S+)", text)
    if wrong:
        return _explain_value(wrong[2], wrong[1])
    lines = (line.strip() for line in text.split("Config search path:")[0].splitlines())
    return "; ".join(
        line.removesuffix(":")
        for line in lines
        if line and not re.match(r"\w+_type=|full_key:", line)
    )


def _explain_value(key: str, problem: str) -> str:
    for pattern, line in VALUES.items():
        if found := re.match(pattern, problem):
            return line.format(*found.groups(), key=key)
    return f"{key}: {problem}"


def _explain_os(error: OSError) -> str:
    if ran_out_of_memory(error):
        return describe_error(error)
    reason = error.strerror or str(error)
    if error.filename is None:
        return f"error of the operating system: {reason}"
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    names = [re.sub(r"\.\d+\.btxrd\.tmp$", "", name) for name in names]
    return f"{' and '.join(names)}: {reason}"


def _explain_override(error: OverrideParseException) -> str:
    """Return which argument cannot be parsed, and how to quote special characters."""
    key, equals, value = error.override.partition("=")
    if not equals:
        return f"{error.override}: must be KEY=VALUE"
    lines = [line for line in str(error).splitlines() if not line.startswith("Error parsing")]
    reason = lines[0].split(" expecting ")[0].removeprefix("HydraException while evaluating ")
    if "LexerNoViableAlt" in reason:
        reason = "a quotation mark is not closed, or a character is not allowed"
    quoted = shlex.quote(override(key, value.strip("'\"")))
    return f"{error.override}: cannot be parsed ({reason}); if it is a text, quote it: {quoted}"


def no_choice(error: Exception, overrides: Sequence[str]) -> str:
    """Return one line if an override, such as `training=3`, names no choice, otherwise ""."""
    text = f"{error}\n{error.__cause__}"
    for given in reversed(overrides):
        group = given.lstrip("+").partition("=")[0]
        if "Config group override must be a string" in text and group in GROUPS:
            choices = ", ".join(choices_of(group))
            return f"{given}: is not the name of a choice; must be one of {choices}"
    return ""


def sets_null(overrides: Sequence[str]) -> str:
    """Return one line for an override of a key in a group of keys that is null."""
    chosen = "".join(f" with {given}" for given in overrides if given.startswith("data="))
    for given in overrides:
        parent = given.lstrip("+").rpartition("=")[0].rpartition(".")[0]
        if parent in ("data.phantom", "data.archive"):
            choices = ", ".join(choices_of("data"))
            return (
                f"{given}: {parent} is null{chosen}; leave it out, or set data to one of {choices}"
            )
    return f"{' '.join(overrides)}: sets a key in a group of keys that is null; leave it out"


def why_wrong_file(error: Exception, folders: Sequence[Path]) -> str:
    """Return one line if a file in folders of configs is no mapping or lacks its header, or ""."""
    text = f"{error}\n{error.__cause__}"
    place = re.match(r"In '(.+?)': ", text)
    paths = [folder / f"{place[1]}.yaml" for folder in folders] if place else []
    path = next((path for path in paths if path.is_file()), None)
    if path is None or place is None:
        return ""
    group = place[1].partition("/")[0]
    overridden = re.search(r"Could not override '(.+)'\. No match in the defaults list", text)
    if overridden:
        nearest_group = _nearest_of(overridden[1], [*GROUPS, *PLUGINS])
        return f"{path}: override /{overridden[1]}: no such group{nearest_group}"
    is_list = "Cannot merge DictConfig with ListConfig" in text
    if is_list or re.search(rf"full_key: {group}$", text, re.MULTILINE):
        return f"{path}: {why_no_mapping(path)}"
    return ""


def why_unreadable(error: Exception, folders: Sequence[Path]) -> str:
    """Return one line for the exception that a damaged config file causes.

    Args:
        error: Exception that was raised.
        folders: Folders of configs, which may contain the damaged file.
    """
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None) or "is not valid YAML"
        hint = "; indent with spaces" if "\\t" in problem else ""
        return f"{mark.name}, line {mark.line + 1}: {problem}{hint}"
    path = _cause(error, folders)
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        reason = f"hydra.job.env_copy: the environment has no variable {reason}"
    elif isinstance(error, RecursionError) and path is None:
        reason = "a config includes or refers to itself, or is nested too deeply"
    return f"{path}: cannot be read ({reason})" if path else f"cannot be composed: {reason}"


def _cause(error: Exception, folders: Sequence[Path]) -> Path | None:
    """Return the file that causes the same exception when it is read again."""
    for path in (path for folder in folders for path in sorted(folder.rglob("*.yaml"))):
        try:
            OmegaConf.load(path)
        except Exception as found:
            if (type(found), str(found)) == (type(error), str(error)):
                return path
    return None


def nearest(key: str, owner: type) -> str:
    """Return a suggestion for a misspelt key of a dataclass."""
    known = [item.name for item in fields(owner)]
    if owner is schema.Config:
        known += [group for group in GROUPS if group not in known]
    return _nearest_of(key, known)


def _nearest_of(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
