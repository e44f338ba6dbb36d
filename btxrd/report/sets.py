"""Sets of settings that cannot be told apart, as letters."""

from itertools import combinations
from string import ascii_lowercase
from typing import Any

import networkx as nx
import numpy as np

from btxrd.report.compare import Bench


def sets_of(bench: Bench, rows: list[dict[str, Any]], figure: str, number: str = "") -> list[str]:
    """Letters of each setting: two that share one cannot be told apart (Piepho 2004).

    Args:
        bench: of the settings.
        rows: as `compare` gives them.
        figure: one of COMPARED.
        number: of the bench, put behind each letter.
    """
    apart = {frozenset(row["runs"]) for row in rows if row[figure]["apart"]}
    first = [setting.runs[0].name for setting in bench.settings]
    places = range(len(first))
    together: nx.Graph[int] = nx.Graph()
    together.add_nodes_from(places)
    together.add_edges_from(
        (one, other)
        for one, other in combinations(places, 2)
        if frozenset((first[one], first[other])) not in apart
    )
    values = [-float(measured.resampled[0]) for measured in bench.measured[figure]]
    rank = np.argsort(np.argsort(values, kind="stable"))
    letters = [""] * len(first)
    cliques = sorted(nx.find_cliques(together), key=lambda clique: sorted(rank[clique]))
    for which, clique in enumerate(cliques):
        for place in clique:
            letters[place] += _letter(which) + number
    return letters


def _letter(place: int) -> str:
    more, letter = divmod(place, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(more) if more else "")
