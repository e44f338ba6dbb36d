"""Compact letter display: settings that share a letter are not significantly different."""

from collections.abc import Sequence
from itertools import combinations
from string import ascii_lowercase

import numpy as np

from btxrd.artifacts.comparison import PairedComparison
from btxrd.report.comparison_sets import ComparisonSet


def letters_of(
    compared: ComparisonSet, pairs: Sequence[PairedComparison], metric: str, number: str = ""
) -> list[str]:
    """Return the letters of each setting (Piepho 2004).

    Each letter stands for a largest set of settings of which no two are significantly different.

    Args:
        compared: The settings.
        pairs: As `compare` returns them.
        metric: One of `COMPARED`.
        number: Of the comparison set, put after each letter.
    """
    significant = {frozenset(pair.runs) for pair in pairs if pair.differences[metric].significant}
    first = [setting.runs[0].name for setting in compared.settings]
    positions = range(len(first))
    import networkx as nx  # not needed without settings to compare

    alike: nx.Graph[int] = nx.Graph()
    alike.add_nodes_from(positions)
    alike.add_edges_from(
        (one, other)
        for one, other in combinations(positions, 2)
        if frozenset((first[one], first[other])) not in significant
    )
    values = [-float(one.resampled[0]) for one in compared.metrics[metric]]
    rank = np.argsort(np.argsort(values, kind="stable"))
    letters = [""] * len(first)
    cliques = sorted(nx.find_cliques(alike), key=lambda clique: sorted(rank[clique]))
    for which, clique in enumerate(cliques):
        for position in clique:
            letters[position] += _letter(which) + number
    return letters


def _letter(position: int) -> str:
    more, letter = divmod(position, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(more) if more else "")
