"""metrics.json: the metrics of a run, each with its 95% confidence interval."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames

METRICS_FILE = "metrics.json"
Count = int | float  # a mean over seeds is not whole
OLD_VARIANTS = {  # names of format 1
    "whole_film": "unmodified",
    "lesion_painted_out": "lesion_masked",
    "all_but_lesion_painted_out": "all_but_lesion_masked",
    "border_painted_out": "border_masked",
}


@dataclass(frozen=True)
class Estimate:
    """A metric with the ends of its 95% confidence interval; all None if it is undefined.

    Attributes:
        value: The metric.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float | None
    low: float | None
    high: float | None


UNDEFINED = Estimate(None, None, None)
Estimates = dict[str, Estimate]  # by the name of the metric


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class against the others.

    Attributes:
        values: Metrics by name.
        support: Number of cases of the class.
    """

    values: Estimates
    support: Count


@dataclass(frozen=True)
class CenterMetrics:
    """Metrics of the cases of one center.

    Attributes:
        n: Number of cases.
        values: Metrics by name.
    """

    n: Count
    values: Estimates


@dataclass(frozen=True)
class PartitionMetrics:
    """Metrics of one partition.

    Attributes:
        n: Number of cases.
        values: Headline metrics by name. One that was added to btxrd later is absent.
        per_class: Metrics of each class against the others, by class name.
        per_center: Metrics of each center, by center.
        confusion: Number of cases; rows are true classes, columns are predicted ones.
        notes: Reasons why metrics are undefined, by their dotted names. The key `split` has the
            title of the split.
    """

    n: Count
    values: Estimates
    per_class: dict[str, ClassMetrics]
    per_center: dict[str, CenterMetrics]
    confusion: list[list[Count]]
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """Calibration of the test probabilities.

    Attributes:
        ece: Expected calibration error.
        brier: Brier score.
        cross_entropy: Cross-entropy, without an interval.
    """

    ece: Estimate
    brier: Estimate
    cross_entropy: float


@dataclass(frozen=True)
class CalibrationChange:
    """Calibration before and after temperature scaling.

    Attributes:
        before: Without temperature scaling.
        after: With temperature scaling.
    """

    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class PointMetrics:
    """Metrics of the focus class at a threshold.

    Attributes:
        sensitivity: Share of the cases of the class that are positive.
        specificity: Share of the other cases that are negative.
        precision: Share of the positive cases that are of the class.
    """

    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that was chosen on val.

    Attributes:
        val_sensitivity_asked: Target sensitivity on val.
        threshold: Smallest probability of the focus class that counts as positive.
        val: Sensitivity, specificity and precision on val.
        test: Metrics on test.
        per_center: Metrics on test by center.
    """

    val_sensitivity_asked: float
    threshold: float
    val: dict[str, float | None]
    test: PointMetrics
    per_center: dict[str, PointMetrics]


@dataclass(frozen=True)
class Clinical:
    """Temperature scaling and operating point.

    Attributes:
        temperature: Divisor of the logits, fitted on val.
        calibration: Calibration on test, before and after scaling.
        operating_point: Threshold of the focus class; None if val has no case of it.
    """

    temperature: float
    calibration: CalibrationChange
    operating_point: OperatingPoint | None


@dataclass(frozen=True)
class VariantMetrics:
    """Metrics of one masking variant, or of one baseline without pixel input.

    Attributes:
        macro_auc: Macro AUC of the variant.
        accuracy: Accuracy of the variant.
        difference: Macro AUC of the variant minus that of `unmodified`.
    """

    macro_auc: Estimate
    accuracy: Estimate
    difference: Estimate


@dataclass(frozen=True)
class MapCounts:
    """Number of maps of each kind.

    Attributes:
        ok: Number of usable maps.
        empty: Number of maps that are zero everywhere.
        saturated: Number of maps that are high nearly everywhere.
    """

    ok: Count
    empty: Count
    saturated: Count


@dataclass(frozen=True)
class MapScore(Estimate):
    """A localisation score, with two values to compare it with.

    Attributes:
        by_chance: Chance level: expected score of a map that does not depend on the lesion.
        of_others: Mean score of the maps of other images on the same lesions.
    """

    by_chance: float | None = None
    of_others: float | None = None


@dataclass(frozen=True)
class Localisation:
    """How well the maps of tumours are placed on their lesions.

    Attributes:
        n: Number of tumours.
        maps: Number of maps by kind. Only usable maps are scored.
        peak_inside: Share of the maps with their maximum on the lesion.
        energy_inside: Mean share of the sum of a map that is on the lesion.
        iou: Mean intersection over union of the lesion and the highest part of the map.
    """

    n: Count
    maps: MapCounts
    peak_inside: MapScore
    energy_inside: MapScore
    iou: MapScore


@dataclass(frozen=True)
class RunMetrics(codec.Artifact):
    """Content of metrics.json.

    On disk, the `values` of a part are keys of the part itself: `test.accuracy.value`.

    Attributes:
        classes: Class names in the order of the labels.
        focus: Class of the operating point and of the missed cases.
        background: Class without a lesion; None if every class has one.
        val: Metrics of the validation partition; equal to `test` if val is test.
        test: Metrics of the test partition.
        clinical: Calibration and operating point; None if val is test.
        gradcam: Grad-CAM localisation of the test tumours, by subset; empty without tumours.
        lesion_maps: The same for the model's own lesion maps; None without such maps.
        shortcuts: Metrics on masked images and of baselines without pixel input, by variant.
    """

    FORMAT: ClassVar[int] = 2

    classes: tuple[str, ...]
    focus: str
    background: str | None
    val: PartitionMetrics
    test: PartitionMetrics
    clinical: Clinical | None = None
    gradcam: dict[str, Localisation] = field(default_factory=dict)
    lesion_maps: dict[str, Localisation] | None = None
    shortcuts: dict[str, VariantMetrics] = field(default_factory=dict)

    @property
    def class_names(self) -> ClassNames:
        """The classes that the metrics are about."""
        return ClassNames(self.classes, self.focus, self.background)

    def as_content(self) -> codec.Content:
        """Return the content of the file."""
        content: codec.Content = msgspec.to_builtins(self)
        return content | {name: spread(content[name]) for name in ("val", "test")}

    @classmethod
    def from_content(cls, content: codec.Content) -> Self:
        """Convert the content of a file of the present format."""
        gathered = {name: gather(content[name]) for name in ("val", "test")}
        metrics = msgspec.convert(content | gathered, cls)
        metrics.check()
        return metrics

    def check(self) -> None:
        """Check that classes, confusion matrices and numbers of cases agree.

        Raises:
            ValueError: If they do not agree.
        """
        k = len(self.classes)
        if k < 2 or len(set(self.classes)) < k:
            raise ValueError(f"classes={list(self.classes)}")
        if not {self.focus, self.background or self.focus} <= set(self.classes):
            raise ValueError(f"focus={self.focus}, background={self.background}")
        for name, part in (("val", self.val), ("test", self.test)):
            if set(part.per_class) != set(self.classes):
                raise ValueError(f"{name}.per_class is not of the classes")
            if [len(row) for row in part.confusion] != [k] * k:
                raise ValueError(f"{name}.confusion is not of {k} classes")
            if part.n < 1 or sum(map(sum, part.confusion)) != part.n:
                raise ValueError(f"{name}.n={part.n} is not the sum of {name}.confusion")

    @classmethod
    def upgrade(cls, content: codec.Content, older: int) -> codec.Content:
        """Convert the content of an older file to the present format."""
        if older < 2:
            names = ClassNames.of_format_1(list(content["test"]["per_class"]))
            missed = f"{names.focus}_predicted_{names.background}"
            content = {
                "classes": names.names,
                "focus": names.focus,
                "background": names.background,
                **content,
                "gradcam": content.get("looks", {}),
                "shortcuts": {
                    OLD_VARIANTS.get(name, name): of_variant
                    for name, of_variant in content.get("shortcuts", {}).items()
                },
            }
            for name in ("val", "test"):
                renamed = {"malignant_called_normal": missed}
                part = {renamed.get(key, key): value for key, value in content[name].items()}
                notes = part.get("notes", {})
                part["notes"] = {renamed.get(key, key): value for key, value in notes.items()}
                content[name] = part
        return content


def spread(part: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a partition with the items of each `values` as keys of their parent."""
    found = {"n": part["n"], **part["values"], **part}
    found["per_class"] = {name: one["values"] | one for name, one in part["per_class"].items()}
    found["per_center"] = {
        name: {"n": one["n"]} | one["values"] | one for name, one in part["per_center"].items()
    }
    for one in (found, *found["per_class"].values(), *found["per_center"].values()):
        del one["values"]
    return found


def gather(part: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a partition with its metrics under `values`; the inverse of `spread`.

    An object with the key `value` is a metric.
    """

    def gathered(one: dict[str, Any]) -> dict[str, Any]:
        values = {
            name: value
            for name, value in one.items()
            if isinstance(value, dict) and "value" in value
        }
        return {**one, "values": values}

    found = gathered(part)
    for name in ("per_class", "per_center"):
        found[name] = {key: gathered(one) for key, one in part[name].items()}
    return found


def read_metrics(run_dir: Path) -> RunMetrics:
    """Read metrics.json of a run.

    Raises:
        InputError: If the file is damaged, or has a newer format.
        OSError: If the file cannot be read.
    """
    return codec.read(run_dir / METRICS_FILE, RunMetrics)


def write_metrics(run_dir: Path, metrics: RunMetrics) -> None:
    """Write metrics.json of a run."""
    codec.write(run_dir / METRICS_FILE, metrics)
