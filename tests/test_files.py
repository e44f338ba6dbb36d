import errno
import os
import subprocess
import sys
from collections import namedtuple

import pytest

from btxrd.errors import InputError
from btxrd.runtime import files
from btxrd.runtime.files import atomic_write, lock, remove_leftovers, write_text

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path):
    with (
        pytest.raises(InputError, match=r"weights: cannot be written, the file system is full"),
        atomic_write(tmp_path / "weights"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_seen_whatever_the_writer_says(tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(1000, 990, 10))
    with pytest.raises(InputError, match="full"), atomic_write(tmp_path / "weights"):
        raise RuntimeError("unexpected pos 64 vs 0")


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    for name in ("a.csv", "a.csv.7.tmp", "in/b.json.7.tmp"):
        write_text(tmp_path / name, "")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["a.csv"]


def test_a_lock_is_held_by_one_and_for_as_long_as_a_process_has_its_descriptor(tmp_path):
    path = tmp_path / "lock"
    with lock(path) as handle:
        assert handle is not None
        with lock(path, timeout=0.2) as second:
            assert second is None
        heir = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[handle]
        )
    with lock(path) as handle:
        assert handle is None
    heir.kill()
    heir.communicate()
    with lock(path) as handle:
        assert handle is not None
