"""What the report concludes from metrics and the ends of their intervals."""

from dataclasses import replace

import pytest
from sweeps import localisation, summary_in_memory, write_run

from btxrd.artifacts.comparison import Gap, MetricGap
from btxrd.artifacts.metrics import Estimate, VariantMetrics
from btxrd.report.conclusions import conclusions
from btxrd.report.wording import format_estimate

WINNER, BETTER, ELSEWHERE, GRADCAM, SHORTCUTS, MISSED = range(6)
NOTHING = Estimate(None, None, None)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """One setting on one split, and two others on the same cases."""
    folder = tmp_path_factory.mktemp("sweep")
    for name, val, test in (("a", 0.6, 0.3), ("b", 0.4, 0.3), ("c", 0.3, 0.3)):
        write_run(folder, name, backbone=name, skill=(val, test), noise=ord(name))
    found = summary_in_memory(folder)
    assert found.winners[0].setting == "a"
    return found


def concluded(summary, number, *, gaps=(), **changes):
    """A conclusion about the winner, whose row is changed."""
    rows = tuple(replace(row, **changes) if row.setting == "a" else row for row in summary.settings)
    ((_, found),) = conclusions(replace(summary, settings=rows, generalisation_gap=tuple(gaps)))
    return found[number]


def compared(summary, *differences):
    """The comparisons of the winner with others, with the given differences in macro AUC."""
    pairs = [pair for pair in summary.comparisons if "a" in pair.runs]
    found = []
    for pair, changes in zip(pairs, differences, strict=False):
        one = replace(pair.differences["macro_auc"], **changes)
        found.append(replace(pair, differences=pair.differences | {"macro_auc": one}))
    return replace(summary, comparisons=tuple(found))


def swapped(summary):
    """The same comparisons, with the winner as the second of each pair."""
    pairs = [
        replace(pair, one=pair.other, other=pair.one, runs=pair.runs[::-1])
        for pair in summary.comparisons
    ]
    return replace(summary, comparisons=tuple(pairs))


def gap(low, value, high, split="center", runs=("a", "far"), balanced=None):
    found = Estimate(value, low, high)
    metric = MetricGap(0.9, 0.9 - value, found, balanced or found, found)
    other = MetricGap(0.5, 0.5, NOTHING, NOTHING, NOTHING)
    return Gap("a", split, ((0,), (0,)), runs, {"macro_auc": metric, "accuracy": other})


def test_estimate_is_shown_with_its_interval():
    assert format_estimate(Estimate(0.831, 0.77, 0.885)) == "0.831 (95% CI 0.770 to 0.885)"
    assert format_estimate(Estimate(0.2, 0.1, 0.3), percent=True) == "20% (95% CI 10% to 30%)"
    assert format_estimate(NOTHING) == format_estimate(None) == "not known"


def test_winner_is_described_by_its_own_metrics(summary):
    found = concluded(summary, WINNER)
    (row,) = (row for row in summary.settings if row.setting == "a")
    assert found.short == "a"
    assert f"val macro AUC ({row.val_macro_auc:.3f}) of 3 settings" in found.text
    assert f"macro AUC {row.compared['macro_auc'].value:.3f}" in found.text


HIGHER = {"value": 0.2, "p": 0.001, "significant": True}
LOWER = {"value": -0.2, "p": 0.001, "significant": True}
ALIKE = {"value": 0.2, "p": 0.4, "significant": False}
UNTESTED = {"value": 0.2, "p": None, "significant": False}


@pytest.mark.parametrize(
    ("differences", "verdict", "short"),
    [
        ((HIGHER, HIGHER), "good", "significantly better than all other settings"),
        ((HIGHER, LOWER), "bad", "no: 1 setting significantly better on test"),
        ((HIGHER, ALIKE), "open", "not significantly different from 1 other setting"),
        ((ALIKE, ALIKE), "open", "not significantly different from 2 other settings"),
        ((HIGHER, UNTESTED), "open", "not tested against 1 other setting"),
        ((), "open", "no other setting to compare with"),
    ],
)
def test_winner_is_better_if_each_difference_is_significant(summary, differences, verdict, short):
    found = concluded(compared(summary, *differences), BETTER)
    assert (found.verdict, found.short) == (verdict, short)


def test_sign_of_a_difference_depends_on_which_setting_is_first(summary):
    """Kills a conclusion that ignores the order of the pair."""
    found = concluded(swapped(compared(summary, HIGHER, HIGHER)), BETTER)
    assert (found.verdict, found.short) == ("bad", "no: 2 settings significantly better on test")


def test_each_other_setting_is_named_with_its_own_result(summary):
    """Kills the winner's name in place of the other's."""
    pairs = compared(summary, HIGHER, ALIKE)
    names = [pair.other for pair in pairs.comparisons]
    for found in (concluded(pairs, BETTER), concluded(swapped(pairs), BETTER)):
        assert f"than that of {names[0]}." in found.text
        assert f"not significantly different from {names[1]}," in found.text


def test_pairs_without_the_winner_do_not_count(summary):
    pairs = [pair for pair in summary.comparisons if "a" not in pair.runs]
    found = concluded(replace(summary, comparisons=tuple(pairs)), BETTER)
    assert found.short == "no other setting to compare with"


def test_one_seed_is_named_as_such(summary):
    assert "One seed" in concluded(summary, BETTER).text
    assert "One seed" not in concluded(summary, BETTER, seeds=(0, 1)).text


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [((0.01, 0.1, 0.2), "bad"), ((-0.01, 0.1, 0.2), "open"), ((-0.2, -0.1, 0.01), "open"),
     ((-0.2, -0.1, -0.01), "good")],
)  # fmt: skip
def test_loss_at_unseen_centers_is_shown_by_the_low_end(summary, ends, verdict):
    """Kills the wrong end, or the value, in place of the end that is nearer to 0."""
    assert concluded(summary, ELSEWHERE, gaps=[gap(*ends)]).verdict == verdict


def test_largest_gap_of_the_winner_counts(summary):
    gaps = [gap(0.01, 0.05, 0.1, "small"), gap(0.2, 0.3, 0.4, "large"),
            gap(0.7, 0.8, 0.9, "other", ("b", "far"))]  # fmt: skip
    found = concluded(summary, ELSEWHERE, gaps=gaps)
    assert "(large): a difference of 0.300 (95% CI 0.200 to 0.400)" in found.text
    assert "the largest of 2 differences" in found.text


def test_class_balanced_gap_is_a_value_of_its_own(summary):
    found = concluded(
        summary, ELSEWHERE, gaps=[gap(0.01, 0.05, 0.1, balanced=Estimate(0.07, 0, 0.2))]
    )
    assert "With equal class weights it is 0.070 (95% CI 0.000 to 0.200)." in found.text


@pytest.mark.parametrize(
    ("maps", "verdict"),
    [
        (localisation(0.6), "good"),
        (localisation(0.4), "open"),  # significant, but in fewer than half of the tumours
        (localisation(0.6, width=0.55), "open"),  # the low end is below the reference
        (localisation(0.09), "bad"),
        (localisation(0.6, of_others=0.55), "open"),
        (localisation(0.6, of_others=0.7), "bad"),
        (localisation(0.6, width=0.59, of_others=None), "open"),  # below the chance level
        (localisation(0.6, ok=10, empty=12), "open"),
    ],
)
def test_gradcam_must_exceed_chance_and_the_maps_of_other_images(summary, maps, verdict):
    assert concluded(summary, GRADCAM, gradcam={"all": maps}).verdict == verdict


def test_gradcam_of_all_tumours_counts(summary):
    maps = {"malignant": localisation(0.9), "all": localisation(0.09)}
    assert concluded(summary, GRADCAM, gradcam=maps).verdict == "bad"
    assert concluded(summary, GRADCAM, gradcam={}).short == "not known"


def shortcuts(lesion=(0.4, 0.6), border=(-0.05, 0.05)):
    """Macro AUC with the lesion masked, and the difference with the border masked."""

    def variant(auc, difference):
        ends = [Estimate(sum(one) / 2, *one) for one in (auc, difference)]
        return VariantMetrics(ends[0], ends[0], ends[1])

    return {
        "lesion_masked": variant(lesion, (-0.5, -0.4)),
        "border_masked": variant((0.8, 0.9), border),
        "center_and_size": variant((0.4, 0.5), (-0.5, -0.4)),
    }


@pytest.mark.parametrize(
    ("variants", "verdict"),
    [
        (shortcuts(), "good"),
        (shortcuts(border=(-0.2, -0.01)), "bad"),  # the high end is below 0
        (shortcuts(border=(-0.2, 0.01)), "open"),  # too wide to exclude a drop
        (shortcuts(border=(-0.09, 0.01)), "good"),
        (shortcuts(lesion=(0.51, 0.58)), "bad"),  # the low end is above chance
        (shortcuts(lesion=(0.49, 0.61)), "open"),
        (shortcuts(lesion=(0.49, 0.59)), "good"),
        ({}, "open"),
    ],
)
def test_shortcuts_are_concluded_from_the_right_ends(summary, variants, verdict):
    assert concluded(summary, SHORTCUTS, shortcuts=variants).verdict == verdict


def test_shortcuts_of_a_setting_near_chance_are_not_known(summary):
    """Kills the value in place of the low end of the macro AUC on unmodified images."""
    (row,) = (row for row in summary.settings if row.setting == "a")
    near = row.compared | {"macro_auc": replace(row.compared["macro_auc"], low=0.5)}
    found = concluded(summary, SHORTCUTS, compared=near, shortcuts=shortcuts())
    assert found.short == "not known: it is near chance on unmodified images"


def test_shortcuts_are_not_known_if_a_class_cannot_be_masked(summary):
    variants = {
        name: VariantMetrics(NOTHING, NOTHING, NOTHING) for name in shortcuts()
    }  # fmt: skip
    assert concluded(summary, SHORTCUTS, shortcuts=variants).short == "not known"


def test_missed_cases_are_those_predicted_as_background(summary):
    (row,) = (row for row in summary.settings if row.setting == "a")
    values = row.values | {"malignant_predicted_normal": Estimate(0.25, 0.1, 0.4)}
    found = concluded(summary, MISSED, values=values)
    assert found.short == "25% predicted normal"
    assert "25% (95% CI 10% to 40%) of the malignant test images" in found.text


def test_operating_point_has_its_val_sensitivity_and_test_metrics(summary):
    (row,) = (row for row in summary.settings if row.setting == "a")
    point = row.clinical.operating_point
    text = concluded(summary, MISSED).text
    assert f"a val sensitivity of {point.val['sensitivity']:.0%} has" in text
    assert f"test sensitivity of {format_estimate(point.test.sensitivity, percent=True)}" in text
    assert f"test specificity of {format_estimate(point.test.specificity, percent=True)}" in text
