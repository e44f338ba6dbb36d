"""Time of the bootstrap of all figures, beside scikit-learn's figures one resample at a time.

800 cases in 400 groups, 2,000 resamples. scikit-learn is asked for the macro AUC alone, on 100
resamples, and its time is multiplied. Both are done in turn; the ratio is the median.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from btxrd.evaluation.resampling import RESAMPLES, scores

CASES, ASKED, TURNS = 800, 100, 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    draw = np.random.default_rng(0)
    labels, probs = draw.integers(0, 3, CASES), draw.dirichlet((1, 1, 1), CASES)
    groups, centers = np.arange(CASES) // 2, draw.integers(1, 4, CASES)

    def by_sklearn() -> None:
        for _ in range(ASKED):
            drawn = draw.integers(CASES, size=CASES)
            roc_auc_score(labels[drawn], probs[drawn], multi_class="ovr")

    ours, theirs = [], []
    for _ in range(TURNS):
        ours.append(seconds(lambda: scores(labels, probs, groups, centers)))
        theirs.append(seconds(by_sklearn) * RESAMPLES / ASKED)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"all figures, {RESAMPLES} resamples, {CASES} cases: {statistics.median(ours):.2f} s")
    print(f"scikit-learn, macro AUC alone: {statistics.median(theirs):.2f} s; ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
