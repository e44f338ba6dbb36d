"""Hook of MkDocs: insert what is generated from the code into the pages."""

from typing import Any

from generated import expand


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with the generated parts in it."""
    return expand(markdown)
