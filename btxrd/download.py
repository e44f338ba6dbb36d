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
from btxrd.runtime.files import describe_os_error, lock
from btxrd.runtime.folders import refuse_readonly
from btxrd.runtime.surroundings import settle_in

BLOCK = 1 << 18  # bytes
TIMEOUT = (15, 60)  # seconds to connect, and between two blocks of data


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
    """Download an archive and unpack it into `root`, unless `root` already contains its content.

    Args:
        root: Folder to create. The archive is stored next to it until it is unpacked.
        url: URL of the archive.
        md5: MD5 hash of the archive.

    Raises:
        InputError: If `root` contains something else, if the archive cannot be downloaded, has
            another MD5 hash or is not safe to unpack, or if the disk is full or cannot be written.
    """
    md5, root = md5.lower(), root.resolve()
    if not root.name:
        raise InputError(f"data.root={root}: must be a folder inside another one")
    refuse_readonly(root.parent, f"data.root={root}")
    archive, part, lock_path = (_beside(root, suffix) for suffix in (".zip", ".zip.part", ".lock"))
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with lock(lock_path, math.inf):
            if _is_whole(root, md5):
                message = "is already complete"
            else:
                _provide(archive, url, md5)
                message = f"{unpack(archive, root, md5)} cases"
            part.unlink(missing_ok=True)
            if archive.is_file() and _md5(archive) == md5:  # not another file of the user
                archive.unlink()
        lock_path.unlink(missing_ok=True)
    except OSError as error:
        place, why = error.filename or root, describe_os_error(error)
        raise InputError(
            f"{place}: cannot be written ({why}); make room, or name another folder"
        ) from error
    print(f"{root}: {message}")


def _beside(root: Path, suffix: str) -> Path:
    return root.with_name(root.name + suffix)


def _provide(archive: Path, url: str, md5: str) -> None:
    """Download the archive unless it exists. An existing one must have the MD5 hash.

    Raises:
        InputError: See `fetch`; also if an existing archive has another MD5 hash.
    """
    if not archive.exists():
        fetch(url, archive, md5)
    elif (found := _md5(archive)) != md5:
        raise InputError(f"{archive}: has md5 {found}, but data.archive.md5 is {md5}; delete it")


def _is_whole(root: Path, md5: str) -> bool:
    """Return whether `root` contains the content of the archive; false if it is empty or missing.

    Raises:
        InputError: If `root` contains something else, or if files are missing.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        marker = codec.read(root / MARKER, ArchiveMarker)
    except (OSError, InputError):
        marker = None
    if marker is not None and marker.md5 == md5 and _count(root) <= marker.files:
        raise InputError(f"data.root={root}: files are missing; delete it, and run this again")
    if marker is None or marker.md5 != md5:
        other = "an archive with another md5" if marker else "files that this command did not write"
        raise InputError(f"data.root={root}: contains {other}; set another folder, or delete it")
    return True


def _count(root: Path) -> int:
    """Return the number of files in a folder, including the marker."""
    return sum(path.is_file() for path in root.rglob("*"))


def fetch(url: str, archive: Path, md5: str) -> None:
    """Download a file to `archive`. A partial download is resumed.

    Raises:
        InputError: If the download fails or is incomplete, in which case the received part is kept;
            or if the file has another MD5 hash, in which case it is deleted.
        OSError: If the file cannot be written. The received part is kept.
    """
    part = archive.with_name(archive.name + ".part")
    by_hand = f"try again, or download it with a browser to {archive}"
    try:
        _resume(url, part, by_hand)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); {by_hand}") from error
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise InputError(
            f"{url}: the file has md5 {found}, but data.archive.md5 is {md5}; it was deleted, "
            "check the URL or try again"
        )
    part.rename(archive)


def _resume(url: str, part: Path, by_hand: str) -> None:
    """Request the missing bytes of `part`, and append them."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        code = answer.status_code
        if have and code == requests.codes.requested_range_not_satisfiable:
            return  # no bytes are missing; `fetch` checks the MD5 hash
        if code == requests.codes.ok:
            have = 0  # the server does not support ranges, and sends the whole file
        elif code != requests.codes.partial_content:
            raise InputError(f"{url}: the server answers {code} {answer.reason or ''}; {by_hand}")
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise InputError(f"{url}: the server sent another range of bytes; delete {part}")
        coming = int(answer.headers.get("Content-Length", 0))
        require_space(part, coming)
        _append(answer, part, have, have + coming if coming else None)


def _append(answer: requests.Response, part: Path, have: int, total: int | None) -> None:
    """Write the body of an answer after the first `have` bytes of `part`.

    Raises:
        InputError: If the connection breaks. The received bytes are kept.
    """
    of = f"{total:,}" if total else "an unknown number of"
    print(f"{part}: {have:,} of {of} bytes are already downloaded")
    cut: HTTPError | None = None
    with (
        part.open("r+b" if have else "wb") as file,
        tqdm(
            desc="download", total=total, initial=have, unit="B", unit_scale=True, disable=None
        ) as bar,
    ):
        file.seek(have)
        try:
            # iter_content would drop the received bytes of an incomplete block.
            for block in iter(lambda: answer.raw.read1(BLOCK, decode_content=False), b""):
                file.write(block)
                bar.update(len(block))
        except HTTPError as error:
            cut = error
        came = file.tell()
    if cut is not None or (total is not None and came < total):
        raise InputError(
            f"{answer.url}: the connection broke; {came:,} of {of} bytes are in {part}; "
            "run the same command again to resume"
        ) from cut


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
