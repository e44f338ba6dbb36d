"""metrics.json: the metrics of a run, each with its 95% confidence interval."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.scores.clinical import Clinical
from btxrd.artifacts.scores.estimates import PartitionMetrics
from btxrd.artifacts.scores.localisation import Localisation, VariantMetrics

METRICS_FILE = "metrics.json"
OLD_VARIANTS = {  # names of format 1
    "whole_film": "unmodified",
    "lesion_painted_out": "lesion_masked",
    "all_but_lesion_painted_out": "all_but_lesion_masked",
    "border_painted_out": "border_masked",
}


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
