import errno
import math
import os
import subprocess
import sys
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

from btxrd.errors import InputError
from btxrd.runtime import files
from btxrd.runtime.files import (
    atomic_write,
    lock,
    read_or_build,
    remove_abandoned,
    remove_leftovers,
    remove_leftovers_of_cache,
    write_text,
)

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
    ours = ["a.7.btxrd.tmp", "in/b.json.7.btxrd.tmp", "split.csv.7.tmp", "figures/roc.png.7.tmp"]
    others = ["a.csv", "notes.tmp", "a.csv.7.tmp", "in/d.tmp", "split.csv.tmp", "7.btxrd.tmp"]
    for name in ours + others:
        write_text(tmp_path / name, "")
    remove_leftovers(tmp_path)
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(map(str, left)) == sorted(others)


def test_a_cache_loses_what_was_left_of_its_files_unless_one_is_being_written(tmp_path):
    for name in ("a[1].lock", "a[1].7.btxrd.tmp", "b.lock", "b.7.tmp", "c.7.tmp"):
        (tmp_path / name).touch()
    with lock(tmp_path / "b.lock"):
        remove_leftovers_of_cache(tmp_path)
    assert {path.name for path in tmp_path.glob("*.tmp")} == {"b.7.tmp", "c.7.tmp"}
    remove_leftovers_of_cache(tmp_path)
    assert {path.name for path in tmp_path.glob("*.tmp")} == {"c.7.tmp"}


def test_what_is_written_without_a_lock_is_removed_once_its_process_is_gone(tmp_path):
    for pid in (os.getpid(), 2**22 + 1):  # the second is above every number of a process
        (tmp_path / f"plan.json.{pid}.btxrd.tmp").touch()
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"plan.json.{os.getpid()}.btxrd.tmp"]


def test_a_number_that_no_process_can_have_ends_no_sweep(tmp_path):
    (tmp_path / f"plan.json.{10**30}.btxrd.tmp").touch()
    remove_abandoned(tmp_path)


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


def test_a_lock_is_waited_for_until_its_holder_lets_go(tmp_path):
    path = tmp_path / "lock"
    with ExitStack() as held:
        held.enter_context(lock(path))
        release = Timer(0.3, held.close)
        release.start()
        with lock(path, timeout=30) as handle:
            assert handle is not None
        release.join()


def test_a_wait_for_a_lock_is_given_up_on_request(tmp_path):
    asked = iter([False, True])
    with (
        lock(tmp_path / "lock"),
        lock(tmp_path / "lock", timeout=math.inf, give_up=lambda: next(asked)) as second,
    ):
        assert second is None


def test_a_free_lock_is_had_while_other_threads_start_programs(tmp_path):
    # A program that is being started has the descriptors of this process for a moment.
    deadline = time.monotonic() + 1
    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(_start_programs_until, deadline) for _ in range(2)]
        while time.monotonic() < deadline:
            with lock(tmp_path / "lock", timeout=60) as handle:
                assert handle is not None
        assert all(start.result() for start in starting)


def _start_programs_until(deadline):
    while time.monotonic() < deadline:
        subprocess.run(["true"], check=True)
    return True


def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """Detects: a write without a flush, after which a crash leaves an empty file."""
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda _: synced.append((tmp_path / "a").exists()))
    write_text(tmp_path / "a", "text")
    assert synced == [False]


def test_an_interrupt_leaves_no_temporary_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EDQUOT, "the quota of this user or folder is used up"),
        (errno.EFBIG, "larger than the limit on the size of files"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_what_cannot_be_written_is_one_line_with_the_reason(tmp_path, number, reason):
    with (
        pytest.raises(InputError, match=f"a: cannot be written, .*{reason}"),
        atomic_write(tmp_path / "a") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_process_has_open_on_windows_is_replaced_once_it_is_closed(
    tmp_path, monkeypatch
):
    refusals = iter([PermissionError("in use"), PermissionError("in use")])
    rename = Path.replace

    def refuse_twice(self, target):
        for error in refusals:
            raise error
        return rename(self, target)

    monkeypatch.setattr(files, "IN_USE_SECONDS", 30)
    monkeypatch.setattr(Path, "replace", refuse_twice)
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="a: cannot be written, Is a directory"):
        write_text(tmp_path / "a", "text")


def test_an_error_about_another_file_is_not_one_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        (tmp_path / "b").read_text()


def test_a_cache_is_built_once_and_then_read(tmp_path):
    built = []

    def build(path):
        built.append(path)
        path.write_text("content")

    target = tmp_path / "cache" / "films"
    found = [read_or_build(target, Path.read_text, build) for _ in range(2)]
    assert (found, len(built)) == (["content"] * 2, 1)


def test_a_damaged_cache_is_built_again_and_said(tmp_path, caplog):
    (tmp_path / "films").write_text("x")
    found = read_or_build(
        tmp_path / "films", lambda path: int(path.read_text()), lambda path: path.write_text("7")
    )
    assert found == 7
    assert f"{tmp_path / 'films'} is damaged" in caplog.text


def test_processes_that_need_a_cache_build_it_in_turn(tmp_path):
    """Detects: a cache without a lock, or with one that is not waited for."""
    built = []

    def build(path):
        built.append(path)
        time.sleep(0.3)
        path.write_text("content")

    def read(_):
        assert read_or_build(tmp_path / "films", Path.read_text, build) == "content"

    with ThreadPoolExecutor(2) as both:
        list(both.map(read, range(2)))
    assert len(built) == 1


def test_building_a_cache_removes_what_was_left_of_this_file_alone(tmp_path):
    for name in ("films.7.tmp", "masks.7.tmp"):
        (tmp_path / name).touch()
    read_or_build(tmp_path / "films", Path.read_text, lambda path: path.write_text(""))
    assert sorted(path.name for path in tmp_path.glob("*.tmp")) == ["masks.7.tmp"]


def test_a_cache_that_cannot_be_written_is_one_line_that_names_the_key(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data.cache=.*file: cannot be written"):
        read_or_build(tmp_path / "file" / "films", Path.read_text, Path.touch)


def test_text_that_utf_8_does_not_have_is_written_escaped(tmp_path):
    write_text(tmp_path / "a", "caf\u00e9 \udcff")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "caf\u00e9 \\udcff"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_line(number, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("filelock.lock_descriptor", refuse)
    with (
        pytest.raises(InputError, match=r"lock: the file system of this folder has no locks"),
        lock(tmp_path / "lock"),
    ):
        pass
