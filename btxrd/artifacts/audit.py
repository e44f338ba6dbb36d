"""audit.json: the content of a data set, and the leakage of each split."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import msgspec

from btxrd.artifacts import codec

AUDIT = "audit.json"
Quantiles = dict[str, float]  # by name: smallest, quarter, median, mean, three quarters, largest
Counts = dict[int, dict[str, int]]  # number of cases by center and class
Shares = dict[str, dict[str, float]]  # share of the cases by partition and class


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
        one: File name of the first image, without its ending.
        other: File name of the second image, without its ending.
        bits: Number of bits in which their 64-bit perceptual hashes differ.
        detail_correlation: Correlation of the detail of the images, from -1 to 1.
        identical: Whether the files are identical.
        contradict: Whether the labels differ.
        labels: Class names of both images.
        centers: Centers of both images.
        one_patient: Whether both images are likely of one patient.
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
    """Counts of groups, likely patients and near-duplicates in more than one partition.

    Attributes:
        groups: Number of groups that are split across partitions.
        patients: Number of likely patients that are split across partitions.
        duplicates: Number of pairs of near-duplicates that are split across partitions.
        test_cases: Number of test cases.
        test_with_patient: Number of test cases with an image of their likely patient in train.
        test_with_duplicate: Number of test cases with a near-duplicate in train.
        test_with_group: Number of test cases with a case of their group in train.
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
    """The audit of one split.

    Attributes:
        split: Title of the split.
        refused: Reason why a run would refuse the split; None if it would not.
        whole: Partitions with whole groups; None if the split is impossible.
        none: Partitions with `split.groups=none`; None if the split is impossible.
        points_from_ungrouped: Largest difference, in percentage points, between a share with whole
            groups and the same share without groups: by `class`, the share of a class in a
            partition, and by `class_in_center`, that of a class at a center.
        points_from_whole: Largest difference, in percentage points, between the share of a class in
            a partition and its share among all cases.
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
        table: Path to the table of the data set.
        cases: Number of usable cases.
        patients_can_be_told: Whether the table has the columns that identify likely patients.
        counts: Number of cases of the data set, by center and class.
        published: Number of cases of BTXRD as published, by center and class.
        images: Facts about the images.
        outlines: Facts about the outlines.
        errors: Errors that would stop a run: messages by kind, and by the name of the row, image or
            outline.
        warnings: Names of rows, images and outlines that are corrected or left out, by kind.
        duplicates: Pairs of near-duplicates.
        groups: Sizes of the likely patients, by `patients`, and of the groups, by `groups`.
        splits: Audit of each split that the settings allow.
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
        """Convert the content of a file of the present format; keys may be numbers in strings."""
        return msgspec.convert(content, cls, str_keys=True)

    @classmethod
    def upgrade(cls, content: codec.Content, older: int) -> codec.Content:
        """Convert the content of an older file to the present format."""
        if older < 2:
            renamed = {"faults": "errors", "remarks": "warnings", "films": "images"}
            content = {renamed.get(key, key): value for key, value in content.items()}
            content["duplicates"] = [
                {"detail_correlation" if key == "likeness" else key: value for key, value in pair}
                for pair in map(dict.items, content["duplicates"])
            ]
        return content
