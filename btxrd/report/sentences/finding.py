"""Dataclasses of the main findings: each has a verdict, a number, a sentence and a small plot."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "refuted", "partly", "unclear", "not_assessed"]
MarkKind = Literal["seen", "unseen", "other"]


@dataclass(frozen=True)
class Mark:
    """A value with its interval in the plot of a finding.

    Attributes:
        value: Value at which the mark is drawn.
        low: Lower end of its 95% confidence interval; None if there is none.
        high: Upper end of the interval; None if there is none.
        kind: Symbol of the mark: for seen centers, for unseen centers, or for neither.
        is_hollow: Whether there were too few data for a verdict.
        label: Name of the value, for screen readers.
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
        start: Value at the left end of the axis.
        end: Value at the right end of the axis.
        marks: Values, from top to bottom if `is_stacked`, otherwise on one line.
        references: Labels and values of dotted lines, such as ("chance", 0.5). A label may be
            empty.
        is_stacked: Whether each mark has a line of its own.
        as_percent: Whether the ends of the axis are written as percentages.
    """

    start: float
    end: float
    marks: tuple[Mark, ...]
    references: tuple[tuple[str, float], ...] = ()
    is_stacked: bool = False
    as_percent: bool = False


@dataclass(frozen=True)
class Finding:
    """The answer to one question on one split.

    Attributes:
        key: Key of the question, in `QUESTIONS`.
        verdict: Conclusion from the results.
        short: The verdict in a few words, such as "Better than 6 of 9".
        beside: Number and interval that are shown beside `short`; may be empty.
        sentence: The finding as one or several full sentences, with its numbers.
        plot: Plot of the numbers; None if there is nothing to draw.
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
        key: Identifier of the question.
        text: The question as the page shows it. `{focus}` stands for the name of the focus class.
        explanation: Explanation of the plot, in one line.
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
        split_hash: Hash of the split.
        is_unseen: Whether its test cases are from centers without training cases.
        about: Test cases, such as "centers 2, 3 held out · 808 test images".
        setting: Name of the selected setting; None if none was selected.
        headline: Macro AUC, such as "0.893", or a statement such as "No setting is better than
            chance".
        beside: Text beside the headline: "macro AUC, 95% CI 0.873 to 0.912", or the reason.
        sentence: The headline with its numbers, as full sentences.
        findings: One finding for each question, in the order of `QUESTIONS`.
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
    """A statement about a sweep that its results support.

    Attributes:
        about: The setting and the split, or the option and the split, that the statement is about.
            It is empty for a statement about the sweep.
        text: One or several sentences.
    """

    about: str
    text: str


QUESTIONS: tuple[Question, ...] = (
    Question(
        "others",
        "Better than the other settings?",
        "Macro AUC minus that of each other setting (at most the 12 closest). Hollow: not enough "
        "data.",
        "settings",
    ),
    Question(
        "references",
        "Better than chance and than models without pixels?",
        "Macro AUC. The table model uses the table and the image size, but no pixels.",
        "settings",
    ),
    Question(
        "centers",
        "Does it hold at unseen centers?",
        "Macro AUC. Dot: centers in training. Diamond: centers held out.",
        "centers",
    ),
    Question(
        "focus",
        "Are {focus} tumours found?",
        "Sensitivity on test at the threshold chosen to find 90% on validation.",
        "focus",
    ),
    Question(
        "failures",
        "Where does it fail?",
        "Metric of the subgroup that is named, minus that of the rest.",
        "errors",
    ),
    Question(
        "localisation",
        "Is Grad-CAM on the lesion?",
        "Share of the test tumours with the Grad-CAM maximum on the lesion. Dotted: chance, and "
        "maps of other images.",
        "attention",
    ),
    Question(
        "calibration",
        "Are the probabilities calibrated?",
        "Expected calibration error (ECE) after temperature scaling.",
        "focus",
    ),
)
