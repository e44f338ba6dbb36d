"""archive.json: the archive that a data set was unpacked from."""

from dataclasses import dataclass

from btxrd.artifacts import codec

MARKER = "archive.json"


@dataclass(frozen=True)
class ArchiveMarker(codec.Artifact):
    """Content of archive.json.

    Attributes:
        md5: MD5 of the archive, as hexadecimal digits.
        files: Number of files that were unpacked.
        cases: Number of cases in the table of the data set.
    """

    md5: str
    files: int
    cases: int
