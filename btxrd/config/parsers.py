"""The parser of each command: its arguments, and its help.

This module loads no Hydra, so that help and completion are fast.
"""

from argparse import SUPPRESS
from pathlib import Path

from btxrd import __version__
from btxrd.config.choices import GROUPS, PLUGINS, choices_of
from btxrd.config.parser import COMPLETION, Parser, examples, other_commands, section

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
SHELLS = ("bash", "zsh", "fish")
VERSION = f"btxrd {__version__}"
EXAMPLES = {
    "btxrd run": "one run on synthetic data, into outputs/DATE/TIME",
    "btxrd run -m 'experiment=glob(*)' split=stratified,center hydra.sweep.dir=multirun/first": (
        "the grid on synthetic data, into multirun/first; the same command resumes it"
    ),
    "btxrd run data=btxrd data.root=/data/BTXRD model=efficientnet_lite0 training.epochs=20": (
        "one run on BTXRD"
    ),
    "btxrd run -m hydra/launcher=joblib seed=0,1,2": "three runs in parallel",
    "btxrd run -m hydra/launcher=slurm seed=0,1,2": "three jobs of a Slurm cluster",
    "btxrd run --cfg job split=center": "the config of a run: each key with its value",
}


def run() -> Parser:
    """Return the parser of `btxrd run`."""
    choices = {group: ", ".join(choices_of(group)) for group in GROUPS}
    choices |= {group: ", ".join(names) for group, names in PLUGINS.items()}
    parser = Parser(
        "run",
        "[KEY=VALUE ...]",
        "Train and evaluate classifiers of bone-tumour radiographs: one run, or a sweep of runs "
        "(-m). A run or a sweep that was interrupted is resumed by the same command.",
        section("choices (GROUP=NAME)", choices),
        examples(EXAMPLES),
        other_commands("run"),
        COMPLETION,
    )
    add = parser.add_argument
    add(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="a setting, such as training.epochs=20, or a choice, such as split=center; with -m "
        "also several values, such as seed=0,1,2",
    )
    flag = {"action": "store_true"}
    add("-m", "--multirun", help="execute a run for each combination of the values", **flag)
    add("-r", "--run", help="execute one run (default)", **flag)
    add("-cd", "--config-dir", metavar="DIR", help="further folder of configs")
    add(
        "-cn",
        "--config-name",
        metavar="NAME",
        default="config",
        help="primary config (default: config)",
    )
    add(
        "-c",
        "--cfg",
        choices=("job", "hydra", "all"),
        help="show the config of a run instead of running it: the settings of btxrd (job), "
        "those of Hydra, or both",
    )
    add("--resolve", help="with --cfg: show values instead of references to them", **flag)
    add("-p", "--package", metavar="KEY", help="with --cfg: show only what is under this key")
    add(
        "-i",
        "--info",
        nargs="?",
        const="all",
        choices=INFO,
        metavar="PART",
        help=f"show how Hydra composes the config: {', '.join(INFO)} (default: all)",
    )
    add("--version", action="version", version=VERSION, help="show the version, and exit")
    return parser


def summarize() -> Parser:
    """Return the parser of `btxrd summarize`."""
    parser = Parser(
        "summarize",
        "DIR ...",
        "Write the summary and the report of a sweep, or of several sweeps together, and print its "
        "progress and results. For a single run, write its page.",
        examples(
            {
                "btxrd summarize multirun/first": "show the progress and the results of a sweep",
                "btxrd summarize multirun/first multirun/second --to both": "summarise two sweeps",
            }
        ),
        other_commands("summarize"),
    )
    add = parser.add_argument
    add("sweep_dirs", metavar="DIR", nargs="+", type=Path, help="folder of a sweep or of a run")
    add(
        "--to",
        metavar="FOLDER",
        type=Path,
        help="folder to write into (default: that of the sweep, if there is one)",
    )
    add("--no-images", action="store_true", help="leave radiographs out of the report")
    add(
        "--margin",
        type=float,
        metavar="NUMBER",
        help="smallest difference in macro AUC that matters (default: report.margin of the sweep)",
    )
    return parser


def score() -> Parser:
    """Return the parser of `btxrd score`."""
    parser = Parser(
        "score",
        "DIR ...",
        "Compute the metrics, the plots and the model card of finished runs again, from their CSV "
        "files. The report of a sweep is written again, too.",
        examples({"btxrd score multirun/first": "score all runs of a sweep"}),
        other_commands("score"),
    )
    parser.add_argument(
        "folders", metavar="DIR", nargs="+", type=Path, help="folder of a run or of a sweep"
    )
    return parser


def download() -> Parser:
    """Return the parser of `btxrd download`."""
    parser = Parser(
        "download",
        "data.root=FOLDER",
        "Fetch the BTXRD data set from its public archive, and unpack it into a folder. The "
        "archive is beside the folder while it is fetched. A download that was interrupted is "
        "resumed by the same command. Nothing is done if the folder is complete.",
        section(
            "settings",
            {
                "data.root=FOLDER": "folder to make",
                "data.archive.url=URL": "another archive, together with data.archive.md5",
                "data.archive.md5=MD5": "the MD5 of its file",
            },
        ),
        examples({"btxrd download data.root=/data/BTXRD": "fetch the data set into /data/BTXRD"}),
        other_commands("download"),
    )
    return parser.taking_overrides()


def audit() -> Parser:
    """Return the parser of `btxrd audit`."""
    parser = Parser(
        "audit",
        "[KEY=VALUE ...]",
        "Check a data set: its content, its errors, and what leaks between the partitions of each "
        "split. Write audit.html and audit.json into hydra.run.dir (default: outputs/DATE/TIME).",
        examples(
            {
                "btxrd audit data=btxrd data.root=/data/BTXRD": "audit BTXRD",
                "btxrd audit data=btxrd data.root=/data/BTXRD split=manifest "
                "split.manifest=split.csv": "also check a split of your own",
            }
        ),
        other_commands("audit"),
    )
    return parser.taking_overrides()


def completion() -> Parser:
    """Return the parser of `btxrd completion`."""
    parser = Parser(
        "completion",
        "SHELL",
        "Print the code that lets a shell complete the arguments of btxrd. It calls the same "
        "command, with a command line to complete.",
        COMPLETION,
        other_commands("completion"),
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.add_argument("line", nargs="?", help=SUPPRESS)
    return parser


PARSERS = {
    "run": run,
    "summarize": summarize,
    "score": score,
    "download": download,
    "audit": audit,
    "completion": completion,
}
