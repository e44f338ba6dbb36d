"""Unpack the zip archive of a data set, completely or not at all, and only into its folder."""

import errno
import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from btxrd.artifacts import codec
from btxrd.artifacts.archive import MARKER, ArchiveMarker
from btxrd.data.cases import load_cases
from btxrd.data.constants import SUFFIXES, TABLES
from btxrd.errors import InputError

LARGEST = 20_000_000_000  # bytes, unpacked; BTXRD has 0.8 billion
DENSEST = 200  # largest compression ratio of an entry; that of images is about 1
SMALL = 1000  # compressed size in bytes up to which the ratio may be larger
DAMAGE = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)


def unpack(archive: Path, root: Path, md5: str) -> int:
    """Unpack the images, the outlines and the table of an archive into `root`.

    All entries are checked before anything is written. The top folder of BTXRD's archive, its
    nested `Annotations` folder and its lock files are not reproduced.

    Args:
        archive: Path to the zip file.
        root: Folder to create. An empty folder may exist.
        md5: MD5 hash of the archive, which is stored in the folder.

    Returns:
        The number of cases.

    Raises:
        InputError: If the archive is damaged or unsafe, or does not contain a usable data set.
        OSError: If the folder cannot be written.
    """
    root = root.absolute()
    temporary = root.with_name(f".{root.name}-unpacking")
    try:
        with zipfile.ZipFile(archive) as content:
            chosen = _choose(content, archive)
            require_space(root, sum(entry.file_size for entry in chosen.values()))
            shutil.rmtree(temporary, ignore_errors=True)  # left by a call that was killed
            _extract(content, chosen, temporary)
        cases = len(load_cases(temporary))
        codec.write(temporary / MARKER, ArchiveMarker(md5, files=len(chosen), cases=cases))
        temporary.rename(root)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # a disk error; damaged bzip2 has no errno, an offset outside the file is EINVAL
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    except InputError as error:
        raise InputError(str(error).replace(str(temporary), f"{archive}: {root.name}")) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return cases


def require_space(path: Path, size: int) -> None:
    """Raise InputError if the disk of `path` has less than `size` bytes free."""
    free = shutil.disk_usage(path.absolute().parent).free
    if size > free:
        raise InputError(f"{path}: needs {size:,} bytes, but the disk has only {free:,} left")


def _choose(content: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Check all entries, and return those to unpack by their path in the data set."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    spelt: dict[str, str] = {}  # on some systems, A.jpeg and a.jpeg are the same file
    for entry in content.infolist():
        error = _error(entry)
        if error:
            raise InputError(
                f"{archive}: the entry {entry.filename!r} {error}; nothing was unpacked"
            )
        target = _target(PurePosixPath(entry.filename))
        if target is None or entry.is_dir():
            continue
        target = spelt.setdefault(target.lower(), target)
        known = chosen.setdefault(target, entry)
        if (known.CRC, known.file_size) != (entry.CRC, entry.file_size):
            raise InputError(
                f"{archive}: {known.filename} and {entry.filename} would be the same file"
            )
    if sum(entry.file_size for entry in content.infolist()) > LARGEST:
        raise InputError(f"{archive}: would unpack to more than {LARGEST:,} bytes")
    if not any(path.startswith("images/") for path in chosen) or not chosen.keys() & set(TABLES):
        raise InputError(f"{archive}: must contain images/, and dataset.xlsx or dataset.csv")
    return chosen


def _error(entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is not safe, or None."""
    name = entry.orig_filename
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        return "would be written outside the folder"
    if any(ord(letter) < 32 or letter in "\\:" for letter in name):
        return "has a name that is not valid on every system"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.file_size > DENSEST * max(entry.compress_size, SMALL):
        return f"would grow from {entry.compress_size:,} to {entry.file_size:,} bytes"
    return None


def _target(path: PurePosixPath) -> str | None:
    """Return the path of an entry in the data set, or None if the entry is not part of it."""
    if path.name.startswith((".", "~")) or "__MACOSX" in path.parts:
        return None
    folders = [part for part in path.parts[:-1] if part in ("images", "Annotations")]
    if path.name in TABLES and not folders:
        return path.name
    if folders == ["images"] and path.suffix.lower() in SUFFIXES:
        return f"images/{path.name}"
    if folders and set(folders) == {"Annotations"} and path.suffix.lower() == ".json":
        return f"Annotations/{path.name}"
    return None


def _extract(content: zipfile.ZipFile, chosen: dict[str, zipfile.ZipInfo], folder: Path) -> None:
    for target, entry in tqdm(chosen.items(), "unpack", unit="file", disable=None):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        with content.open(entry) as source, path.open("wb") as file:
            shutil.copyfileobj(source, file)
