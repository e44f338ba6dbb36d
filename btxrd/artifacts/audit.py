"""audit.json: what is in a data set, and what leaks between the partitions of each split."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import msgspec

from btxrd.artifacts import codec

AUDIT = "audit.json"
Quantiles = dict[str, float]  # by name: smallest, quarter, median, mean, three quarters, largest
Counts = dict[int, dict[str, int]]  # number of cases by center and class
Shares = dict[str, dict[str, float]]  # by partition and class


@dataclass(frozen=True)
class ImageFacts:
    """Sizes in pixels, modes and formats of the images.

    Attributes:
        width: Quantiles of the width; None without images.
        height: Quantiles of the height; None without images.
        modes: Number of images by the mode that Pillow names.
        formats: Number of images by file format.
    """

    width: Quantiles | None
    height: Quantiles | None
    modes: dict[str, int]
    formats: dict[str, int]


@dataclass(frozen=True)
class OutlineFacts:
    """How many tumours are outlined, and how large their lesions are.

    Attributes:
        tumours: Number of tumours.
        outlined: Number of tumours with an outline.
        share_of_frame: Quantiles of the share of an image that its lesions cover; None without
            outlines.
    """

    tumours: int
    outlined: int
    share_of_frame: Quantiles | None


@dataclass(frozen=True)
class DuplicatePair:
    """Two near-duplicates.

    Attributes:
        one: Stem of the first image.
        other: Stem of the second image.
        bits: Number of bits in which their perceptual hashes differ.
        detail_correlation: Correlation of their detail, -1 to 1.
        identical: Whether the files are identical.
        contradict: Whether the labels differ.
        labels: Class names of both.
        centers: Centers of both.
        one_patient: Whether both are likely of one patient.
    """

    one: str
    other: str
    bits: int
    detail_correlation: float
    identical: bool
    contradict: bool
    labels: tuple[str, str]
    centers: tuple[int, int]
    one_patient: bool


@dataclass(frozen=True)
class GroupSizes:
    """Number and sizes of groups.

    Attributes:
        number: Number of groups.
        cases_in_two_or_more: Number of cases that are not alone in their group.
        by_size: Number of groups by their number of cases.
    """

    number: int
    cases_in_two_or_more: int
    by_size: dict[int, int]


@dataclass(frozen=True)
class Leakage:
    """Counts of what is in more than one partition.

    Attributes:
        groups: Groups that are split across partitions.
        patients: Likely patients that are split across partitions.
        duplicates: Pairs of near-duplicates that are split across partitions.
        test_cases: All test cases.
        test_with_patient: Test cases with an image of their likely patient in train.
        test_with_duplicate: Test cases with a near-duplicate in train.
        test_with_group: Test cases with a case of their group in train.
    """

    groups: int
    patients: int
    duplicates: int
    test_cases: int
    test_with_patient: int
    test_with_duplicate: int
    test_with_group: int


@dataclass(frozen=True)
class Assignment:
    """An assignment of cases to partitions, and what leaks.

    Attributes:
        cases: Number of cases by partition.
        class_shares: Share of each class by partition.
        leakage: What is in more than one partition.
    """

    cases: dict[str, int]
    class_shares: Shares
    leakage: Leakage


@dataclass(frozen=True)
class SplitAudit:
    """One split.

    Attributes:
        split: Title of the split.
        refused: Why a run would refuse it; None if it would not.
        whole: With whole groups; None if the split is impossible.
        none: With `split.groups=none`; None if the split is impossible.
        points_from_ungrouped: Largest difference of a share to that without groups, in percentage
            points, of a class and of a class in a center.
        points_from_whole: Largest difference of the share of a class to that among all cases.
    """

    split: str
    refused: str | None = None
    whole: Assignment | None = None
    none: Assignment | None = None
    points_from_ungrouped: dict[str, float] = field(default_factory=dict)
    points_from_whole: float | None = None


@dataclass(frozen=True)
class AuditReport(codec.Artifact):
    """Content of audit.json.

    Attributes:
        root: Folder of the data set.
        table: Path to its table.
        cases: Number of usable cases.
        patients_can_be_told: Whether likely patients can be told from each other.
        counts: Cases of the data set.
        published: Cases of BTXRD as published.
        images: Facts on the images.
        outlines: Facts on the outlines.
        errors: What a run would stop at: messages by the name of the row, image or outline, by
            kind.
        warnings: Names of what is corrected or left out, by kind.
        duplicates: Pairs of near-duplicates.
        groups: Sizes of `patients` and of `groups`.
        splits: Every split that the settings allow.
    """

    FORMAT: ClassVar[int] = 2

    root: str
    table: str
    cases: int
    patients_can_be_told: bool
    counts: Counts
    published: Counts
    images: ImageFacts
    outlines: OutlineFacts
    errors: dict[str, dict[str, str]]
    warnings: dict[str, list[str]]
    duplicates: list[DuplicatePair]
    groups: dict[str, GroupSizes]
    splits: list[SplitAudit]

    @classmethod
    def from_content(cls, content: codec.Content) -> Self:
        """Convert the content of a file of the present format, in which every key is a string."""
        return msgspec.convert(content, cls, str_keys=True)

    @classmethod
    def upgrade(cls, content: codec.Content, older: int) -> codec.Content:
        """Bring the content of an older file to the present format."""
        if older < 2:
            renamed = {"faults": "errors", "remarks": "warnings", "films": "images"}
            content = {renamed.get(key, key): value for key, value in content.items()}
            content["duplicates"] = [
                {"detail_correlation" if key == "likeness" else key: value for key, value in pair}
                for pair in map(dict.items, content["duplicates"])
            ]
        return content
