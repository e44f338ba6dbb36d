"""A zip archive of a data set -> a folder, safely: whole or not at all, and nowhere else."""

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

LARGEST = 20_000_000_000  # bytes, unpacked; BTXRD has 0.8 thousand million
DENSEST = 200  # times that a file may grow; images hardly grow at all
SMALL = 1000  # bytes packed, below which it may grow more
DAMAGE = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)


def unpack(archive: Path, root: Path, md5: str) -> int:
    """Unpack the images, the outlines and the table of an archive into `root`.

    All entries are looked at before anything is written. Of BTXRD's quirks, the folder that holds
    all, the second `Annotations` in the first, and lock files are left behind.

    Args:
        archive: a zip file.
        root: folder to make; it may be there and empty.
        md5: of the archive.

    Returns:
        The number of cases.

    Raises:
        InputError: for an archive that is damaged, unsafe or holds no usable data set.
        OSError: where it cannot be written; nothing is left.
    """
    root = root.absolute()
    temporary = root.with_name(f".{root.name}-unpacking")
    try:
        with zipfile.ZipFile(archive) as content:
            chosen = _choose(content, archive)
            need_room(root, sum(entry.file_size for entry in chosen.values()))
            shutil.rmtree(temporary, ignore_errors=True)  # of a call that was killed
            _extract(content, chosen, temporary)
        cases = len(load_cases(temporary))
        codec.write(temporary / MARKER, ArchiveMarker(md5, files=len(chosen), cases=cases))
        temporary.rename(root)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's; damaged bzip2 has no number, a place out of the file is EINVAL
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    except InputError as error:
        raise InputError(str(error).replace(str(temporary), f"{archive}: {root.name}")) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return cases


def need_room(path: Path, size: int) -> None:
    """Raise InputError where the disk of `path` has no room for `size` bytes."""
    free = shutil.disk_usage(path.absolute().parent).free
    if size > free:
        raise InputError(f"{path}: needs {size:,} bytes, but the disk has {free:,} left")


def _choose(content: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Entries by the path that they get, after all have been found to be safe."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    spelt: dict[str, str] = {}  # some systems hold A.jpeg and a.jpeg to be one file
    for entry in content.infolist():
        error = _error(entry)
        if error:
            raise InputError(
                f"{archive}: the entry {entry.filename!r} {error}; nothing is unpacked"
            )
        target = _target(PurePosixPath(entry.filename))
        if target is None or entry.is_dir():
            continue
        target = spelt.setdefault(target.lower(), target)
        known = chosen.setdefault(target, entry)
        if (known.CRC, known.file_size) != (entry.CRC, entry.file_size):
            raise InputError(f"{archive}: {known.filename} and {entry.filename} would be one file")
    if sum(entry.file_size for entry in content.infolist()) > LARGEST:
        raise InputError(f"{archive}: would unpack to more than {LARGEST:,} bytes")
    if not any(path.startswith("images/") for path in chosen) or not chosen.keys() & set(TABLES):
        raise InputError(f"{archive}: holds no images/ with dataset.xlsx or dataset.csv")
    return chosen


def _error(entry: zipfile.ZipInfo) -> str | None:
    """Say why an entry is not safe, or None."""
    name = entry.orig_filename
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        return "would leave the folder"
    if any(ord(letter) < 32 or letter in "\\:" for letter in name):
        return "has a name that not every system has"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.file_size > DENSEST * max(entry.compress_size, SMALL):
        return f"would grow from {entry.compress_size:,} to {entry.file_size:,} bytes"
    return None


def _target(path: PurePosixPath) -> str | None:
    """Where a file of the archive belongs in the data set, or None where it does not."""
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


def _extract(content: zipfile.ZipFile, chosen: dict[str, zipfile.ZipInfo], whole: Path) -> None:
    for target, entry in tqdm(chosen.items(), "unpack", unit="file", disable=None):
        path = whole / target
        path.parent.mkdir(parents=True, exist_ok=True)
        with content.open(entry) as source, path.open("wb") as file:
            shutil.copyfileobj(source, file)
