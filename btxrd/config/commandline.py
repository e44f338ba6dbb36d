"""The arguments of `python -m btxrd.run`: overrides, and a few of Hydra's options."""

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

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
        shows_config: Whether that is the config of a run.
    """

    overrides: list[str]
    config_name: str = "config"
    config_dir: str | None = None
    is_sweep: bool = False
    shows: bool = False
    shows_config: bool = False


def parse_arguments(arguments: Sequence[str]) -> CommandLine:
    """Parse the arguments of a command.

    Raises:
        InputError: If one is unknown, or two of them contradict each other.
    """
    args = _Parser(prog="btxrd.run", add_help=False, allow_abbrev=False).parse(arguments)
    if args.config_path is not None:
        raise InputError(
            "--config-path: is no option, btxrd has a config of its own; add a folder of configs "
            "with --config-dir FOLDER, and choose a primary config in it with --config-name NAME"
        )
    if args.experimental_rerun is not None:
        raise InputError(
            "--experimental-rerun: is no option; give the same command again, which resumes"
        )
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
        shows_config=bool(args.cfg),
    )


SHOWS = ("cfg", "info", "hydra_help", "shell_completion", "version")


class _Parser(argparse.ArgumentParser):
    """The options of Hydra that make sense here; a wrong one is one line."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        add = self.add_argument
        add("overrides", nargs="*", metavar="KEY=VALUE")
        add("-m", "--multirun", action="store_true")
        add("-r", "--run", action="store_true")
        add("-cn", "--config-name", default="config")
        add("-cd", "--config-dir")
        # Hydra answers these, with `--package` and `--resolve` as further options of `--cfg`.
        add("-c", "--cfg", choices=("job", "hydra", "all"))
        add("-p", "--package")
        add("-i", "--info", nargs="?", const="all")
        for option in ("--resolve", "--hydra-help", "--version"):
            add(option, action="store_true")
        add("-sc", "--shell-completion", action="store_true")
        # These two are only named in a message.
        add("-cp", "--config-path")
        add("--experimental-rerun")
        return self.parse_intermixed_args(arguments)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m btxrd.run --help")


def override(key: str, value: str) -> str:
    """Return KEY=VALUE for a text, quoted for Hydra if that is needed."""
    if not re.fullmatch(r"[\w/.:@%-][\w/.:@%+-]*", value, re.ASCII) or value in _WORDS:
        from hydra.core.override_parser.types import Quote, QuotedString

        value = QuotedString(value.replace("${", r"\${"), Quote.double).with_quotes()
    return f"{key}={value}"


_WORDS = ("null", "true", "false", "nan", "inf")


def resuming(arguments: Sequence[str], key: str, folder: Path) -> str:
    """Return the command that resumes what was started with `arguments`, for a shell.

    Args:
        arguments: As they were typed.
        key: `hydra.run.dir` or `hydra.sweep.dir`.
        folder: Its value.
    """
    kept = [argument for argument in arguments if argument.lstrip("+").split("=")[0] != key]
    return shlex.join(["python", "-m", "btxrd.run", *kept, override(key, str(folder))])
