"""The YAML files under conf/: their folder, and the options of each group.

This module loads nothing, so that `--help` is fast.
"""

from pathlib import Path

GROUPS = ("experiment", "model", "annotations", "split", "training", "data", "search")

HELP = """
Choices (GROUP=NAME):
{choices}

Examples:
  python -m btxrd.run                                   one run on synthetic data, into outputs/
  python -m btxrd.run -m 'experiment=glob(*)' split=stratified,center
                                                        the grid, into multirun/
  python -m btxrd.run data=btxrd data.root=FOLDER model=efficientnet_lite0 training.epochs=20
  python -m btxrd.run -m hydra/launcher=joblib seed=0,1,2
                                                        in parallel; =slurm on a cluster
  python -m btxrd.run -m ... hydra.sweep.dir=FOLDER     resume a sweep

Other commands:
  python -m btxrd.summarize FOLDER                      show the progress and results of a sweep
  python -m btxrd.download data.root=FOLDER             fetch BTXRD
  python -m btxrd.audit data=btxrd data.root=FOLDER     what is in it, and what leaks

Options:
  --cfg job      the whole config that the command line composes, every key with its value
  --hydra-help   Hydra's own options
"""


def conf_dir() -> Path:
    """Return the folder of the YAML files: in an installed package inside it, else beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices_of(group: str) -> list[str]:
    """Name what a group offers; options in subfolders, such as `study/recipe`, come last."""
    folder = conf_dir() / group
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return [path.as_posix() for path in sorted(found, key=lambda path: (len(path.parts), path))]


def help_text(head: str) -> str:
    """Compose the help page under `head`."""
    lines = []
    for group in GROUPS:
        lines.append(f"  {group:<12} {', '.join(choices_of(group))}")
    return head.rstrip() + "\n" + HELP.format(choices="\n".join(lines))
