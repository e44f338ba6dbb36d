"""What becomes of a setting at centers it was not trained on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from btxrd.evaluation.bootstrap import bootstrap_weights, estimate, with_sample
from btxrd.evaluation.metrics import Floats, equal_priors, macro_auc, mean
from btxrd.report.compare import COMPARED, Bench
from btxrd.report.settings import Setting

UNSEEN = ("center", "leave_one_center_out")


def generalisation_gap(benches: list[Bench]) -> list[dict[str, Any]]:
    """Test figures on `stratified` less those at unseen centers, for settings equal otherwise.

    Groups that are tested in both are drawn together, so the interval knows that they are the same
    patients.

    Returns:
        A row a pair of settings: `setting`, `split`, `seeds` of both, and for each of COMPARED
        `seen` and `unseen`; the `gap` with its interval; `image`, the gap that is left where each
        class weighs the same on both sides; and `prior`, the rest, which the mix of classes makes.
    """
    return [row for near in benches for far in benches for row in _gaps(near, far)]


def _gaps(seen: Bench, unseen: Bench) -> list[dict[str, Any]]:
    pairs = [
        (near, far)
        for near in seen.settings
        if near.strategy == "stratified"
        for far in unseen.settings
        if far.strategy in UNSEEN and far.apart_from_split == near.apart_from_split
    ]
    if not pairs:
        return []
    tests = [bench.settings[0].test for bench in (seen, unseen)]
    weights = with_sample(bootstrap_weights(np.concatenate([test.groups for test in tests])))
    of_near, of_far = np.split(weights, [len(tests[0].labels)], axis=1)
    rows = []
    for near, far in pairs:
        elsewhere = np.isin(tests[1].centers, far.held_out)  # a group may hold films of others
        sides = (
            _resampled(near, of_near, np.ones(len(tests[0].labels), bool)),
            _resampled(far, of_far[:, elsewhere], elsewhere),
        )
        row: dict[str, Any] = {"setting": near.name, "split": far.split}
        row |= {"seeds": [near.seeds, far.seeds], "runs": [near.runs[0].name, far.runs[0].name]}
        for figure in COMPARED:
            noise = seen.replicates(figure).noise(len(weights) - 1, near)
            noise = noise + unseen.replicates(figure).noise(len(weights) - 1, far, stream=1)
            row[figure] = _gap(*sides, figure, noise)
        rows.append(row)
    return rows


def _gap(
    near: dict[str, Floats], far: dict[str, Floats], figure: str, noise: Floats
) -> dict[str, Any]:
    """The gap of a figure and its two parts, from what `_resampled` gives of both sides."""
    plain, even = (near[name] - far[name] for name in (figure, f"even {figure}"))
    return {
        "seen": estimate(near[figure])["value"],
        "unseen": estimate(far[figure])["value"],
        "gap": estimate(np.clip(plain + noise, -1, 1)),
        "image": estimate(np.clip(even + noise, -1, 1)),
        "prior": estimate(plain - even),
    }


def _resampled(
    setting: Setting, weights: Floats, chosen: npt.NDArray[np.bool_]
) -> dict[str, Floats]:
    """(1 + resamples,) of each figure, as it is and with equal priors; mean over the seeds."""
    labels, by_seed = setting.test.labels[chosen], [probs[chosen] for probs in setting.probs]
    even = equal_priors(labels, weights)
    right = [probs.argmax(axis=1) == labels for probs in by_seed]
    found = {
        "macro_auc": [macro_auc(labels, probs, weights) for probs in by_seed],
        "even macro_auc": [macro_auc(labels, probs, even) for probs in by_seed],
        "accuracy": [mean(hits, weights) for hits in right],
        "even accuracy": [mean(hits, even) for hits in right],
    }
    return {name: np.asarray(np.mean(values, axis=0)) for name, values in found.items()}
