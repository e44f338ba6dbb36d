"""The YAML files under conf/: where they lie, and what they offer.

It loads nothing, so that help is there at once.
"""

from pathlib import Path

GROUPS = ("experiment", "model", "annotations", "split", "training", "data", "search")

HELP = """
Choices (GROUP=NAME):
{choices}

Examples:
  python -m btxrd.run                                   one run on synthetic films, into outputs/
  python -m btxrd.run -m 'experiment=glob(*)' split=stratified,center
                                                        the grid, into multirun/
  python -m btxrd.run data=btxrd data.root=FOLDER model=efficientnet_lite0 training.epochs=20
  python -m btxrd.run -m hydra/launcher=joblib seed=0,1,2
                                                        side by side; =slurm on a cluster
  python -m btxrd.run -m ... hydra.sweep.dir=FOLDER     go on with a sweep

Beside it:
  python -m btxrd.summarize FOLDER                      how far a sweep is, and what came of it
  python -m btxrd.download data.root=FOLDER             fetch BTXRD
  python -m btxrd.audit data=btxrd data.root=FOLDER     what is in it, and what leaks

More:
  --cfg job      the whole config that the command line composes, every key with its value
  --hydra-help   Hydra's own options
"""


def conf_dir() -> Path:
    """Find the YAML files: inside the package where it was built, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices_of(group: str) -> list[str]:
    """Name what a group offers; what lies in folders of its own comes last, as `study/recipe`."""
    folder = conf_dir() / group
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return [path.as_posix() for path in sorted(found, key=lambda path: (len(path.parts), path))]


def help_text(head: str) -> str:
    """Compose the help page under `head`."""
    lines = []
    for group in GROUPS:
        lines.append(f"  {group:<12} {', '.join(choices_of(group))}")
    return head.rstrip() + "\n" + HELP.format(choices="\n".join(lines))
