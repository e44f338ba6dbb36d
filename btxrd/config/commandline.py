"""The arguments of `btxrd run`: overrides, and the options of Hydra that make sense here."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from btxrd.config import parsers
from btxrd.errors import InputError


@dataclass(frozen=True)
class CommandLine:
    """The parsed arguments of a command.

    Attributes:
        overrides: Overrides in their order, such as `split=stratified,center`.
        config_name: Name of the primary config.
        config_dir: Further folder of configs.
        is_sweep: Whether several runs are asked for.
        shows: Whether Hydra is asked to show a config instead of starting a run.
    """

    overrides: list[str]
    config_name: str = "config"
    config_dir: str | None = None
    is_sweep: bool = False
    shows: bool = False


def parse_arguments(arguments: Sequence[str]) -> CommandLine:
    """Parse the arguments of a command.

    Raises:
        InputError: If an argument is unknown, or if two arguments contradict each other.
    """
    for argument in arguments:
        for option, instead in NO_OPTIONS.items():
            if argument.split("=")[0] in option.split():
                raise InputError(f"{option.split()[0]}: is not an option; {instead}")
    args = parsers.run().parse_intermixed_args(arguments)
    for given in args.overrides:
        if given.startswith("=") or "=" not in given.replace("~", "=", 1):
            raise InputError(f"{given}: must be KEY=VALUE")
        key = given[1:].split("=")[0]
        if given.startswith("~") and not key.startswith("hydra"):
            raise InputError(f"{given}: a setting cannot be removed; set it, as in {key}=VALUE")
    if args.cfg and args.multirun:
        raise InputError("--cfg shows the config of one run: leave out -m")
    if (args.resolve or args.package) and not args.cfg:
        option = "--resolve" if args.resolve else "--package"
        raise InputError(f"{option}: is an option of --cfg; add --cfg job")
    shown = [option for option in SHOWS if getattr(args, option)]
    asked = shown + [option for option in ("run", "multirun") if getattr(args, option)]
    if len(asked) > 1:
        names = " and ".join(f"--{option.replace('_', '-')}" for option in asked)
        raise InputError(f"{names}: exclude each other; give one of them")
    return CommandLine(
        overrides=args.overrides,
        config_name=args.config_name,
        config_dir=args.config_dir,
        is_sweep=args.multirun,
        shows=bool(shown),
    )


SHOWS = ("cfg", "info")
NO_OPTIONS = {  # options of Hydra that btxrd does not have, with what to do instead
    "--config-path -cp": "btxrd has a config of its own; add a folder of configs with "
    "--config-dir FOLDER, and choose a primary config in it with --config-name NAME",
    "--experimental-rerun": "run the same command again to resume",
    "--hydra-help": "see btxrd run --help",
    "--shell-completion -sc": "btxrd has a completion of its own; see btxrd completion --help",
}


def override(key: str, value: str) -> str:
    """Return KEY=VALUE for a text value, quoted for Hydra if necessary."""
    if not re.fullmatch(r"[\w/.:@%-][\w/.:@%+-]*", value, re.ASCII) or value in _WORDS:
        from hydra.core.override_parser.types import Quote, QuotedString

        value = QuotedString(value.replace("${", r"\${"), Quote.double).with_quotes()
    return f"{key}={value}"


_WORDS = ("null", "true", "false", "nan", "inf")


def program(command: str) -> list[str]:
    """Return the words of a call of a command, in the form in which this process was called.

    The form is `btxrd COMMAND` or `python -m btxrd.COMMAND`. The path of the program is added if
    the shell would find another program or none by its name.
    """
    script = Path(sys.argv[0])
    if script.stem == "btxrd":
        return [_in_shell("btxrd", script), command]
    return [_in_shell("python", Path(sys.executable)), "-m", f"btxrd.{command}"]


def _in_shell(name: str, path: Path) -> str:
    found = shutil.which(name)
    is_same = found is not None and Path(found).absolute().parent == path.absolute().parent
    return name if is_same else str(path.absolute())


def resuming(
    arguments: Sequence[str],
    key: str,
    folder: Path,
    words: Sequence[str] = ("btxrd", "run"),
    started_in: str = "",
) -> str:
    """Return the shell command that resumes a run or sweep.

    Args:
        arguments: Arguments of the call that started it.
        key: `hydra.run.dir` or `hydra.sweep.dir`.
        folder: Folder of the run or sweep.
        words: Words of a call of `btxrd run`; see `program`.
        started_in: Folder in which the call was made, to which relative paths refer; empty if it is
            the current folder or unknown.
    """
    is_elsewhere = Path(started_in).is_dir() and Path(started_in).resolve() != Path.cwd()
    kept = [argument for argument in arguments if argument.lstrip("+").split("=")[0] != key]
    place = folder.absolute() if started_in and is_elsewhere else folder
    command = _join([*words, *kept, override(key, str(place))])
    if started_in and is_elsewhere:
        return f"cd {_join([started_in])} && {command}"
    return command


def _join(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
