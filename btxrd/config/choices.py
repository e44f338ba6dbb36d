"""The YAML files under conf/: their folder, and the options of each group.

This module imports nothing else of btxrd, so that help is fast.
"""

from pathlib import Path

GROUPS = ("experiment", "model", "annotations", "split", "training", "data", "search")
PLUGINS = {  # groups of Hydra, with their options that btxrd supports
    "hydra/launcher": ("default", "basic", "joblib", "slurm"),
    "hydra/sweeper": ("basic", "optuna"),
}


def conf_dir() -> Path:
    """Return the folder of the YAML files: in an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choices_of(group: str, config_dir: Path | None = None) -> list[str]:
    """Return the options of a config group; those in subfolders come last.

    Args:
        group: Name of the group.
        config_dir: Folder of configs; None for that of btxrd.
    """
    folder = (config_dir or conf_dir()) / group
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return [path.as_posix() for path in sorted(found, key=lambda path: (len(path.parts), path))]


def why_no_mapping(path: Path) -> str:
    """Say why Hydra finds no keys, or not those of a run, in a file of configs."""
    content = path.read_bytes()
    lines = [line.strip() for line in content.splitlines()]
    if content.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark; save it as UTF-8 without one"
    if not any(line and not line.startswith(b"#") for line in lines):
        return "is empty; write keys and values, under a first line '# @package _global_'"
    if b"# @package _global_" not in lines:
        return "lacks the first line '# @package _global_'; add it, above keys and values"
    return "must contain keys and values, such as seed: 1"
