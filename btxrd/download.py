"""Fetch BTXRD from its public archive, and unpack it (`btxrd download`)."""

import hashlib
import math
import shlex
import signal
import sys
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from btxrd.artifacts import codec
from btxrd.artifacts.archive import MARKER, ArchiveMarker
from btxrd.config import parsers
from btxrd.data.archive import require_space, unpack
from btxrd.errors import InputError
from btxrd.runtime.files import lock
from btxrd.runtime.surroundings import settle_in

BLOCK = 1 << 18  # bytes
TIMEOUT = (15, 60)  # seconds to connect, and between two answers


def main() -> int:
    """Run the command line; return the exit status."""
    settle_in()
    parser, typed = parsers.download(), sys.argv[1:]
    if parser.answer_help(typed):
        return 0
    from btxrd.config.commandline import override
    from btxrd.config.messages import one_line_errors
    from btxrd.execution.planning import compose_one

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with one_line_errors():
        typed = parser.parse_args(typed).overrides
        if not any(argument.startswith("data=") for argument in typed):
            typed = ["data=btxrd", *typed]
        (config,) = compose_one(typed).runs.values()
        if config.data.archive is None:
            raise InputError("data.archive: has no url and md5; is data=btxrd what you mean?")
        download(Path(config.data.root), config.data.archive.url, config.data.archive.md5)
        given = f"data=btxrd {shlex.quote(override('data.root', config.data.root))}"
        print(f"Next: btxrd audit {given}\nThen: btxrd run {given}")
    return 0


def download(root: Path, url: str, md5: str) -> None:
    """Have the data set of an archive in `root`.

    Args:
        root: folder to make; its archive lies beside it until all is well.
        url: of the archive.
        md5: of the archive.

    Raises:
        InputError: for a folder that holds something else, an archive that cannot be fetched whole,
            has another md5 or is not safe to unpack, and a disk that is full or cannot be written.
    """
    md5, root = md5.lower(), root.resolve()
    if not root.name:
        raise InputError(f"data.root={root}: has no place beside it; name a folder in it")
    archive, part, lock_path = (_beside(root, suffix) for suffix in (".zip", ".zip.part", ".lock"))
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with lock(lock_path, math.inf):
            if _is_whole(root, md5):
                message = "is whole already"
            else:
                _provide(archive, url, md5)
                message = f"{unpack(archive, root, md5)} cases"
            part.unlink(missing_ok=True)
            if archive.is_file() and _md5(archive) == md5:  # and not the user's own
                archive.unlink()
        lock_path.unlink(missing_ok=True)
    except OSError as error:
        path = error.filename or root
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    print(f"{root}: {message}")


def _beside(root: Path, suffix: str) -> Path:
    return root.with_name(root.name + suffix)


def _provide(archive: Path, url: str, md5: str) -> None:
    """Fetch the archive, unless it is there; one that was put there must have the md5 too."""
    if not archive.exists():
        fetch(url, archive, md5)
    elif (found := _md5(archive)) != md5:
        raise InputError(f"{archive}: has md5 {found}, data.archive.md5 is {md5}; delete it")


def _is_whole(root: Path, md5: str) -> bool:
    """Whether `root` holds the archive. Raises InputError where it holds something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        marker = codec.read(root / MARKER, ArchiveMarker)
    except (OSError, InputError):
        marker = None
    if marker is not None and marker.md5 == md5 and _count(root) <= marker.files:
        raise InputError(f"data.root={root}: is not whole any more; delete it, and call again")
    if marker is None or marker.md5 != md5:
        holds = "an archive of another md5" if marker else "files that this command did not make"
        raise InputError(f"data.root={root}: holds {holds}; name another folder, or delete it")
    return True


def _count(root: Path) -> int:
    """Files in a folder, the marker too."""
    return sum(path.is_file() for path in root.rglob("*"))


def fetch(url: str, archive: Path, md5: str) -> None:
    """Fetch a file, from where an earlier call was cut off.

    Raises:
        InputError: where it cannot be fetched, or not whole, in which case what came is kept; and
            where it has another md5, in which case it is deleted.
        OSError: where it cannot be written; what came is kept.
    """
    part = archive.with_name(archive.name + ".part")
    by_hand = f"try again, or fetch it with a browser and put it at {archive}"
    try:
        _resume(url, part, by_hand)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise InputError(f"{url}: cannot be fetched ({error}); {by_hand}") from error
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise InputError(
            f"{url}: gave a file of md5 {found}, data.archive.md5 is {md5}; it is deleted"
        )
    part.rename(archive)


def _resume(url: str, part: Path, by_hand: str) -> None:
    """Ask for what `part` lacks, and append it."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        code = answer.status_code
        if have and code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is lacking; the md5 tells whether it is right
        if code == requests.codes.ok:
            have = 0  # the server knows no ranges, and begins again
        elif code != requests.codes.partial_content:
            raise InputError(f"{url}: answers {code} {answer.reason or ''}; {by_hand}")
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise InputError(f"{url}: answers with another range than asked for; delete {part}")
        coming = int(answer.headers.get("Content-Length", 0))
        require_space(part, coming)
        _append(answer, part, have, have + coming if coming else None)


def _append(answer: requests.Response, part: Path, have: int, total: int | None) -> None:
    """Write the body of an answer after the first `have` bytes of `part`.

    Raises:
        InputError: where it is cut off; what came is kept.
    """
    of = f"{total:,}" if total else "an unknown number of"
    print(f"{part}: {have:,} of {of} bytes are there")
    cut: HTTPError | None = None
    with (
        part.open("r+b" if have else "wb") as file,
        tqdm(
            desc="fetch", total=total, initial=have, unit="B", unit_scale=True, disable=None
        ) as bar,
    ):
        file.seek(have)
        try:
            # Not iter_content, which drops what came of a block that is cut off.
            for block in iter(lambda: answer.raw.read1(BLOCK, decode_content=False), b""):
                file.write(block)
                bar.update(len(block))
        except HTTPError as error:
            cut = error
        came = file.tell()
    if cut is not None or (total is not None and came < total):
        raise InputError(
            f"{answer.url}: was cut off; {came:,} of {of} bytes are in {part}, "
            "and the same command goes on"
        ) from cut


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
