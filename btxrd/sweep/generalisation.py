"""What becomes of a setting at centers it was not trained on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from btxrd.evaluation.metrics import Floats, equal_priors, macro_auc, mean
from btxrd.evaluation.resampling import bootstrap_weights, estimate, with_sample
from btxrd.sweep.compare import COMPARED, Bench, Replicates
from btxrd.sweep.settings import Setting

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
    replicates = {
        setting: {figure: bench.replicates(figure) for figure in COMPARED}
        for bench in benches
        for setting in bench.settings
    }
    return [
        _gap(near, far, (replicates[near], replicates[far]))
        for near in replicates
        if near.strategy == "stratified"
        for far in replicates
        if far.strategy in UNSEEN and far.apart_from_split == near.apart_from_split
    ]


def _gap(
    near: Setting, far: Setting, replicates: tuple[dict[str, Replicates], ...]
) -> dict[str, Any]:
    groups = np.concatenate([near.test.groups, far.test.groups])
    weights = with_sample(bootstrap_weights(groups))
    of_near, of_far = np.split(weights, [len(near.test.labels)], axis=1)
    unseen = np.isin(far.test.centers, far.held_out)  # a group may hold films of others
    sides = [
        _resampled(near, of_near, np.ones(len(near.test.labels), bool)),
        _resampled(far, of_far[:, unseen], unseen),
    ]
    row: dict[str, Any] = {"setting": near.name, "split": far.split}
    row |= {"seeds": [near.seeds, far.seeds], "runs": [near.runs[0].name, far.runs[0].name]}
    for figure in COMPARED:
        noise = sum(
            found[figure].noise(len(weights) - 1, setting, stream=side)
            for side, (found, setting) in enumerate(zip(replicates, (near, far), strict=True))
        )
        plain, even = (sides[0][name] - sides[1][name] for name in (figure, f"even {figure}"))
        row[figure] = {
            "seen": estimate(sides[0][figure])["value"],
            "unseen": estimate(sides[1][figure])["value"],
            "gap": estimate(np.clip(plain + noise, -1, 1)),
            "image": estimate(np.clip(even + noise, -1, 1)),
            "prior": estimate(plain - even),
        }
    return row


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
