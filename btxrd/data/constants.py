"""The words that several rooms and the files on disk share."""

CLASSES = ("normal", "benign", "malignant")  # label 0, 1, 2
NORMAL = CLASSES.index("normal")
HEADLINE = (
    "accuracy", "balanced_accuracy", "macro_auc", "macro_f1", "brier", "ece",
    "malignant_called_normal",
)  # fmt: skip
PER_CLASS = ("auc", "average_precision", "sensitivity", "specificity", "precision", "f1")
FIGURES = ("roc", "pr", "confusion", "calibration", "history")

SUFFIXES = (".jpeg", ".jpg", ".png")
TABLES = ("dataset.xlsx", "dataset.csv")
REQUIRED_COLUMNS = ("image_id", "center", "tumor", "benign", "malignant")
SITES = (
    "hand", "ulna", "radius", "humerus", "foot", "tibia", "fibula", "femur", "hip bone",
    "ankle-joint", "knee-joint", "hip-joint", "wrist-joint", "elbow-joint", "shoulder-joint",
)  # fmt: skip
BENIGN = (
    "osteochondroma", "multiple osteochondromas", "simple bone cyst", "giant cell tumor",
    "osteofibroma", "synovial osteochondroma", "other bt",
)  # fmt: skip
MALIGNANT = ("osteosarcoma", "other mt")
REGIONS = ("upper limb", "lower limb", "pelvis")
VIEWS = ("frontal", "lateral", "oblique")
COLUMNS = (
    "image_id", "center", "age", "gender", *SITES, "tumor", "benign", "malignant",
    *BENIGN, *MALIGNANT, *REGIONS, *VIEWS,
)  # fmt: skip
