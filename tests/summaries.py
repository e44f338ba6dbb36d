"""Build summaries from small dataclass instances, without runs."""

from dataclasses import replace

from btxrd.artifacts.evidence.comparison import Gap, MetricGap, SettingEstimate, SettingRow
from btxrd.artifacts.evidence.verdicts import JudgedDifference, Subgroup, Unselected
from btxrd.artifacts.scores.clinical import (
    Calibration,
    CalibrationChange,
    Clinical,
    OperatingPoint,
    PointMetrics,
)
from btxrd.artifacts.scores.estimates import UNDEFINED, CenterMetrics, ClassMetrics, Estimate
from btxrd.artifacts.scores.localisation import Localisation, MapCounts, MapScore, VariantMetrics
from btxrd.artifacts.summary import Summary, SummaryRow, Winner

CLASSES = ("normal", "benign", "malignant")


def est(value, low=None, high=None):
    return Estimate(value, low, high)


def judged(verdict, value=None, low=None, high=None, *, detectable=None, within=False, tests=9):
    """Return a judged difference: setting minus selected, or one minus other."""
    return JudgedDifference(value, low, high, verdict, within, detectable, tests)


def point(sensitivity, specificity=0.85, asked=0.9):
    """Return an operating point with a test sensitivity (value, low, high)."""
    test = PointMetrics(est(*sensitivity), est(specificity, 0, 1), UNDEFINED)
    return OperatingPoint(asked, 0.3, {"sensitivity": asked}, test, {})


def clinical(ece=(0.041, 0.028, 0.049), temperature=1.2, at=None):
    found = Calibration(est(*ece), UNDEFINED, 0.5)
    return Clinical(temperature, CalibrationChange(found, found), at)


def maps(peak=(0.63, 0.58, 0.67), ok=503, empty=0, saturated=0, by_chance=0.05, others=0.09):
    score = MapScore(*peak, by_chance, others)
    counts = MapCounts(ok, empty, saturated)
    return {"all": Localisation(ok + empty + saturated, counts, score, score, score)}


def variant(auc=UNDEFINED, difference=UNDEFINED):
    return VariantMetrics(auc, UNDEFINED, difference)


def setting(name="A", auc=(0.893, 0.873, 0.912), *, support=107, missed=None, **changes):
    """Return a setting with a run per seed; `missed` is the rate of malignant predicted normal."""
    seeds = changes.get("seeds", (0, 1, 2))
    split = changes.get("split", "stratified")
    row = SettingRow(
        split=split,
        experiment=None,
        model=name,
        annotations="none",
        setting=name,
        strategy=split.split(" ")[0],
        seeds=seeds,
        runs=tuple(f"{name},{split},{seed}" for seed in seeds),
        n_test=562,
        classes=CLASSES,
        focus="malignant",
        background="normal",
        val_macro_auc=0.9,
        compared={"macro_auc": SettingEstimate(*auc)},
        values={} if missed is None else {"malignant_predicted_normal": est(*missed)},
        per_class={name: ClassMetrics({}, support) for name in CLASSES},
        per_center={"1": CenterMetrics(562, {})},
        confusion=[[0] * 3] * 3,
        clinical=clinical(),
        gradcam={},
        lesion_maps=None,
        shortcuts={},
        ensemble=None,
        key=name,
        split_hash=split,
        constant={},
        planned=len(seeds),
        skill="above_chance",
    )
    return replace(row, **changes)


def summary(*rows, selected="A", unselected=(), **changes):
    """Return a summary of complete settings, of which `selected` is the winner on its splits."""
    winners = tuple(
        Winner(row.split, row.split_hash, row.setting, row.runs[0], row.focus, 0.91, 0.9,
               sum(one.split == row.split for one in rows), ())
        for row in rows if row.setting == selected
    )  # fmt: skip
    runs = tuple(SummaryRow(run, "complete") for row in rows for run in row.runs)
    found = Summary(
        synthetic=None,
        margin=0.02,
        rebuild="",
        commands=(),
        selection_rule="macro AUC on val",
        metrics=("macro_auc",),
        winners=winners,
        settings=rows,
        comparisons=(),
        generalisation_gap=(),
        at_once=1,
        runs=runs,
        unselected=tuple(unselected),
    )
    return replace(found, **changes)


def gap(verdict, value, low, high, *, near="A,stratified,0", far="A,center,0", balanced=UNDEFINED):
    """Return a gap: metric at seen minus metric at unseen centers."""
    metric = MetricGap(0.893, 0.677, est(value, low, high), balanced, UNDEFINED)
    return Gap("A", "center", ((0,), (0,)), (near, far), {"macro_auc": metric}, verdict)


def subgroup(name, verdict, *difference, family="age", metric="macro_auc", split="stratified"):
    found = est(*difference) if difference else UNDEFINED
    return Subgroup(split, split, family, name, metric, 40, 30, UNDEFINED, found, 0.01, verdict)


def unselected(reason, best=(0.531, 0.488, 0.574), *, name="A", of=4, split="stratified"):
    strategy = split.split(" ")[0]
    return Unselected(split, split, strategy, reason, name, est(*best), of)
