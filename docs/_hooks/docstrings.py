"""What the docstring and the type hints of a dataclass say about its fields, as Markdown."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any value"}
PLURALS = {int: "integers", float: "numbers"}


def description(kind: type) -> str:
    """Return the docstring of a class up to its attributes."""
    return inspect.cleandoc(kind.__doc__ or "").split("\nAttributes:")[0].strip()


def attributes(kind: type) -> dict[str, str]:
    """Return the descriptions of the attributes of a class and of its bases."""
    inherited = [attributes(base) for base in kind.__bases__ if is_dataclass(base)]
    found = {name: text for base in inherited for name, text in base.items()}
    listed = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")[2]
    for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE):
        found[name] = re.sub(r"\bNone\b", "`null`", " ".join(text.split()))
    return found


def type_name(hint: Any) -> str:
    """Describe a type hint in words; a dataclass is a link to its section."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        covered = {NoneType, int} if float in inner else {NoneType}
        named = [type_name(one) for one in inner if one not in covered]
        return " or ".join([*named, *(["null"] if NoneType in inner else [])])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (list, tuple):
        return f"list of {PLURALS.get(inner[0]) or type_name(inner[0])}"
    if origin is dict:
        return f"{type_name(inner[1])} by name"
    if is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return NAMES[hint]


def parts_of(kind: type) -> list[type]:
    """Return the dataclasses that the fields of a dataclass hold, itself first."""
    found = [kind]
    for hint in get_type_hints(kind).values():
        for part in _dataclasses_in(hint):
            found += [one for one in parts_of(part) if one not in found]
    return found


def _dataclasses_in(hint: Any) -> Iterable[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for inner in get_args(hint):
        yield from _dataclasses_in(inner)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def table_of_fields(kind: type) -> str:
    """Return a table of the fields of a dataclass that describes a file."""
    hints, texts = get_type_hints(kind), attributes(kind)
    rows = [
        (f"`{item.name}`", type_name(hints[item.name]), texts[item.name]) for item in fields(kind)
    ]
    return table(("Key", "Type", "Meaning"), rows)
