"""Each sentence of the report, word for word, from a summary that leads to it."""

from dataclasses import replace

import pytest
from summaries import (
    CLASSES,
    clinical,
    est,
    gap,
    judged,
    maps,
    point,
    setting,
    subgroup,
    summary,
    unselected,
    variant,
)

from btxrd.artifacts.evidence.comparison import PairedComparison
from btxrd.artifacts.evidence.verdicts import OptionContrast, OptionPair, Reference
from btxrd.artifacts.scores.estimates import UNDEFINED
from btxrd.artifacts.summary import SummaryRow
from btxrd.report.sentences.findings import (
    QUESTIONS,
    completeness,
    findings,
    one_seed,
    option_sentences,
    tag_of,
    written,
)
from btxrd.report.sentences.selected import axis, mark


def finding(of, key, split="stratified"):
    (column,) = (one for one in findings(of) if one.split == split)
    (found,) = (one for one in column.findings if one.key == key)
    return found


WORSE = judged("worse", -0.06, -0.1, -0.02)
SMALLEST = judged("worse", -0.045, -0.081, -0.009)
BETTER = judged("better", 0.041, 0.002, 0.08)
ALIKE = judged("no_difference", 0.001, -0.012, 0.014)
UNCLEAR = judged("not_enough_data", -0.031, -0.097, 0.035, detectable=0.094)
UNTESTED = judged("not_tested")


def beside(*differences, groups=None):
    """A setting that was compared with others, by their differences from it."""
    others = [setting(f"B{place}", difference=one) for place, one in enumerate(differences)]
    return summary(setting(), *others)


@pytest.mark.parametrize(
    ("differences", "verdict", "short", "aside", "sentence"),
    [
        ([SMALLEST] + [WORSE] * 8, "supported", "Better than all 9", "smallest difference 0.045",
         "Significantly better than all 9 other settings; the smallest difference is 0.045 "
         "(simultaneous 95% CI 0.009 to 0.081)."),
        ([judged("worse", -0.045, -0.081, -0.009, tests=1)], "supported", "Better than the other",
         "by 0.045", "Significantly better than B0, by 0.045 (95% CI 0.009 to 0.081)."),
        ([WORSE, judged("worse", -0.01, -0.015, -0.005, within=True)], "supported",
         "Better than both", "smallest difference 0.010",
         "Significantly better than both other settings; the smallest difference is 0.010 "
         "(simultaneous 95% CI 0.005 to 0.015). 1 of these differences is below 0.02."),
        ([WORSE] * 6 + [UNCLEAR] * 3, "partly", "Better than 6 of 9", "not enough data for 3",
         "Significantly better than 6 of 9 other settings. For 3 there is not enough data to "
         "tell; one of them may be better by up to 0.035. A difference of 0.094 would have been "
         "found with 80% power."),
        ([WORSE, ALIKE, UNTESTED], "partly", "Better than 1 of 3",
         "no difference above 0.02 from 1; 1 not tested",
         "Significantly better than 1 of 3 other settings. No difference above 0.02 from B1: "
         "−0.001 (simultaneous 95% CI −0.014 to 0.012). Choose between the two by cost. Not "
         "tested: B2 (macro AUC is undefined)."),
        ([ALIKE] * 3, "refuted", "No difference above 0.02", "from 3 settings",
         "No difference above 0.02 from 3 settings. Choose among them by cost."),
        ([UNCLEAR], "unclear", "Not enough data", "+0.031 (−0.035 to 0.097)",
         "Not enough data to tell whether it is better than B0: +0.031 (simultaneous 95% CI −0.035 "
         "to 0.097). A difference of 0.094 would have been found with 80% power."),
        ([UNCLEAR, UNCLEAR], "unclear", "Not enough data", "for 2 of 2",
         "For both other settings there is not enough data to tell; one of them may be better by "
         "up to 0.035. A difference of 0.094 would have been found with 80% power."),
        ([BETTER, WORSE], "refuted", "Another is better", "by 0.041 on test",
         "B0 is significantly better on test, by 0.041 (simultaneous 95% CI 0.002 to 0.080). The "
         "selection stays, because test metrics must not select. Report both. Significantly "
         "better than 1 of 2 other settings."),
        ([BETTER, BETTER], "refuted", "2 are better", "by 0.041 on test",
         "2 settings are significantly better on test; the largest difference is that of B0, "
         "0.041 (simultaneous 95% CI 0.002 to 0.080). The selection stays, because test metrics "
         "must not select. Report them too."),
        ([None], "not_assessed", "Not tested", "the test images differ",
         "Not tested: the test images differ."),
        ([UNTESTED], "not_assessed", "Not tested", "macro AUC is undefined",
         "Not tested: macro AUC is undefined."),
        ([judged("not_tested", 0.1)], "not_assessed", "Not tested",
         "a class has fewer than 5 groups", "Not tested: a class has fewer than 5 groups."),
        ([], "not_assessed", "Nothing to compare", "",
         "No other setting was tested on the same images. To compare settings, give a key several "
         "values: `experiment=A,B`."),
    ],
)  # fmt: skip
def test_comparison_with_the_other_settings(differences, verdict, short, aside, sentence):
    found = finding(beside(*differences), "others")
    assert (found.verdict, found.short, found.beside) == (verdict, short, aside)
    assert found.sentence == sentence


def test_constant_settings_among_the_worse_ones_are_named():
    flat = setting("flat", difference=WORSE, constant={f"flat,stratified,{k}": "normal" for k in
                                                       range(3)})  # fmt: skip
    found = finding(summary(setting(), flat), "others")
    assert found.beside == "it is constant; by 0.060"
    assert found.sentence.endswith(" flat predicts one class for all test images.")
    found = finding(summary(setting(), setting("B", difference=WORSE), flat), "others")
    assert found.beside == "1 of them is constant; smallest difference 0.060"


@pytest.mark.parametrize(
    ("groups", "reason"),
    [(9, "fewer than 10 groups"), (10, "a class has fewer than 5 groups")],
)
def test_comparison_of_few_groups(groups, reason):
    other = setting("B0", difference=judged("not_tested", 0.1))
    pair = PairedComparison("stratified", "A", "B0", ("A,stratified,0", "B0,stratified,0"), 12,
                            groups, (3, 3), {})  # fmt: skip
    found = finding(summary(setting(), other, comparisons=(pair,)), "others")
    assert found.sentence == f"Not tested: {reason}."


def test_plot_shows_selected_minus_other():
    plot = finding(beside(WORSE, UNCLEAR), "others").plot
    assert [(one.value, one.low, one.high, one.is_hollow) for one in plot.marks] == [
        (0.031, -0.035, 0.097, True), (0.06, 0.02, 0.1, False),
    ]  # fmt: skip
    assert (plot.start, plot.end, plot.references) == (-0.05, 0.1, (("", 0.0),))


AUC = (0.893, 0.873, 0.912)
CHANCE = "Better than chance: macro AUC is 0.893 (95% CI 0.873 to 0.912) on 562 test images. "
MASKABLE = " The models are compared on the test images that can be masked."


def with_references(**differences):
    """A setting and models without pixels, by their difference from it."""
    shortcuts = {name: variant(difference=est(*ends)) for name, ends in differences.items()}
    shortcuts["unmodified"] = variant(est(0.88, 0.86, 0.9))
    models = [
        Reference("stratified", "stratified", name, est(0.8, 0.7, 0.9)) for name in differences
    ]
    return summary(setting(shortcuts=shortcuts), references=tuple(models))


@pytest.mark.parametrize(
    ("differences", "verdict", "short", "aside", "sentence"),
    [
        ({"style": (-0.103, -0.14, -0.06), "table": (-0.05, -0.08, -0.02)}, "supported",
         "Better than chance and both models", "vs table +0.050 (0.020 to 0.080)",
         "Better than the style model by 0.103 (95% CI 0.060 to 0.140). Better than the table "
         "model by 0.050 (95% CI 0.020 to 0.080)."),
        ({"style": (-0.103, -0.14, -0.06), "table": (-0.023, -0.055, 0.009)}, "partly",
         "Better than chance and 1 of 2 models", "vs table +0.023 (−0.009 to 0.055)",
         "Better than the style model by 0.103 (95% CI 0.060 to 0.140). Not enough data to tell "
         "whether it is better than the table model: +0.023 (95% CI −0.009 to 0.055)."),
        ({"table": (-0.023, -0.055, 0.009)}, "unclear", "Not enough data",
         "vs table +0.023 (−0.009 to 0.055)",
         "Not enough data to tell whether it is better than the table model: +0.023 (95% CI −0.009 "
         "to 0.055)."),
        ({"table": (-0.05, -0.08, -0.02)}, "supported", "Better than chance and the table model",
         "vs table +0.050 (0.020 to 0.080)",
         "Better than the table model by 0.050 (95% CI 0.020 to 0.080)."),
        ({"table": (0.026, 0.01, 0.042)}, "refuted", "The table model is better",
         "by 0.026 (0.010 to 0.042)",
         "The table model, without pixels, is better by 0.026 (95% CI 0.010 to 0.042)."),
        ({"center_and_size": (0.001, -0.01, 0.012)}, "partly",
         "Better than chance only",
         "vs center and size −0.001 (−0.012 to 0.010)",
         "No difference above 0.02 from the center and size model: −0.001 (95% CI −0.012 to "
         "0.010)."),
    ],
)  # fmt: skip
def test_models_without_pixels(differences, verdict, short, aside, sentence):
    found = finding(with_references(**differences), "references")
    assert (found.verdict, found.short, found.beside) == (verdict, short, aside)
    assert found.sentence == f"{CHANCE}{sentence}{MASKABLE}"


def test_comparison_with_chance_alone_is_partly_supported():
    found = finding(summary(setting()), "references")
    assert (found.verdict, found.short) == ("partly", "Better than chance")
    assert found.sentence == f"{CHANCE}Models without pixels were not computed."
    assert found.plot.references == (("chance", 0.5),)


def test_references_are_drawn_beside_the_metric_on_the_same_images():
    plot = finding(with_references(table=(-0.05, -0.08, -0.02)), "references").plot
    assert [(one.value, one.low, one.high) for one in plot.marks] == [(0.88, 0.86, 0.9)]
    assert plot.references == (("chance", 0.5), ("table", 0.8))
    assert (plot.start, plot.end) == (0.4, 0.9)


def at_centers(*gaps, near="above_chance", **changes):
    rows = (
        setting(skill=near, **changes),
        setting(split="center", auc=(0.677, 0.645, 0.707), **changes),
    )
    return summary(*rows, generalisation_gap=gaps)


PLACES = " It is 0.893 on stratified and 0.677 on center."


@pytest.mark.parametrize(
    ("found", "verdict", "short", "aside", "sentence"),
    [
        (gap("loss", 0.216, 0.18, 0.253), "refuted", "No: 0.216 lower", "95% CI 0.180 to 0.253",
         "Macro AUC is 0.216 lower at unseen centers (95% CI 0.180 to 0.253)."),
        (gap("no_loss", 0.005, -0.008, 0.018), "supported", "No loss above 0.02",
         "−0.005 (−0.018 to 0.008)",
         "No loss above 0.02 in macro AUC at unseen centers: the difference is −0.005 (95% CI "
         "−0.018 to 0.008)."),
        (gap("gain", -0.05, -0.08, -0.02), "supported", "Yes: 0.050 higher",
         "95% CI 0.020 to 0.080",
         "Macro AUC is 0.050 higher at unseen centers (95% CI 0.020 to 0.080)."),
        (gap("not_enough_data", 0.06, -0.12, 0.23), "unclear", "Not enough data",
         "−0.060 (−0.230 to 0.120)",
         "Not enough data to tell whether macro AUC is lower at unseen centers: the difference is "
         "−0.060 (95% CI −0.230 to 0.120)."),
        (gap("not_enough_data", 0.3, 0.1, 0.5), "unclear", "Not enough data",
         "−0.300 (−0.500 to −0.100)",
         "Not enough data to tell whether macro AUC is lower at unseen centers: the difference is "
         "−0.300 (95% CI −0.500 to −0.100); a class has too few groups there."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", ["stratified", "center"])
def test_unseen_centers(found, verdict, short, aside, sentence, split):
    found = finding(at_centers(found), "centers", split)
    assert (found.verdict, found.short, found.beside) == (verdict, short, aside)
    assert found.sentence == sentence + PLACES
    assert [(one.kind, one.value, one.low) for one in found.plot.marks] == [
        ("seen", 0.893, 0.873), ("unseen", 0.677, 0.645),
    ]  # fmt: skip


def test_gap_with_equal_class_weights_has_the_same_direction():
    one = gap("loss", 0.216, 0.18, 0.253, balanced=est(0.2, 0.16, 0.24))
    text = finding(at_centers(one), "centers").sentence
    assert text.endswith(
        "With equal class weights the difference is −0.200 (95% CI −0.240 to −0.160)."
    )


def test_worst_of_several_splits_with_unseen_centers_counts():
    gaps = [gap("no_loss", 0.005, -0.008, 0.018), gap("loss", 0.3, 0.2, 0.4, far="x"),
            gap("loss", 0.1, 0.05, 0.15, far="y")]  # fmt: skip
    found = finding(at_centers(*gaps), "centers")
    assert found.sentence == (
        "Macro AUC is 0.300 lower at unseen centers (95% CI 0.200 to 0.400). This is the worst of "
        "3 splits with unseen centers."
    )


@pytest.mark.parametrize(
    ("of", "split", "sentence"),
    [
        (summary(setting()), "stratified", "Not run: add `split=stratified,center`."),
        (at_centers(gap("not_assessed", 0.216, 0.18, 0.253), near="at_chance"), "center",
         "Not assessed: it is not shown to be better than chance at seen centers."),
        (at_centers(gap("not_assessed", None, None, None)), "center",
         "Not assessed: macro AUC is undefined at some centers."),
    ],
)  # fmt: skip
def test_unseen_centers_that_are_not_assessed(of, split, sentence):
    found = finding(of, "centers", split)
    assert (found.verdict, found.sentence, found.plot) == ("not_assessed", sentence, None)


THRESHOLD = (
    " malignant test images, with a specificity of 85% (95% CI 0% to 100%), at the threshold "
    "chosen to find 90% on validation."
)
MISSED = (
    " 0 of 107 malignant test images (95% CI 0% to 3.4%, by Clopper-Pearson) are predicted normal."
)
NONE_MISSED = (0.0, 0.0, 0.0339)


@pytest.mark.parametrize(
    ("sensitivity", "support", "verdict", "short", "sentence"),
    [
        ((0.94, 0.91, 0.97), 107, "supported", "At least 90%",
         f"The model finds 94% (95% CI 91% to 97%) of 107{THRESHOLD}"),
        ((0.82, 0.73, 0.90), 51, "partly", "90% not shown",
         f"The model finds 82% (95% CI 73% to 90%) of 51{THRESHOLD} A sensitivity of 90% is not "
         "shown."),
        ((0.95, 0.896, 0.99), 51, "partly", "90% not shown",
         f"The model finds 95% (95% CI 89.6% to 99%) of 51{THRESHOLD} A sensitivity of 90% is not "
         "shown."),
        ((0.75, 0.69, 0.81), 107, "refuted", "Below 90%",
         f"The model finds 75% (95% CI 69% to 81%) of 107{THRESHOLD} The sensitivity is below "
         "90%."),
    ],
)  # fmt: skip
def test_sensitivity_at_the_operating_point(sensitivity, support, verdict, short, sentence):
    row = setting(support=support, clinical=clinical(at=point(sensitivity)))
    found = finding(summary(row), "focus")
    assert (found.verdict, found.short) == (verdict, short)
    assert found.sentence == sentence
    assert found.plot.references == (("target 90%", 0.9),)
    assert [(one.value, one.low, one.high) for one in found.plot.marks] == [sensitivity]


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        (point((0.04, 0.01, 0.13), 0.99),
         "Do not use this threshold: on test, it finds 4% (95% CI 1% to 13%) of the malignant "
         "images, and marks 1% of the other images as malignant."),
        (point((0.95, 0.9, 0.98), 0.03),
         "Do not use this threshold: on test, it finds 95% (95% CI 90% to 98%) of the malignant "
         "images, and marks 97% of the other images as malignant."),
    ],
)  # fmt: skip
def test_unusable_threshold(at, sentence):
    found = finding(summary(setting(clinical=clinical(at=at))), "focus")
    assert (found.verdict, found.short) == ("refuted", "Unusable threshold")
    assert found.sentence == sentence


@pytest.mark.parametrize(
    ("missed", "sentence"),
    [
        (NONE_MISSED, MISSED),
        ((0.0, 0.0, 0.0), " 0 of 107 malignant test images are predicted normal."),
        ((23 / 107, 0.08, 0.3),
         " 23 of 107 malignant test images (95% CI 8% to 30%) are predicted normal."),
        ((9.3 / 107, 0.05, 0.12),
         " 9.3 of 107 malignant test images (95% CI 5% to 12%) are predicted normal, as the mean "
         "over seeds."),
    ],
)  # fmt: skip
def test_number_of_malignant_cases_that_are_predicted_normal(missed, sentence):
    row = setting(missed=missed, clinical=clinical(at=point((0.94, 0.91, 0.97))))
    assert finding(summary(row), "focus").sentence.endswith(THRESHOLD + sentence)


def test_many_malignant_cases_that_are_predicted_normal_are_marked():
    row = setting(missed=(0.23, 0.15, 0.33), clinical=clinical(at=point((0.94, 0.91, 0.97))))
    found = finding(summary(row), "focus")
    assert (found.verdict, found.short) == ("partly", "23% predicted normal")


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (clinical(), "Not computed: no validation image is malignant."),
        (clinical(at=point((None, None, None))), "Not computed: no test image is malignant."),
        (None, "Not computed: validation and test are the same images."),
    ],
)
def test_operating_point_that_was_not_computed(of, sentence):
    found = finding(summary(setting(clinical=of)), "focus")
    assert (found.verdict, found.sentence) == ("not_assessed", sentence)


def test_names_of_classes_are_those_of_the_summary():
    row = setting(
        classes=("healthy", "cyst"), focus="cyst", background="healthy",
        values={"cyst_predicted_healthy": est(0.0, 0.0, 0.2)},
        per_class={"cyst": replace(setting().per_class["benign"], support=10)},
        clinical=clinical(at=point((0.94, 0.91, 0.97))),
    )  # fmt: skip
    text = finding(summary(row), "focus").sentence
    assert "of 10 cyst test images" in text
    assert text.endswith("(95% CI 0% to 20.0%, by Clopper-Pearson) are predicted healthy.")
    assert not any(name in text for name in CLASSES)


FEW = [subgroup(f"few {number}", "too_few") for number in range(9)]
SAME = [subgroup(f"same {number}", "not_significant", -0.01, -0.1, 0.08) for number in range(13)]
UNDER_18 = subgroup("under 18 years", "worse", -0.121, -0.2, -0.04)


@pytest.mark.parametrize(
    ("subgroups", "verdict", "short", "aside", "sentence"),
    [
        ([UNDER_18, *SAME], "refuted", "Worst: age under 18 years", "0.121 lower (0.040 to 0.200)",
         "Worst in age under 18 years, with 40 test images: macro AUC is 0.121 lower than in the "
         "rest (unadjusted 95% CI 0.040 to 0.200). The difference is significant (Holm)."),
        ([UNDER_18, UNDER_18], "refuted", "Worst: age under 18 years",
         "0.121 lower (0.040 to 0.200)",
         "Worst in age under 18 years, with 40 test images: macro AUC is 0.121 lower than in the "
         "rest (unadjusted 95% CI 0.040 to 0.200). 2 of 2 subgroups are significantly worse "
         "(Holm)."),
        (SAME, "unclear", "None shown",
         "none of 13 differs significantly; lowest: age same 0",
         "None of 13 subgroups differs significantly from the rest."),
        ([*SAME, *FEW], "unclear", "Not enough data: 9 of 22",
         "none of 13 differs significantly; lowest: age same 0",
         "None of 13 subgroups differs significantly from the rest. 9 of 22 have too few images to "
         "tell."),
        ([subgroup("adults", "better", 0.1, 0.05, 0.15), *SAME], "unclear", "None shown",
         "none of 14 is significantly worse; lowest: age same 0",
         "None of 14 subgroups is significantly worse than the rest."),
        ([*SAME, FEW[0]], "unclear", "Not enough data: 1 of 14",
         "none of 13 differs significantly; lowest: age same 0",
         "None of 13 subgroups differs significantly from the rest. 1 of 14 has too few images to "
         "tell."),
        (FEW, "not_assessed", "Not enough data", "9 of 9 subgroups have too few images",
         "9 of 9 subgroups have too few images to tell."),
        ([], "not_assessed", "Not computed", "no subgroups were computed",
         "Not computed: no subgroups were computed."),
    ],
)  # fmt: skip
def test_subgroups(subgroups, verdict, short, aside, sentence):
    found = finding(summary(setting(), subgroups=tuple(subgroups)), "failures")
    assert (found.verdict, found.short, found.beside) == (verdict, short, aside)
    assert found.sentence == sentence


@pytest.mark.parametrize(
    ("family", "name", "shown"),
    [
        ("center", "center 3", "Worst: center 3"),
        ("class", "malignant", "Worst: class malignant"),
        ("lesion size", "lesion under 1% of the image", "Worst: lesion under 1% of the image"),
    ],
)
def test_subgroup_is_named_with_its_family_once(family, name, shown):
    worst = subgroup(name, "worse", -0.1, -0.2, -0.05, family=family, metric="accuracy")
    found = finding(summary(setting(), subgroups=(worst,)), "failures")
    assert found.short == shown
    assert "accuracy is 0.100 lower than in the rest" in found.sentence


MAXIMUM = "he Grad-CAM maximum is on the lesion in"
OTHERS = "maps of other images reach 9%, the chance level is 5%."


@pytest.mark.parametrize(
    ("found", "verdict", "short", "sentence"),
    [
        (maps(), "supported", "In most tumours",
         f"T{MAXIMUM} 63% (95% CI 58% to 67%) of 503 test tumours; {OTHERS}"),
        (maps((0.41, 0.35, 0.47), 268), "partly", "Above chance, minority",
         f"Above chance, in a minority: t{MAXIMUM} 41% (95% CI 35% to 47%) of 268 test tumours; "
         f"{OTHERS}"),
        (maps((0.51, 0.45, 0.57), 268), "partly", "Above chance, most not shown",
         f"Above chance, but not shown for most: t{MAXIMUM} 51% (95% CI 45% to 57%) of 268 test "
         f"tumours; {OTHERS}"),
        (maps((0.12, 0.08, 0.16), 268), "unclear", "Not shown to exceed chance",
         f"Not shown to exceed chance: t{MAXIMUM} 12% (95% CI 8% to 16%) of 268 test tumours; "
         f"{OTHERS}"),
        (maps((0.02, 0.01, 0.04), 268), "refuted", "Not above chance",
         f"Not above chance: t{MAXIMUM} 2% (95% CI 1% to 4%) of 268 test tumours; {OTHERS}"),
        (maps(ok=38, empty=1, saturated=2), "supported", "In most tumours",
         f"T{MAXIMUM} 63% (95% CI 58% to 67%) of 38 test tumours; {OTHERS} 3 of 41 maps are empty "
         "or saturated and excluded."),
        (maps(ok=78, empty=190), "not_assessed", "Maps are unusable",
         "Not assessed: 190 of 268 maps are empty."),
        ({}, "not_assessed", "Not computed", "Not computed: no test tumour has an outline."),
    ],
)  # fmt: skip
def test_localisation(found, verdict, short, sentence):
    found = finding(summary(setting(gradcam=found)), "localisation")
    assert (found.verdict, found.short, found.sentence) == (verdict, short, sentence)


@pytest.mark.parametrize(
    ("ece", "temperature", "slope", "verdict", "short", "sentence"),
    [
        ((0.041, 0.028, 0.049), 1.2, (0.94, 0.88, 1.01), "supported", "Error at most 0.05",
         "ECE is 0.041 (95% CI 0.028 to 0.049) after temperature scaling, and the slope is 0.94 "
         "(95% CI 0.88 to 1.01)."),
        ((0.041, 0.028, 0.066), 1.2, (None, None, None), "partly", "Error below 0.05 not shown",
         "ECE is 0.041 (95% CI 0.028 to 0.066) after temperature scaling."),
        ((0.2, 0.18, 0.25), 1.2, (None, None, None), "refuted", "Error above 0.05",
         "ECE is 0.200 (95% CI 0.180 to 0.250) after temperature scaling."),
        ((0.212, 0.18, 0.246), 1.2, (0.51, 0.4, 0.62), "refuted", "Too confident",
         "Too confident: the slope is 0.51 (95% CI 0.40 to 0.62). ECE is 0.212 (95% CI 0.180 to "
         "0.246) after temperature scaling."),
        ((0.04, 0.02, 0.06), 1.2, (1.3, 1.1, 1.5), "refuted", "Not confident enough",
         "Not confident enough: the slope is 1.30 (95% CI 1.10 to 1.50). ECE is 0.040 (95% CI "
         "0.020 to 0.060) after temperature scaling."),
        ((0.04, 0.02, 0.06), 19.99, (0.9, 0.8, 1.1), "unclear", "Temperature at its bound",
         "The temperature is at the bound of its range, so it cannot be interpreted. ECE is 0.040 "
         "(95% CI 0.020 to 0.060) after temperature scaling."),
    ],
)  # fmt: skip
def test_calibration(ece, temperature, slope, verdict, short, sentence):
    row = setting(clinical=clinical(ece, temperature), calibration_slope=est(*slope))
    found = finding(summary(row), "calibration")
    assert (found.verdict, found.short, found.sentence) == (verdict, short, sentence)


def test_temperature_of_few_validation_images():
    row = setting(n_val=38, clinical=clinical((0.04, 0.02, 0.06)))
    found = finding(summary(row), "calibration")
    assert (found.verdict, found.short) == ("unclear", "Few validation images")
    assert found.sentence.endswith(" The temperature was fitted on 38 images, fewer than 50.")
    assert "fitted" not in finding(summary(replace(row, n_val=50)), "calibration").sentence


MASKING = "Masking itself can change predictions."


@pytest.mark.parametrize(
    ("lesion", "border", "sentences"),
    [
        ((0.801, 0.77, 0.831), (-0.06, -0.09, -0.03),
         [f"With the lesion masked, macro AUC is still 0.801 (95% CI 0.770 to 0.831), so the model "
          f"uses more than the lesion. {MASKING}",
          "Macro AUC is 0.060 lower with the border masked (95% CI 0.030 to 0.090)."]),
        ((0.52, 0.47, 0.57), (-0.004, -0.012, 0.003),
         ["With the lesion masked, macro AUC is 0.520 (95% CI 0.470 to 0.570), which is not shown "
          "to exceed chance. This does not show that the model uses the lesion alone. " + MASKING,
          "No drop above 0.02 with the border masked: −0.004 (95% CI −0.012 to 0.003)."]),
        ((None, None, None), (-0.01, -0.015, -0.005),
         ["Macro AUC is 0.010 lower with the border masked (95% CI 0.005 to 0.015), by less than "
          "0.02."]),
        ((None, None, None), (-0.02, -0.07, 0.03),
         ["Not enough data to tell whether masking the border changes macro AUC: −0.020 (95% CI "
          "−0.070 to 0.030)."]),
        ((None, None, None), (0.02, 0.01, 0.03),
         ["Macro AUC is higher with the border masked: +0.020 (95% CI 0.010 to 0.030)."]),
    ],
)  # fmt: skip
def test_masking(lesion, border, sentences):
    shortcuts = {
        "lesion_masked": variant(est(*lesion)),
        "border_masked": variant(difference=est(*border)),
    }
    found = written(summary(setting(shortcuts=shortcuts)), "attention")
    assert [one.text for one in found] == sentences
    assert {one.about for one in found} == {"A, stratified"}


@pytest.mark.parametrize(
    ("one", "rows", "headline", "aside", "sentence"),
    [
        (unselected("at_chance"), [setting(skill="at_chance")],
         "No setting is shown to be better than chance",
         "the highest macro AUC is 0.531 (95% CI 0.488 to 0.574)",
         "No setting is shown to be better than chance: the highest macro AUC is 0.531 (95% "
         "CI 0.488 to 0.574). No setting is selected."),
        (unselected("at_chance", of=1), [setting(skill="at_chance")],
         "Not shown to be better than chance",
         "macro AUC 0.531 (95% CI 0.488 to 0.574)",
         "The setting is not shown to be better than chance: macro AUC 0.531 (95% CI 0.488 to "
         "0.574). No setting is selected."),
        (unselected("at_chance", (0.7, 0.6, 0.8)), [setting(skill="at_chance"), setting("B")],
         "No setting is selected",
         "A, the best on validation, is not shown to be better than chance on test",
         "No setting is selected: A, the best on validation, is not shown to be better than chance "
         "on test. The highest macro AUC on test is 0.700 (95% CI 0.600 to 0.800); test metrics "
         "must not select."),
        (unselected("too_few"), [setting(skill="not_known")], "Too few test images",
         "the highest macro AUC is 0.531 (95% CI 0.488 to 0.574)",
         "No setting is selected: there are too few test images to tell whether a setting is "
         "better than chance."),
        (unselected("at_chance", (None, None, None)), [setting(skill="not_known")],
         "No setting is selected", "macro AUC is undefined",
         "No setting is selected: macro AUC is undefined."),
        (unselected("constant"),
         [setting(skill="at_chance", seeds=(0,), constant={"A,stratified,0": "normal"})],
         "Constant predictor", "all 562 test images are predicted normal",
         "Constant predictor: all 562 test images are predicted normal. No setting is selected."),
        (unselected("no_val", split="random (val is test)"),
         [setting(split="random (val is test)", skill="above_chance")], "No setting is selected",
         "validation and test are the same images",
         "No setting is selected: validation and test are the same images."),
        (unselected("no_val"), [setting()], "No setting is selected",
         "no setting has a macro AUC on a separate validation partition",
         "No setting is selected: no setting has a macro AUC on a separate validation partition."),
    ],
)  # fmt: skip
def test_split_without_a_selected_setting(one, rows, headline, aside, sentence):
    (column,) = findings(summary(*rows, selected=None, unselected=[one]))
    assert (column.setting, column.headline, column.beside) == (None, headline, aside)
    assert column.sentence == sentence


def test_setting_that_is_constant_on_validation_alone():
    of = summary(setting(), selected=None, unselected=[unselected("constant")])
    assert findings(of)[0].sentence == (
        "No setting is selected: each setting predicts one class for all validation images."
    )


@pytest.mark.parametrize("reason", ["at_chance", "constant", "no_val"])
def test_nothing_is_concluded_without_a_selected_setting(reason):
    """The best macro AUC is shown beside chance; everything else has no verdict."""
    row = setting(
        skill="at_chance", gradcam=maps(), shortcuts={"lesion_masked": variant(est(*AUC))}
    )
    of = summary(row, selected=None, unselected=[unselected(reason)])
    (column,) = findings(of)
    verdicts = {one.key: one.verdict for one in column.findings}
    expected = dict.fromkeys((question.key for question in QUESTIONS), "not_assessed")
    if reason == "at_chance":
        expected["references"] = "refuted"
    assert verdicts == expected
    for section in ("centers", "focus", "errors", "attention", "options"):
        assert written(of, section) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"skill": "at_chance"}, "it is not shown to be better than chance"),
        (
            {"skill": "not_known"},
            "there are too few test images to tell whether it is better than chance",
        ),
        ({"skill": "not_known", "auc": (None, None, None)}, "macro AUC is undefined on test"),
        ({"constant": {"A,stratified,0": "normal"}, "seeds": (0,)}, "it is a constant predictor"),
    ],
)
def test_nothing_is_concluded_about_a_selected_setting_at_chance(changes, reason):
    """A summary selects no such setting; the sentences do not rely on that."""
    row = setting(gradcam=maps(), shortcuts={"lesion_masked": variant(est(*AUC))}, **changes)
    of = summary(row)
    (column,) = findings(of)
    assert {one.sentence for one in column.findings} == {f"Not assessed: {reason}."}
    assert written(of, "attention") == ()


def test_setting_with_one_constant_seed_is_assessed():
    row = setting(constant={"A,stratified,0": "normal"})
    assert finding(summary(row), "references").short == "Better than chance"


@pytest.mark.parametrize(("low", "is_more"), [(0.5, False), (0.51, True)])
def test_interval_that_begins_at_chance_is_not_above_it(low, is_more):
    masked = {"lesion_masked": variant(est(0.6, low, 0.7))}
    (found,) = written(summary(setting(shortcuts=masked)), "attention")
    assert ("so the model uses more than the lesion" in found.text) == is_more


@pytest.mark.parametrize(
    ("values", "further", "ends"),
    [
        ((0.893, 0.873, 0.912), (0.4,), (0.4, 0.95)),
        ((0.25, 0.2, 0.3), (), (0.2, 0.3)),  # a value on a step needs no further step
        ((-0.01, -0.06, 0.04), (0.0,), (-0.1, 0.05)),
        ((0.5, None, None), (), (0.5, 0.55)),
    ],
)
def test_axis_holds_each_mark_between_multiples_of_a_step(values, further, ends):
    assert axis([mark(est(*values), "seen")], *further) == ends


def test_column_of_a_selected_setting():
    centers = {name: setting().per_center["1"] for name in ("2", "3")}
    rows = [setting(split="center", per_center=centers), setting(), setting("B")]
    unseen_last = findings(summary(*rows))
    assert [one.split for one in unseen_last] == ["stratified", "center"]
    seen, unseen = unseen_last
    assert (seen.setting, seen.headline) == ("A", "0.893")
    assert seen.beside == "macro AUC, 95% CI 0.873 to 0.912"
    assert (seen.about, unseen.about) == (
        "562 test images", "centers 2, 3 held out · 562 test images",
    )  # fmt: skip
    assert [one.key for one in seen.findings] == [question.key for question in QUESTIONS]
    assert seen.sentence.startswith(
        "It has the highest macro AUC on validation (0.910) of 2 settings. On 562 test images: "
        "macro AUC 0.893 (95% CI 0.873 to 0.912)"
    )
    assert unseen.sentence.startswith(
        "Its macro AUC on validation is 0.910; it is the only setting."
    )


def runs(**states):
    return tuple(
        SummaryRow(f"{state}{number}", state) for state in states for number in range(states[state])
    )


@pytest.mark.parametrize(
    ("rows", "there", "sentence"),
    [
        ([setting()], runs(complete=60), None),
        ([setting(seeds=(0, 1), planned=3), setting("B", seeds=(0, 1), planned=3)],
         runs(complete=57, failed=1, running=1, missing=1),
         "57 of 60 runs are complete; 2 settings have 2 of 3 seeds."),
        ([setting(seeds=(0,), planned=3), setting("B", seeds=(0, 1), planned=3)],
         runs(complete=3, failed=3),
         "3 of 6 runs are complete; 1 setting has 1 of 3 seeds; 1 setting has 2 of 3 seeds."),
        ([], runs(failed=1), "0 of 1 run is complete."),
    ],
)  # fmt: skip
def test_incomplete_sweep(rows, there, sentence):
    assert completeness(summary(*rows, runs=there)) == sentence


def test_section_of_the_runs_says_what_is_missing():
    of = summary(setting(), runs=runs(complete=1, failed=1))
    assert [one.text for one in written(of, "runs")] == ["1 of 2 runs are complete."]
    assert written(summary(setting()), "runs") == ()


def test_refused_run_is_not_complete():
    there = (SummaryRow("a", "complete", error="refused: its data differ"),)
    assert completeness(summary(setting(), runs=there)) == "0 of 1 run is complete."


def test_setting_that_was_not_ranked_is_counted():
    of = summary(setting(), runs=runs(complete=1, failed=1))
    winners = (replace(of.winners[0], unranked=("B",)),)
    assert completeness(replace(of, winners=winners)) == (
        "1 of 2 runs are complete; 1 setting lacks a metric on validation and is not ranked."
    )


ONE_NETWORK = (
    "Each result is of one trained network. Add `seed=0,1,2` to draw conclusions about the setting."
)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([setting(seeds=(0,)), setting("B", seeds=(0,))],
         "The sweep compares trained networks, not settings. Add `seed=0,1,2` to compare "
         "settings."),
        ([setting(seeds=(0,))],
         ONE_NETWORK),
        ([setting(seeds=(0,)), setting(split="center", seeds=(0,))],
         ONE_NETWORK),
        ([setting(seeds=(0,)), setting("B")], None),
        ([], None),
    ],
)  # fmt: skip
def test_single_seeds(rows, sentence):
    assert one_seed(summary(*rows)) == sentence


@pytest.mark.parametrize(
    ("row", "tag"),
    [
        (setting(), ""),
        (setting(skill="not_known"), "too few test images to tell if better than chance"),
        (setting(skill="at_chance"), "not shown to be better than chance"),
        (setting(skill="at_chance", seeds=(0,), constant={"a": "normal"}),
         "constant: every image “normal”"),
        (setting(constant={"a": "normal"}), "constant: every image “normal” (1 of 3 seeds)"),
    ],
)  # fmt: skip
def test_tag_of_a_setting(row, tag):
    assert tag_of(row) == tag


def contrast(*differences, pooled=None, peak=None, control=False, strategy="stratified"):
    """What `guided` changes, over pairs of backbones."""
    pairs = tuple(
        OptionPair(f"guided{place}", f"none{place}", f"backbone {place}", one, peak)
        for place, one in enumerate(differences)
    )
    return OptionContrast("annotations", "guided", "none", strategy, strategy, control, pairs,
                          pooled, peak)  # fmt: skip


RAISED = judged("better", 0.038, 0.012, 0.064)
LOWERED = judged("worse", -0.015, -0.019, -0.011, within=True, tests=1)
PAIR = "This is one pair of settings: backbone 0."
AGAINST = "compared with annotations=none at seen centers (stratified)"


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (contrast(RAISED, RAISED, RAISED, pooled=RAISED),
         "annotations=guided raises macro AUC by 0.038 (simultaneous 95% CI 0.012 to 0.064) "
         f"{AGAINST}. This is the mean over 3 pairs of settings: backbone 0, backbone 1 and "
         "backbone 2."),
        (contrast(LOWERED, strategy="center"),
         "annotations=guided lowers macro AUC by 0.015 (95% CI 0.011 to 0.019) compared with "
         f"annotations=none at unseen centers (center), by less than 0.02. {PAIR}"),
        (contrast(ALIKE, control=True),
         f"The control annotations=guided makes no difference above 0.02 in macro AUC {AGAINST}: "
         f"+0.001 (simultaneous 95% CI −0.012 to 0.014). {PAIR}"),
        (contrast(UNCLEAR, control=True, peak=judged("not_enough_data", 0.01, -0.004, 0.024)),
         "Not enough data to tell whether the control annotations=guided changes macro AUC "
         f"{AGAINST}: −0.031 (simultaneous 95% CI −0.097 to 0.035). A difference of 0.094 would "
         f"have been found with 80% power. {PAIR} Not enough data to tell whether the Grad-CAM "
         "maximum is on the lesion more often: 1 percentage point more (simultaneous 95% CI 0 to "
         "2)."),
        (contrast(UNCLEAR),
         f"Not enough data to tell whether annotations=guided changes macro AUC {AGAINST}: −0.031 "
         "(simultaneous 95% CI −0.097 to 0.035). A difference of 0.094 would have been found with "
         f"80% power. {PAIR}"),
        (contrast(UNTESTED), f"Not tested: annotations=guided {AGAINST}. {PAIR}"),
        (contrast(RAISED, peak=judged("better", 0.12, 0.05, 0.19)),
         "annotations=guided raises macro AUC by 0.038 (simultaneous 95% CI 0.012 to 0.064) "
         f"{AGAINST}. {PAIR} The Grad-CAM maximum is on the lesion in 12 percentage points "
         "(simultaneous 95% CI 5 to 19) more of the test tumours."),
        (contrast(UNTESTED, peak=judged("not_enough_data", -0.03, -0.1, 0.04)),
         f"Not tested: annotations=guided {AGAINST}. {PAIR} Not enough data to tell whether the "
         "Grad-CAM maximum is on the lesion more often: 3 percentage points fewer (simultaneous "
         "95% CI −4 to 10)."),
    ],
)  # fmt: skip
def test_options(one, sentence):
    rows = [setting(name, split=one.split) for pair in one.pairs for name in (pair.one, pair.other)]
    (found,) = option_sentences(summary(*rows, options=(one,)))
    assert found.text == sentence
    assert found.about == f"annotations: guided − none, {one.split}"


def test_shared_value_none_has_the_name_of_its_option():
    one = contrast(RAISED)
    pair = replace(one.pairs[0], context="resnet50, none")
    rows = [setting("guided0"), setting("none0")]
    (found,) = option_sentences(summary(*rows, options=(replace(one, pairs=(pair,)),)))
    assert found.text.endswith("This is one pair of settings: resnet50, annotations=none.")


def test_option_of_a_setting_at_chance_is_not_assessed():
    rows = [setting("guided0", skill="at_chance"), setting("none0")]
    (found,) = option_sentences(summary(*rows, options=(contrast(RAISED),)))
    assert found.text == "Not assessed: guided0 is not shown to be better than chance."


def test_small_differences_are_not_written_as_zero():
    row = setting("B", difference=judged("worse", -0.0004, -0.0007, -0.0001, tests=1))
    text = finding(summary(setting(), row), "others").sentence
    assert text == "Significantly better than B, by 0.0004 (95% CI 0.0001 to 0.001)."


def test_undefined_metric_is_written_as_not_known():
    row = setting(auc=(None, None, None), skill="not_known")
    (column,) = findings(summary(row))
    assert (column.headline, column.beside) == ("not known", "macro AUC")
    found = replace(setting(), calibration_slope=UNDEFINED, clinical=clinical((None, None, None)))
    assert finding(summary(found), "calibration").sentence == "Not computed: ECE is undefined."


def test_only_the_settings_that_predict_several_classes_took_part_in_the_selection():
    rows = [setting(), setting("flat", constant={"flat,stratified,0": "normal"})]
    found = summary(*rows)
    (column,) = findings(replace(found, winners=(replace(found.winners[0], of=1),)))
    assert column.sentence.startswith(
        "Its macro AUC on validation is 0.910; it is the only setting that predicts more than one "
        "class there."
    )


def test_best_setting_on_test_is_not_shown_as_at_chance_if_it_is_not():
    rows = [setting(skill="at_chance"), setting("B")]
    one = unselected("at_chance", (0.7, 0.6, 0.8))
    (column,) = findings(summary(*rows, selected=None, unselected=[one]))
    (found,) = (one for one in column.findings if one.key == "references")
    assert (found.verdict, found.plot) == ("not_assessed", None)


def test_seeds_that_predict_different_single_classes_are_listed():
    constant = {"A,stratified,0": "benign", "A,stratified,1": "malignant"}
    one = unselected("constant")
    row = setting(skill="at_chance", seeds=(0, 1), constant=constant)
    (column,) = findings(summary(row, selected=None, unselected=[one]))
    assert column.headline == "Constant predictors"
    assert column.beside.endswith("one class for all 562 test images (benign or malignant)")
    assert tag_of(row, "A,stratified,0") == "constant: every image “benign”"


def test_gap_of_zero_is_assessed():
    none = gap("no_loss", 0.0, -0.01, 0.01)
    (column,) = findings(summary(setting(), generalisation_gap=(none,)))
    (found,) = (one for one in column.findings if one.key == "centers")
    assert found.short == "No loss above 0.02"
