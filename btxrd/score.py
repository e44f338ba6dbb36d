"""Score runs again from their CSV files: write metrics.json, plots and model card anew."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from btxrd.artifacts.config import read_config
from btxrd.artifacts.hashes import DERIVED, Hashes, hash_files, is_derived, verify
from btxrd.artifacts.metrics import RunMetrics
from btxrd.artifacts.plan import PLAN, read_usable_plan
from btxrd.artifacts.status import STATUS, RunStatus, write_status
from btxrd.config import parsers
from btxrd.config.messages import one_line_errors
from btxrd.errors import InputError, describe_error, ran_out_of_memory
from btxrd.evaluation.score import describe, score
from btxrd.execution.status import LOCK, read_status
from btxrd.html.publish import publish_run, summarize
from btxrd.runtime.files import lock
from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Run the command line; return 0 if all runs were scored, 1 if one was not, 2 on bad input."""
    settle_in()
    parser = parsers.score()
    if parser.answer_help(sys.argv[1:]):
        return 0
    with one_line_errors(2):
        return _score_all(parser.parse_args().folders)


def _score_all(folders: list[Path]) -> int:
    runs_of = {folder: find_runs(folder) for folder in folders}
    is_well = True
    for folder, run_dirs in runs_of.items():
        for run_dir in run_dirs:
            is_scored, message = score_run(run_dir)
            name = folder if run_dir == folder else run_dir.relative_to(folder)
            print(f"{name}: {message}", flush=True)
            is_well &= is_scored
        is_well &= _published(folder, is_run=run_dirs == [folder])
    return 0 if is_well else 1


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of the runs of a sweep, or the folder of a run itself.

    Raises:
        InputError: If there is no run.
    """
    if (folder / STATUS).is_file():
        return [folder]
    planned = [folder / name for name in read_usable_plan(folder).runs]
    found = [path.parent for path in sorted(folder.rglob(STATUS))]
    run_dirs = list(dict.fromkeys([*planned, *found]))
    if not run_dirs:
        what = f"has neither {STATUS} nor {PLAN}" if folder.is_dir() else "is not a folder"
        raise InputError(f"{folder}: {what}; name the folder of a run or of a sweep")
    return run_dirs


def score_run(run_dir: Path) -> tuple[bool, str]:
    """Score a run, unless it is not complete or was only trained.

    Returns:
        Whether all is well, and a message. A run that was only trained is well.
    """
    try:
        status = read_status(run_dir)
        if status is None or status.state != "complete":
            return False, f"not scored ({'missing' if status is None else status.state})"
        if not read_config(run_dir).config.evaluate:
            return True, "not scored (evaluate=false: it was only trained)"
        with lock(run_dir / LOCK) as handle:
            if handle is None:
                return False, "not scored (another process is using it)"
            return True, f"scored: {describe(_score(run_dir))}"
    except Exception as error:  # each kind of damage raises a type of its own
        return False, f"not scored ({_in_one_line(run_dir, error)})"


def _score(run_dir: Path) -> RunMetrics:
    """Score a run whose lock is held. Its files are verified before, and hashed after.

    Raises:
        InputError: If a file that is read is not as the run left it.
        OSError: If a file cannot be read.
    """
    status = read_status(run_dir)
    if status is None or status.files is None:
        return score(run_dir)
    verify(run_dir, {name: found for name, found in status.files.items() if not is_derived(name)})
    return score(run_dir, _writing(run_dir, status, status.files))


@contextmanager
def _writing(run_dir: Path, status: RunStatus, files: Hashes) -> Iterator[None]:
    """Leave the hashes of the derived files empty while they are written."""
    sources = {name: found for name, found in files.items() if not is_derived(name)}
    unknown = dict.fromkeys(filter(is_derived, files), "")
    write_status(run_dir, replace(status, files=sources | unknown))
    yield
    write_status(run_dir, replace(status, files=sources | hash_files(run_dir, DERIVED)))


def _in_one_line(run_dir: Path, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.filename}: {error.strerror}"
    elif ran_out_of_memory(error):
        reason = describe_error(error)
    elif not isinstance(error, InputError):
        reason = f"is damaged ({type(error).__name__}: {reason})"
    return " ".join(reason.removeprefix(f"{run_dir}/").split())


def _published(folder: Path, is_run: bool) -> bool:
    """Write the page of a run, or the summary of a sweep; return whether this succeeded."""
    try:
        if is_run:
            publish_run(folder)
        else:
            summarize([folder], folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
