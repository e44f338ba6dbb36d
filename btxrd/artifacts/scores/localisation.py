"""Localisation of Grad-CAM and lesion maps, and metrics of masked images."""

from dataclasses import dataclass

from btxrd.artifacts.scores.estimates import Count, Estimate


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
