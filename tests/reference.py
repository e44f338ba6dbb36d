"""The figures of a run as scikit-learn computes them."""

import numpy as np
from sklearn import metrics as sk

from btxrd.data.constants import CLASSES


def by_sklearn(labels, probs):
    """The figures as scikit-learn computes them; None where it cannot."""
    called = probs.argmax(axis=1)
    present = np.unique(labels)
    want = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.recall_score(
            labels, called, labels=present, average="macro", zero_division=0
        ),
        "macro_f1": sk.f1_score(labels, called, labels=[0, 1, 2], average="macro", zero_division=0),
        "brier": sum(np.mean((probs[:, c] - (labels == c)) ** 2) for c in range(3)),
    }
    malignant = labels == CLASSES.index("malignant")
    normal = called == CLASSES.index("normal")
    want["malignant_called_normal"] = np.mean(normal[malignant]) if malignant.any() else None
    for c, title in enumerate(CLASSES):
        truth, said = labels == c, called == c
        both = truth.any() and not truth.all()
        want[f"{title}.auc"] = sk.roc_auc_score(truth, probs[:, c]) if both else None
        want[f"{title}.average_precision"] = (
            sk.average_precision_score(truth, probs[:, c]) if truth.any() else None
        )
        want[f"{title}.sensitivity"] = sk.recall_score(truth, said) if truth.any() else None
        want[f"{title}.specificity"] = sk.recall_score(~truth, ~said) if not truth.all() else None
        want[f"{title}.precision"] = sk.precision_score(truth, said) if said.any() else None
        want[f"{title}.f1"] = sk.f1_score(truth, said, zero_division=0)
    if len(present) == 3:
        want["macro_auc"] = sk.roc_auc_score(labels, probs, multi_class="ovr")
    else:
        want["macro_auc"] = None
    return want
