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
    """What was typed.

    Attributes:
        overrides: Such as `split=stratified,center`, in their order.
        config_name: Primary config.
        config_dir: Further folder of configs.
        is_sweep: Whether several runs are asked for.
        shows: Whether Hydra is asked to show something in place of a run.
    """

    overrides: list[str]
    config_name: str = "config"
    config_dir: str | None = None
    is_sweep: bool = False
    shows: bool = False


def parse_arguments(arguments: Sequence[str]) -> CommandLine:
    """Parse the arguments of a command.

    Raises:
        InputError: If one is unknown, or two of them contradict each other.
    """
    for argument in arguments:
        for option, instead in NO_OPTIONS.items():
            if argument.split("=")[0] in option.split():
                raise InputError(f"{option.split()[0]}: is no option; {instead}")
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
NO_OPTIONS = {  # Hydra's
    "--config-path -cp": "btxrd has a config of its own; add a folder of configs with "
    "--config-dir FOLDER, and choose a primary config in it with --config-name NAME",
    "--experimental-rerun": "give the same command again, which resumes",
    "--hydra-help": "see btxrd run --help",
    "--shell-completion -sc": "btxrd has a completion of its own; see btxrd completion --help",
}


def override(key: str, value: str) -> str:
    """Return KEY=VALUE for a text, quoted for Hydra if that is needed."""
    if not re.fullmatch(r"[\w/.:@%-][\w/.:@%+-]*", value, re.ASCII) or value in _WORDS:
        from hydra.core.override_parser.types import Quote, QuotedString

        value = QuotedString(value.replace("${", r"\${"), Quote.double).with_quotes()
    return f"{key}={value}"


_WORDS = ("null", "true", "false", "nan", "inf")


def program(command: str) -> list[str]:
    """Return the words that call a command of btxrd in the way that this process was called.

    That is `btxrd COMMAND` or `python -m btxrd.COMMAND`, with the path of the program if the shell
    finds another one, or none, by its name.
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
    """Return the command that resumes what was started with `arguments`, for a shell.

    Args:
        arguments: As they were typed.
        key: `hydra.run.dir` or `hydra.sweep.dir`.
        folder: Its value.
        words: Words that call `btxrd run`; see `program`.
        started_in: Folder that it was started in, to which relative paths refer; empty if that is
            the current folder or is not known.
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
