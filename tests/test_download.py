"""Download a small archive in the layout of the release from a local server with faults."""

import hashlib
import io
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from btxrd.artifacts.archive import MARKER
from btxrd.data.archive import unpack
from btxrd.data.cases import load_cases
from btxrd.download import download
from btxrd.errors import InputError


def md5_of(content):
    return hashlib.md5(content).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`.

    Attributes:
        cuts: after how many bytes the next answers break off.
        ranges: whether ranges are known.
        status: what is answered in place of the content.
        pace: seconds to wait after each 64 KiB.
        asked: the first byte that each request asked for.
        headers: of each request.
        sent: bytes in all.
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.md5 = content, md5_of(content)
        self.cuts, self.ranges, self.status, self.pace = [], True, None, 0
        self.asked, self.headers, self.sent = [], [], 0
        self.url = f"http://127.0.0.1:{self.server_port}/release.zip"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        server.asked.append(start)
        server.headers.append(self.headers)
        if server.status is not None:
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = len(server.content)
        if start >= whole:
            self.send_error(416)
            return
        start = start if server.ranges else 0
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(whole - start))
        self.end_headers()
        end = min(whole, start + server.cuts.pop(0)) if server.cuts else whole
        for place in range(start, end, 1 << 16):
            block = server.content[place : min(end, place + (1 << 16))]
            self.wfile.write(block)
            server.sent += len(block)
            time.sleep(server.pace)


@pytest.fixture(scope="module")
def release(phantom, tmp_path_factory):
    """Return an archive that is packed like the release."""
    path = tmp_path_factory.mktemp("release") / "release.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(phantom.rglob("*")):
            if file.is_file() and file.name != "phantom.json":
                archive.write(file, Path("BTXRD") / file.relative_to(phantom))
        archive.writestr("BTXRD/Annotations/Annotations/~$IMG000001.json", "lock")
        archive.writestr("__MACOSX/BTXRD/images/._IMG000001.jpeg", "fork")
        archive.writestr("BTXRD/images/.DS_Store", "store")
    return path.read_bytes()


@pytest.fixture
def server(release):
    served = Server(release)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


def fails(root, url, md5):
    """Return the message of a download that fails, which must be one line."""
    with pytest.raises(InputError) as got:
        download(root, url, md5)
    assert "\n" not in str(got.value)
    return str(got.value)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_archive_is_unpacked_to_a_clean_data_set(server, tmp_path, phantom):
    root = tmp_path / "new" / "BTXRD"
    download(root, server.url, server.md5)
    ours, theirs = load_cases(root), load_cases(phantom)
    pd.testing.assert_frame_equal(ours.drop(columns="path"), theirs.drop(columns="path"))
    assert sorted(path.name for path in root.iterdir()) == [
        "Annotations", MARKER, "dataset.xlsx", "images",
    ]  # fmt: skip
    outlines = {path.name for path in (root / "Annotations").iterdir()}
    assert outlines == {path.name for path in (phantom / "Annotations").rglob("*.json")}
    assert len(list((root / "images").iterdir())) == len(theirs)
    assert left(root.parent) == ["BTXRD"]


def test_a_download_that_breaks_twice_is_resumed_twice(server, tmp_path, release):
    third = len(release) // 3
    server.cuts = [third, third]
    root = tmp_path / "d"
    for times in (1, 2):
        line = fails(root, server.url, server.md5)
        assert f"the connection broke; {times * third:,} of {len(release):,} bytes" in line
        assert not root.exists()
    download(root, server.url, server.md5)
    assert server.asked == [0, third, 2 * third]
    ranges = [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert [headers["Range"] for headers in server.headers] == ranges
    assert {headers["Accept-Encoding"] for headers in server.headers} == {"identity"}
    assert server.sent == len(release)
    assert left(tmp_path) == ["d"]


def test_a_complete_folder_is_not_downloaded_again(server, tmp_path, capsys):
    download(tmp_path / "d", server.url, server.md5)
    download(tmp_path / "d", server.url, server.md5.upper())
    assert len(server.asked) == 1
    assert capsys.readouterr().out.endswith("d: is already complete\n")


def test_leftovers_beside_a_complete_folder_are_removed(server, tmp_path, release):
    download(tmp_path / "d", server.url, server.md5)
    (tmp_path / "d.zip").write_bytes(release)
    download(tmp_path / "d", server.url, server.md5)
    assert left(tmp_path) == ["d"]
    (tmp_path / "d.zip").write_bytes(b"the user's own")
    download(tmp_path / "d", server.url, server.md5)
    assert left(tmp_path) == ["d", "d.zip"]


def test_a_server_without_ranges_sends_the_whole_file(server, tmp_path, release):
    server.cuts, server.ranges = [len(release) // 3], False
    fails(tmp_path / "d", server.url, server.md5)
    download(tmp_path / "d", server.url, server.md5)
    assert server.sent == len(release) // 3 + len(release)


def test_a_complete_part_file_is_unpacked(server, tmp_path, release):
    (tmp_path / "d.zip.part").write_bytes(release)
    download(tmp_path / "d", server.url, server.md5)
    assert server.sent == 0


def test_an_archive_from_the_user_is_used(server, tmp_path, release):
    (tmp_path / "d.zip").write_bytes(release)
    (tmp_path / "d.zip.part").write_bytes(release[:100])
    download(tmp_path / "d", server.url, server.md5)
    assert server.asked == []
    assert left(tmp_path) == ["d"]


def test_another_archive_from_the_user_is_reported_and_kept(server, tmp_path):
    (tmp_path / "d.zip").write_bytes(b"mine")
    assert f"d.zip: has md5 {md5_of(b'mine')}" in fails(tmp_path / "d", server.url, server.md5)
    assert left(tmp_path) == ["d.zip"]


def test_a_download_with_a_wrong_checksum_is_deleted(server, tmp_path):
    line = fails(tmp_path / "d", server.url, "0" * 32)
    assert f"the file has md5 {server.md5}, but data.archive.md5 is {'0' * 32}" in line
    assert left(tmp_path) == []
    download(tmp_path / "d", server.url, server.md5)


def test_a_part_of_another_file_is_deleted(server, tmp_path):
    (tmp_path / "d.zip.part").write_bytes(b"of another file")
    assert "the file has md5" in fails(tmp_path / "d", server.url, server.md5)
    download(tmp_path / "d", server.url, server.md5)


@pytest.mark.parametrize("status", [202, 403, 404, 500])
def test_an_error_of_the_server_is_reported_with_a_remedy(server, tmp_path, status):
    server.status = status
    line = fails(tmp_path / "d", server.url, server.md5)
    assert f"{server.url}: the server answers {status}" in line
    assert f"download it with a browser to {tmp_path / 'd.zip'}" in line
    assert left(tmp_path) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.zip", "nonsense", "ftp://127.0.0.1/x"])
def test_an_unreachable_address_is_reported(tmp_path, url):
    assert fails(tmp_path / "d", url, "0" * 32).startswith(f"{url}: cannot be downloaded")


def test_an_unreachable_server_keeps_the_part_file(tmp_path):
    (tmp_path / "d.zip.part").write_bytes(b"part")
    assert "cannot be downloaded" in fails(tmp_path / "d", "http://127.0.0.1:9/", "0" * 32)
    assert (tmp_path / "d.zip.part").read_bytes() == b"part"


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"md5": null}'])
def test_a_folder_with_an_invalid_marker_is_not_changed(server, tmp_path, text):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / MARKER).write_text(text)
    assert "contains files that this command" in fails(tmp_path / "d", server.url, server.md5)
    assert (tmp_path / "d" / MARKER).read_text() == text


def test_link_to_an_empty_folder_is_followed(server, tmp_path):
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "d").symlink_to(tmp_path / "disk" / "images")
    download(tmp_path / "d", server.url, server.md5)
    assert len(load_cases(tmp_path / "disk" / "images"))
    assert (tmp_path / "d").is_symlink()


def test_the_root_of_the_disk_is_refused():
    assert "must be a folder inside another one" in fails(
        Path("/"), "http://127.0.0.1:9/", "0" * 32
    )


def test_a_folder_with_other_files_is_not_changed(server, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("mine")
    line = fails(tmp_path / "d", server.url, server.md5)
    assert "contains files that this command did not write; set another folder" in line
    assert (tmp_path / "d" / "mine.txt").read_text() == "mine"
    assert server.asked == []


def test_a_folder_with_another_archive_is_not_changed(server, tmp_path):
    download(tmp_path / "d", server.url, server.md5)
    assert "contains an archive with another md5" in fails(tmp_path / "d", server.url, "1" * 32)


def test_empty_folder_is_filled(server, tmp_path):
    (tmp_path / "d").mkdir()
    download(tmp_path / "d", server.url, server.md5)
    assert len(load_cases(tmp_path / "d"))


def test_a_full_disk_is_reported_before_download_and_before_unpacking(
    server, tmp_path, release, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(release) - 1))
    line = fails(tmp_path / "d", server.url, server.md5)
    assert f"needs {len(release):,} bytes, but the disk has only {len(release) - 1:,} left" in line
    assert server.sent == 0 or left(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(release)))
    line = fails(tmp_path / "d", server.url, server.md5)
    assert line.startswith(str(tmp_path / "d: needs"))
    assert left(tmp_path) == ["d.zip"]
    monkeypatch.undo()
    before = len(server.asked)
    download(tmp_path / "d", server.url, server.md5)
    assert len(server.asked) == before


LIMITED = """
import resource, sys
from btxrd import download
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.exit(download.main())
"""


def test_a_disk_that_fills_up_keeps_the_part_file(server, tmp_path, release):
    limit = len(release) // 2
    command = [sys.executable, "-c", LIMITED, str(limit), *overrides(server, tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.match(r".*d: cannot be written \(it would be larger .*; make room, or", done.stderr)
    assert (tmp_path / "d.zip.part").stat().st_size == limit
    download(tmp_path / "d", server.url, server.md5)
    assert server.asked == [0, limit]


def test_a_folder_that_cannot_be_written_is_reported(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    line = fails(tmp_path / "file" / "d", server.url, server.md5)
    assert line == (
        f"data.root={tmp_path / 'file' / 'd'}: {tmp_path / 'file'} is not a folder; "
        "name another one"
    )


def entry(name, mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


HOSTILE = {
    "leaves the folder": ([entry("../../evil.jpeg")], "would be written outside the folder"),
    "leaves it from inside": (
        [entry("BTXRD/images/../../../evil")],
        "would be written outside the folder",
    ),
    "absolute": ([entry("/tmp/evil.jpeg")], "would be written outside the folder"),
    "backslash": ([entry("BTXRD\\images\\..\\..\\evil.jpeg")], "is not valid on every system"),
    "drive": ([entry("C:evil.jpeg")], "is not valid on every system"),
    "control": ([entry("BTXRD/images/a\x07.jpeg")], "is not valid on every system"),
    "link": ([entry("BTXRD/images/link.jpeg", stat.S_IFLNK | 0o777)], "is a link or a device"),
    "device": ([entry("BTXRD/images/a.jpeg", stat.S_IFIFO | 0o777)], "is a link or a device"),
    "one file twice": (
        [entry("BTXRD/images/a.jpeg"), entry("BTXRD/images/A.JPEG")],
        "would be the same file",
    ),
    "two outlines": (
        [entry("BTXRD/Annotations/IMG099999.json"), entry("BTXRD/Annotations/x/IMG099999.json")],
        "would be the same file",
    ),
}


def with_entries(release, path, entries):
    path.write_bytes(release)
    with zipfile.ZipFile(path, "a") as archive:
        for number, info in enumerate(entries):
            archive.writestr(info, f"content {number}")
    return path


def encrypted(release):
    content = bytearray(release)
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def dense(release):
    buffer = io.BytesIO(release)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BTXRD/images/IMG099999.jpeg", bytes(5_000_000))
    return buffer.getvalue()


def with_nul(release):
    buffer = io.BytesIO(release)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("BTXRD/images/a-nul-b.jpeg", "image")
    return buffer.getvalue().replace(b"a-nul-b", b"a-\0\0\0-b")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (encrypted, "is encrypted"),
        (dense, "would grow from"),
        (with_nul, "is not valid on every system"),
    ],
)
def test_hostile_entry_is_refused(release, tmp_path, make, message):
    content = make(release)  # once: a zip contains the time of its creation
    (tmp_path / "d.zip").write_bytes(content)
    line = fails(tmp_path / "d", "http://127.0.0.1:9/", md5_of(content))
    assert message in line
    assert left(tmp_path) == ["d.zip"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive_writes_nothing(release, tmp_path, kind):
    entries, message = HOSTILE[kind]
    box = tmp_path / "a" / "b" / "c"
    box.mkdir(parents=True)
    archive = with_entries(release, box / "d.zip", entries)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as got:
        unpack(archive, box / "d", "0")
    assert "\n" not in str(got.value)
    assert str(archive) in str(got.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/evil.jpeg").exists()


def damaged(release):
    content = bytearray(release)
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    return bytes(content)


def without(release, path, unwanted):
    """Return an archive without the files whose names begin with `unwanted`."""
    source = path.with_name("source.zip")
    source.write_bytes(release)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            if not info.filename.startswith(unwanted):
                new.writestr(info, old.read(info))
    content = path.read_bytes()
    source.unlink()
    path.unlink()
    return content


def damaged_as(release, method):
    """Packed again by another method, and one image of it damaged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(release)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        image = next(info for info in new.infolist() if "/images/IMG" in info.filename)
    content = bytearray(buffer.getvalue())
    start = image.header_offset + 30 + len(image.filename) + 9
    content[start : start + image.compress_size // 2] = b"\xa5" * (image.compress_size // 2)
    return bytes(content)


BROKEN = {
    "bzip2": (lambda r, p: damaged_as(r, zipfile.ZIP_BZIP2), "cannot be unpacked"),
    "lzma": (lambda r, p: damaged_as(r, zipfile.ZIP_LZMA), "cannot be unpacked"),
    "lacks bytes": (lambda r, p: r[:1000] + r[1040:], "cannot be unpacked"),
    "no zip": (lambda release, path: b"no zip", "cannot be unpacked"),
    "truncated": (lambda release, path: release[: len(release) // 2], "cannot be unpacked"),
    "damaged": (lambda release, path: damaged(release), "cannot be unpacked"),
    "no images": (lambda r, p: without(r, p, "BTXRD/images"), "must contain images/, and dataset"),
    "no table": (lambda r, p: without(r, p, "BTXRD/dataset"), "must contain images/, and dataset"),
    "an image missing": (
        lambda r, p: without(r, p, "BTXRD/images/IMG000003"),
        "d/images: no image of IMG000003",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_archive_leaves_no_folder(release, tmp_path, kind):
    make, message = BROKEN[kind]
    content = make(release, tmp_path / "made.zip")
    (tmp_path / "d.zip").write_bytes(content)
    line = fails(tmp_path / "d", "http://127.0.0.1:9/", md5_of(content))
    assert message in line
    assert str(tmp_path / "d.zip") in line
    assert left(tmp_path) == ["d.zip"]


def test_archive_that_would_fill_the_disk_is_refused(release, tmp_path, monkeypatch):
    monkeypatch.setattr("btxrd.data.archive.LARGEST", 1000)
    (tmp_path / "d.zip").write_bytes(release)
    line = fails(tmp_path / "d", "http://127.0.0.1:9/", md5_of(release))
    assert "would unpack to more than 1,000 bytes" in line


def overrides(server, folder):
    address = [f"data.archive.url={server.url}", f"data.archive.md5={server.md5}"]
    return [f"data.root={folder / 'd'}", *address]


def command(*arguments):
    return [sys.executable, "-m", "btxrd.download", *arguments]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_resumed(server, tmp_path, release, how):
    server.pace = 0.3
    started = subprocess.Popen(
        command(*overrides(server, tmp_path)),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A background process of a shell ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = tmp_path / "d.zip.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    started.send_signal(how)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == (-how if how == signal.SIGKILL else 128 + how)
    assert b"Traceback" not in errors
    have = part.stat().st_size
    assert 0 < have < len(release)
    server.pace = 0
    done = subprocess.run(
        command(*overrides(server, tmp_path)), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert server.asked == [0, have]
    assert done.stdout.splitlines()[-1].endswith(f"data.root={tmp_path / 'd'}")
    assert json.loads((tmp_path / "d" / MARKER).read_text())["md5"] == server.md5


def wait_until(reached, seconds=30):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_folder_of_a_killed_unpacking_is_not_complete(server, tmp_path):
    (tmp_path / ".d-unpacking" / "images").mkdir(parents=True)
    (tmp_path / ".d-unpacking" / "images" / "half.jpeg").write_bytes(b"half")
    download(tmp_path / "d", server.url, server.md5)
    assert left(tmp_path) == ["d"]
    assert not (tmp_path / "d" / "images" / "half.jpeg").exists()


def test_two_parallel_calls_download_once(server, tmp_path):
    server.pace = 0.05
    calls = [subprocess.Popen(command(*overrides(server, tmp_path)), cwd=tmp_path) for _ in "12"]
    assert [call.wait(60) for call in calls] == [0, 0]
    assert server.asked == [0]


def test_command_reports_a_missing_setting(tmp_path):
    done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "data.root: has no value; give it as data.root=VALUE\n"
    done = subprocess.run(command("data=phantom"), cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.startswith("data.archive: has no url and md5")


def test_a_folder_with_missing_files_is_not_complete(server, tmp_path):
    download(tmp_path / "d", server.url, server.md5)
    next((tmp_path / "d" / "images").iterdir()).unlink()
    assert "files are missing; delete it" in fails(tmp_path / "d", server.url, server.md5)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("data.archive.md5=xyz", "data.archive.md5=xyz: must be 32 hexadecimal digits"),
        ("data.archive.url=ftp://x", "data.archive.url=ftp://x: must begin with http:// or"),
        ("-m", "unrecognized arguments: -m; see btxrd download --help"),
    ],
)
def test_a_wrong_setting_is_reported_before_the_download(tmp_path, given, line):
    done = subprocess.run(
        command("data.root=d", given), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
