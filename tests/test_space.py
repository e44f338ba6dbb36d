"""Disk space that runs need, and what is reported if there is too little of it."""

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from btxrd.config.schema import Config, DataConfig, ModelConfig, PhantomConfig
from btxrd.errors import InputError
from btxrd.execution.ahead import space
from btxrd.execution.ahead.space import Counts, needs, phantom_needs
from btxrd.runtime.folders import Need, check_space, format_bytes

MB = 10**6
COUNTS = Counts(train=60, val=20, test=20, outlines=50)


def config(cache, epochs=4, ema=0.0):
    made = Config(model=ModelConfig(backbone="resnet18", image_size=100))
    made.data.root, made.data.cache = "data", str(cache)
    made.training.epochs, made.training.ema = epochs, ema
    return made


def needed(tmp_path, runs=2, **settings):
    """Return the needs of the cache and of runs whose weights have 10 MB."""
    folders = {tmp_path / f"run{n}": config(tmp_path / "cache", **settings) for n in range(runs)}
    return needs(folders, dict.fromkeys(folders, COUNTS), dict.fromkeys(folders, 10 * MB))


@pytest.fixture
def disk(monkeypatch):
    """Let the file system have this many free bytes."""

    def set_free(free):
        usage = namedtuple("usage", "total used free")(10**12, 0, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    return set_free


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(space, "cores", lambda: 2)


def test_cache_needs_one_byte_per_pixel_of_images_and_outlines(tmp_path):
    cache, _ = needed(tmp_path)
    assert (cache.folder, cache.least, cache.largest) == (tmp_path / "cache", 1_500_000, MB)


def test_array_that_is_in_the_cache_needs_nothing(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "pixels-100-0a.npy").write_bytes(bytes(MB + 144))
    cache, _ = needed(tmp_path)
    assert cache.least == 500_000


@pytest.mark.parametrize(("settings", "states"), [({}, 6), ({"epochs": 1}, 3), ({"ema": 0.9}, 8)])
def test_runs_need_their_weights_and_the_resume_states_of_those_in_progress(
    settings, states, tmp_path
):
    *_, runs = needed(tmp_path, runs=3, **settings)
    assert runs.least == (3 + states) * 10 * MB + 3 * space.LEAST_BYTES
    assert runs.expected == (3 + 2 * states) * 10 * MB + 3 * space.EXPECTED_BYTES
    assert runs.folder == tmp_path


def test_what_an_interrupted_run_has_written_is_not_needed_again(tmp_path):
    before = needed(tmp_path)[-1]
    checkpoints = tmp_path / "run0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.safetensors").write_bytes(bytes(10 * MB))
    (checkpoints / "last.pt").write_bytes(bytes(30 * MB))
    assert before.least - needed(tmp_path)[-1].least == 40 * MB


def test_synthetic_data_need_space_until_they_exist(tmp_path):
    data = DataConfig(root=str(tmp_path / "data"), phantom=PhantomConfig(cases=1000))
    (need,) = phantom_needs(data)
    assert (need.folder, need.least) == (tmp_path / "data", 10 * MB)
    (tmp_path / "data").mkdir()
    assert phantom_needs(data) == []
    assert phantom_needs(replace(data, phantom=None)) == []


def test_disk_that_is_too_small_is_an_error_and_a_scarce_one_a_warning(disk, tmp_path):
    need = Need(tmp_path / "new", 100 * MB, 200 * MB)
    disk(99 * MB)
    with pytest.raises(
        InputError, match=r"/new: at least 100 MB are needed, 99 MB free on this file"
    ):
        check_space([need])
    disk(220 * MB)
    (line,) = check_space([need])
    assert (
        f"{tmp_path}/new: 240 MB may be needed, 220 MB free on this file system; free some" in line
    )
    disk(241 * MB)
    assert check_space([need]) == []


def test_folders_on_one_file_system_are_added_up(disk, tmp_path):
    disk(150 * MB)
    needs = [Need(tmp_path / name, 100 * MB, 100 * MB) for name in "ab"]
    with pytest.raises(InputError, match=r"/a and .*/b: at least 200 MB are needed, 150 MB free"):
        check_space(needs)


def test_too_few_files_are_reported(monkeypatch, tmp_path):
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: real)
    with pytest.raises(InputError, match=r"at least 1\d+ files are needed, \d+ more are possible"):
        check_space([Need(tmp_path, 0, 0, files=10**15)] if real.f_files else [])


def test_limit_on_the_size_of_files_is_reported(monkeypatch, tmp_path):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50 * MB, -1))
    with pytest.raises(
        InputError, match=r"a file of 100 MB is needed, .* 50 MB; raise it with ulimit"
    ):
        check_space([Need(Path(tmp_path), 0, 0, largest=100 * MB)])


@pytest.mark.parametrize(
    ("size", "text"), [(400_000, "0.4 MB"), (25 * MB, "25 MB"), (1234 * MB, "1.2 GB")]
)
def test_sizes_are_readable(size, text):
    assert format_bytes(size) == text
