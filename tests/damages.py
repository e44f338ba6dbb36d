"""Damage a file at random in the ways in which disks, editors, programs and people do."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, -1e308, 10**400, "", "x", "é" * 300, "\ud800", "../..", "/", [],
    {}, [None], {"x": None}, [[[[]]]], float("nan"), float("inf"),
]  # fmt: skip
CELLS = ["", "x", "nan", "inf", "-1", "1e999", "9" * 30, "0.5", "train", "é", '"', "a,b", "\x00"]
CONTENTS = [
    b"", b"{}", b"[]", b"null", b"x", b"\xff\xfe\x00", b"\x00" * 999, b"[" * 100_000,
    b'{"a":' * 5_000, b"- " * 5_000, b"1e999", b"\n\n\n", b"a,b\n1\n2,3,4\n", b"&a [*a]",
    b"a: b: c", b"!!python/object:os.system {}",
]  # fmt: skip
Damage = Callable[[random.Random, Path], None]


def flip_bit(chance: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def overwrite(chance: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content))
    noise = chance.randbytes(chance.randint(1, 64))
    content[start : start + len(noise)] = noise
    path.write_bytes(content)


def cut_off(chance: random.Random, path: Path) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def append(chance: random.Random, path: Path) -> None:
    path.write_bytes(
        path.read_bytes() + chance.choice([b"x", b"}", b",,,\n", b"\x00" * 9, b"\xe9"])
    )


def replace(chance: random.Random, path: Path) -> None:
    path.write_bytes(chance.choice([*CONTENTS, chance.randbytes(500)]))


def repeat_line(chance: random.Random, path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    path.write_bytes(b"".join(lines))


def drop_line(chance: random.Random, path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines.pop(chance.randrange(len(lines)))
    path.write_bytes(b"".join(lines))


def remove(_: random.Random, path: Path) -> None:
    path.unlink()


def folder(_: random.Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken_link(_: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to("nonesuch")


def link_to_itself(_: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def pipe(_: random.Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_zeros(_: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def cell(chance: random.Random, path: Path) -> None:
    lines = path.read_text().splitlines()
    at = chance.randrange(len(lines))
    cells = lines[at].split(",")
    cells[chance.randrange(len(cells))] = chance.choice(CELLS)
    lines[at] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


def column(chance: random.Random, path: Path) -> None:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    at, value = chance.randrange(len(rows[0])), chance.choice([None, *CELLS])
    for row in rows[1:]:
        if value is None:
            row.pop(at)
        else:
            row[at] = value
    if value is None:
        rows[0].pop(at)
    path.write_text("\n".join(map(",".join, rows)) + "\n")


def value(chance: random.Random, path: Path) -> None:
    """Change, remove or add a value at any depth of a JSON or YAML file."""
    content = yaml.safe_load(path.read_text())
    owner, key = chance.choice(list(places(content)))
    kind = chance.choice(["change", "change", "change", "remove", "add"])
    if kind == "change":
        owner[key] = chance.choice(VALUES)
    elif kind == "remove":
        del owner[key]
    elif isinstance(owner, dict):
        owner["unknown"] = chance.choice(VALUES)
    else:
        owner.append(chance.choice(VALUES))
    path.write_text(json.dumps(content))  # JSON is also valid YAML


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from places(content[key])


OF_ANY: list[Damage] = [
    flip_bit, flip_bit, overwrite, overwrite, cut_off, append, replace, replace, repeat_line,
    drop_line, remove, folder, broken_link, link_to_itself, pipe, link_to_zeros,
]  # fmt: skip
OF_SUFFIX: dict[str, list[Damage]] = {
    ".csv": [cell, column],
    ".json": [value],
    ".yaml": [value],
}


def damage(path: Path, seed: int) -> str:
    """Damage a file, and return the name of the damage."""
    chance = random.Random(f"{path.name} {seed}")
    own = OF_SUFFIX.get(path.suffix, [])
    chosen = chance.choice(own if own and chance.random() < 0.6 else OF_ANY)
    chosen(chance, path)
    return chosen.__name__


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Restore a file after the block, even if something else is in its place."""
    content = path.read_bytes()
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
