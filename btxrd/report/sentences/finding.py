"""What a finding consists of: a verdict, its number, a sentence and a small plot."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "refuted", "partly", "unclear", "not_assessed"]
MarkKind = Literal["seen", "unseen", "other"]


@dataclass(frozen=True)
class Mark:
    """A value with its interval in the plot of a finding.

    Attributes:
        value: Where the mark is drawn.
        low: Lower end of its interval; None if there is none.
        high: Upper end.
        kind: Which sign is drawn: of seen centers, of unseen centers, or neither.
        is_hollow: Whether nothing could be concluded about it.
        label: What it is, for a reader who does not see the plot.
    """

    value: float
    low: float | None
    high: float | None
    kind: MarkKind
    is_hollow: bool = False
    label: str = ""


@dataclass(frozen=True)
class IntervalPlot:
    """A small plot of values with intervals on one axis, with dotted references.

    Attributes:
        start: Left end of the axis.
        end: Right end.
        marks: From top to bottom if they are `stacked`, else on one line.
        references: Label and value, such as ("chance", 0.5). 0 may have no label.
        is_stacked: Whether each mark has a line of its own.
        as_percent: How the ends of the axis are written.
    """

    start: float
    end: float
    marks: tuple[Mark, ...]
    references: tuple[tuple[str, float], ...] = ()
    is_stacked: bool = False
    as_percent: bool = False


@dataclass(frozen=True)
class Finding:
    """What the results say about one question on one split.

    Attributes:
        key: Of the question, in `QUESTIONS`.
        verdict: What the evidence says.
        short: The verdict in two to five words, such as "Better than 6 of 9".
        beside: The number and interval that stand beside it; may be empty.
        sentence: The sentence that can be written, with its numbers; it stands alone.
        plot: None if there is nothing to draw.
    """

    key: str
    verdict: Verdict
    short: str
    beside: str
    sentence: str
    plot: IntervalPlot | None


@dataclass(frozen=True)
class Question:
    """A question of the main findings.

    Attributes:
        key: Identifies it.
        text: As a reader asks it.
        explanation: What the plot shows, in one line.
        section: Anchor of the section with the evidence.
    """

    key: str
    text: str
    explanation: str
    section: str


@dataclass(frozen=True)
class SplitFindings:
    """A column of the main findings.

    Attributes:
        split: Title of the split.
        split_hash: Of the split.
        is_unseen: Whether its test cases are of centers without training cases.
        about: What is tested, such as "centers 2, 3 held out · 808 test images".
        setting: Name of the selected setting; None if none was selected.
        headline: "0.893" or a statement such as "No setting is better than chance".
        beside: "macro AUC, 95% CI 0.873 to 0.912", or the reason.
        sentence: The headline with its numbers, as a sentence that can be written.
        findings: One for each question of `QUESTIONS`, in its order.
    """

    split: str
    split_hash: str
    is_unseen: bool
    about: str
    setting: str | None
    headline: str
    beside: str
    sentence: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Statement:
    """Something that can be written about a sweep.

    Attributes:
        about: The setting and the split, or the option and the split; empty if it is the sweep.
        text: One or several sentences.
    """

    about: str
    text: str


QUESTIONS: tuple[Question, ...] = (
    Question(
        "others",
        "Better than the other settings?",
        "Difference from the other settings (the twelve closest). Hollow: not enough data.",
        "settings",
    ),
    Question(
        "references",
        "Better than chance and than models without pixels?",
        "The table model sees the table and the image size, but no pixels.",
        "settings",
    ),
    Question(
        "centers",
        "Does it hold at unseen centers?",
        "Dot: centers in training. Diamond: centers held out.",
        "centers",
    ),
    Question(
        "focus",
        "Are {focus} tumours found?",
        "Sensitivity at the threshold that finds 90% on validation.",
        "focus",
    ),
    Question(
        "failures", "Where does it fail?", "Subgroup minus the rest, Holm-adjusted.", "errors"
    ),
    Question(
        "localisation",
        "Does it look at the lesion?",
        "Grad-CAM maximum on the lesion, against maps of other images.",
        "attention",
    ),
    Question(
        "calibration",
        "Can the probabilities be used?",
        "Expected calibration error (ECE) after temperature scaling.",
        "focus",
    ),
)
