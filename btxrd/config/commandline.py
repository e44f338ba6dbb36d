"""The arguments of `python -m btxrd.run`: overrides, and a few of Hydra's options."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

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
        InputError: If two of them contradict each other.
        SystemExit: If one is unknown; argparse has said which.
    """
    args = _parser().parse_intermixed_args(arguments)
    if args.cfg and args.multirun:
        raise InputError("--cfg shows the config of one run: leave out -m")
    return CommandLine(
        overrides=args.overrides,
        config_name=args.config_name,
        config_dir=args.config_dir,
        is_sweep=args.multirun or "hydra.mode=MULTIRUN" in args.overrides,
        shows=any((args.cfg, args.info, args.hydra_help, args.shell_completion, args.version)),
        shows_config=bool(args.cfg),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m btxrd.run", add_help=False)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-r", "--run", action="store_true")
    parser.add_argument("-cn", "--config-name", default="config")
    parser.add_argument("-cd", "--config-dir")
    # Hydra answers these, with `--package` and `--resolve` as further options of `--cfg`.
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-p", "--package")
    parser.add_argument("-i", "--info", nargs="?", const="all")
    for option in ("--resolve", "--hydra-help", "--version"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    return parser
