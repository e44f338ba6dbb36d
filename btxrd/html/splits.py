"""The splits of a summary as columns: seen centers first, then unseen ones, then others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.scores.estimates import Count
from btxrd.artifacts.summary import Summary, Winner
from btxrd.report.generalisation import UNSEEN
from btxrd.report.sentences.findings import MarkKind

SIDE_BY_SIDE = 3  # number of columns in a table; further columns are in folded tables
ORDER: tuple[MarkKind, ...] = ("seen", "unseen", "other")
IS_TEST = "random"  # the strategy whose val partition is its test partition


@dataclass(frozen=True)
class SplitColumn:
    """A split.

    Attributes:
        split: Title of the split.
        split_hash: Hash of split.csv.
        kind: Kind of the marks in plots.
        label: Heading, such as "Seen centers".
        short: Short heading, such as "seen".
        strategy: Strategy of the split.
        n_test: Number of test cases.
    """

    split: str
    split_hash: str
    kind: MarkKind
    label: str
    short: str
    strategy: str
    n_test: Count

    @property
    def is_test(self) -> bool:
        """Whether its val partition is its test partition."""
        return self.strategy == IS_TEST

    def contains(self, row: SettingRow) -> bool:
        """Return whether a setting was run on it."""
        return (row.split, row.split_hash) == (self.split, self.split_hash)

    def winner_of(self, summary: Summary) -> Winner | None:
        """Return the winner of the split; None if there is none."""
        for winner in summary.winners:
            if (winner.split, winner.split_hash) == (self.split, self.split_hash):
                return winner
        return None


def split_columns(summary: Summary) -> list[SplitColumn]:
    """Return the splits that a setting was scored on."""
    first: dict[tuple[str, str], SettingRow] = {}
    for row in summary.settings:
        first.setdefault((row.split, row.split_hash), row)
    rows = sorted(first.values(), key=lambda row: (ORDER.index(kind_of(row.strategy)), row.split))
    kinds = Counter(kind_of(row.strategy) for row in rows)
    titles = Counter(row.split for row in rows)
    return [_column(row, kinds, titles) for row in rows]


def kind_of(strategy: str) -> MarkKind:
    """Return `seen` for `stratified`, `unseen` for held-out centers, and `other` otherwise."""
    if strategy == "stratified":
        return "seen"
    return "unseen" if strategy in UNSEEN else "other"


def chunks(columns: Sequence[SplitColumn]) -> list[list[SplitColumn]]:
    """Split the columns into blocks of at most SIDE_BY_SIDE."""
    return [list(columns[at : at + SIDE_BY_SIDE]) for at in range(0, len(columns), SIDE_BY_SIDE)]


def _column(row: SettingRow, kinds: Counter[MarkKind], titles: Counter[str]) -> SplitColumn:
    kind = kind_of(row.strategy)
    title = row.split
    if titles[title] > 1:
        title += f" {row.split_hash[:6]}"
    is_alone = kind != "other" and kinds[kind] == 1
    return SplitColumn(
        split=row.split,
        split_hash=row.split_hash,
        kind=kind,
        label=f"{kind.capitalize()} centers" if is_alone else title,
        short=kind if is_alone else title,
        strategy=row.strategy,
        n_test=row.n_test,
    )
