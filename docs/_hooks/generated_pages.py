"""Pages of the site that are generated when it is built, so that they cannot be out of date."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in docs/."""
    for name, text in {"changelog.md": (TOP / "CHANGELOG.md").read_text()}.items():
        files.append(File.generated(config, name, content=text))
    return files
