"""Constants of BTXRD: its classes, the columns of its table, and the files that it consists of."""

from btxrd.artifacts.classes import ClassNames

CLASS_NAMES = ClassNames(
    names=("normal", "benign", "malignant"), focus="malignant", background="normal"
)
CLASSES = CLASS_NAMES.names  # label 0, 1, 2
NORMAL = CLASSES.index("normal")  # label of the cases without a tumour

# Number of cases by center and label, from the table of centers in Yao et al. (Scientific Data
# 12:88, 2025).
PUBLISHED_COUNTS = {1: (1593, 1110, 235), 2: (259, 214, 76), 3: (27, 201, 31)}
SUFFIXES = (".jpeg", ".jpg", ".png")
TABLES = ("dataset.xlsx", "dataset.csv")
REQUIRED_COLUMNS = ("image_id", "center", "tumor", "benign", "malignant")
SITES = (
    "hand", "ulna", "radius", "humerus", "foot", "tibia", "fibula", "femur", "hip bone",
    "ankle-joint", "knee-joint", "hip-joint", "wrist-joint", "elbow-joint", "shoulder-joint",
)  # fmt: skip
BENIGN_SUBTYPES = (
    "osteochondroma", "multiple osteochondromas", "simple bone cyst", "giant cell tumor",
    "osteofibroma", "synovial osteochondroma", "other bt",
)  # fmt: skip
MALIGNANT_SUBTYPES = ("osteosarcoma", "other mt")
REGIONS = ("upper limb", "lower limb", "pelvis")
VIEWS = ("frontal", "lateral", "oblique")
COLUMNS = (
    "image_id", "center", "age", "gender", *SITES, "tumor", "benign", "malignant",
    *BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES, *REGIONS, *VIEWS,
)  # fmt: skip
# Labels of outlines that denote a lesion, in lower case.
LESIONS = frozenset(
    {"tumor", "tumour", "lesion", *CLASSES[1:], *BENIGN_SUBTYPES, *MALIGNANT_SUBTYPES}
)
