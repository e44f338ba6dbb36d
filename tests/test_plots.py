import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, roc_auc_score

from btxrd.evaluation.plots import (
    STYLES,
    draw_calibration,
    draw_confusion,
    draw_history,
    draw_precision_recall,
    draw_roc,
)

CLASSES = ("osteoma", "cyst", "sarcoma", "none")
LABELS = np.random.default_rng(0).integers(0, 4, 80)
PROBS = np.random.default_rng(1).dirichlet(np.ones(4), 80)


@pytest.fixture
def axes():
    return Figure().subplots()


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves_are_of_each_class_against_the_others(axes):
    draw_roc(axes, LABELS, PROBS, CLASSES)
    for label, name in enumerate(CLASSES):
        area = roc_auc_score(label == LABELS, PROBS[:, label])
        assert f"{name} (AUC {area:.3f}, n={(label == LABELS).sum()})" in texts(axes)


def test_precision_is_over_sensitivity_of_each_class(axes):
    draw_precision_recall(axes, LABELS, PROBS, CLASSES)
    area = average_precision_score(LABELS == 2, PROBS[:, 2])
    assert f"sarcoma (AP {area:.3f})" in texts(axes)


def test_confusion_has_true_classes_as_rows(axes):
    draw_confusion(axes, np.array([0, 0, 1]), np.eye(4)[[2, 2, 1]], CLASSES)
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts[(2, 0)] == "2\n100%"
    assert counts[(0, 2)] == "0\n0%"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_calibration_shows_accuracy_over_top_probability(axes):
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    draw_calibration(axes, np.array([0, 1, 0]), probs)
    x, y = axes.get_lines()[1].get_data()
    assert (x.tolist(), y.tolist()) == (pytest.approx([0.6, 0.9]), [1.0, 0.5])


def test_best_epoch_is_the_one_with_the_lowest_validation_loss(axes):
    history = {
        "epoch": [1, 2, 3], "train_loss": [3, 2, 1], "val_loss": [2.0, 0.5, 1.0],
        "val_macro_auc": [0.5, 0.6, 0.9],
    }  # fmt: skip
    draw_history(axes, pd.DataFrame(history))
    (best,) = (line for line in axes.get_lines() if line.get_label() == "best epoch")
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 0.5)


def test_styles_differ():
    assert len(set(STYLES)) == len(STYLES)
