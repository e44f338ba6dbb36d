"""Compute the metrics of a partition with scikit-learn, as a reference."""

import numpy as np
from sklearn import metrics as sk

NAMES = ("normal", "benign", "malignant")


def by_sklearn(labels, probs):
    """Return each metric by its key in metrics.json; None if it is undefined."""
    predicted = probs.argmax(axis=1)
    present = np.unique(labels)
    want = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.recall_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
        "macro_f1": sk.f1_score(
            labels, predicted, labels=[0, 1, 2], average="macro", zero_division=0
        ),
        "brier": sum(np.mean((probs[:, c] - (labels == c)) ** 2) for c in range(3)),
    }
    malignant, normal = labels == 2, predicted == 0
    want["malignant_predicted_normal"] = np.mean(normal[malignant]) if malignant.any() else None
    for c, title in enumerate(NAMES):
        truth, found = labels == c, predicted == c
        both = truth.any() and not truth.all()
        want[f"{title}.auc"] = sk.roc_auc_score(truth, probs[:, c]) if both else None
        want[f"{title}.average_precision"] = (
            sk.average_precision_score(truth, probs[:, c]) if truth.any() else None
        )
        want[f"{title}.sensitivity"] = sk.recall_score(truth, found) if truth.any() else None
        want[f"{title}.specificity"] = sk.recall_score(~truth, ~found) if not truth.all() else None
        want[f"{title}.precision"] = sk.precision_score(truth, found) if found.any() else None
        want[f"{title}.f1"] = sk.f1_score(truth, found, zero_division=0)
    if len(present) == 3:
        want["macro_auc"] = sk.roc_auc_score(labels, probs, multi_class="ovr")
    else:
        want["macro_auc"] = None
    return want
