"""The main findings about each split, and the sentences of the report, from a summary alone.

The pages and the terminal take their conclusions from these functions:

- `findings(summary)` returns a column for each split, with one finding for each question of
  `QUESTIONS`. The columns of seen centers come first. A column without a selected setting has a
  headline with the reason, and its findings are `not_assessed`, except for a comparison of the best
  macro AUC with chance.
- `written(summary, section)` returns the `Statement`s of a section. `section` is the anchor of a
  `Question` (`settings`, `centers`, `focus`, `errors`, `attention`), `options` or `runs`.
- `completeness(summary)` returns the sentence on missing runs; None if there are none.
- `one_seed(summary)` returns the caveat about single seeds; None if it does not apply.
- `tag_of(row)` returns the tag of a setting that is not above chance; it may be empty.
- `option_sentences(summary)` returns a `Statement` for each of `summary.options`, in this order.
"""

from btxrd.artifacts.evidence.comparison import SettingRow
from btxrd.artifacts.evidence.verdicts import Unselected
from btxrd.artifacts.summary import Summary
from btxrd.report.generalisation import UNSEEN
from btxrd.report.sentences.attention import find_localisation, of_masking
from btxrd.report.sentences.centers import find_centers
from btxrd.report.sentences.failures import find_failures
from btxrd.report.sentences.finding import QUESTIONS as QUESTIONS
from btxrd.report.sentences.finding import Finding as Finding
from btxrd.report.sentences.finding import IntervalPlot as IntervalPlot
from btxrd.report.sentences.finding import Mark as Mark
from btxrd.report.sentences.finding import MarkKind as MarkKind
from btxrd.report.sentences.finding import Question as Question
from btxrd.report.sentences.finding import SplitFindings as SplitFindings
from btxrd.report.sentences.finding import Statement as Statement
from btxrd.report.sentences.finding import Verdict as Verdict
from btxrd.report.sentences.focus import find_calibration, find_focus
from btxrd.report.sentences.options import option_sentences as option_sentences
from btxrd.report.sentences.others import find_others
from btxrd.report.sentences.references import find_references
from btxrd.report.sentences.selected import (
    CHANCE,
    Selected,
    axis,
    chance_reason,
    mark,
    not_assessed,
    selected_settings,
)
from btxrd.report.sentences.sweep import completeness as completeness
from btxrd.report.sentences.sweep import one_seed as one_seed
from btxrd.report.sentences.sweep import tag_of as tag_of
from btxrd.report.sentences.sweep import unselected_headline
from btxrd.report.sentences.wording import count, figure, format_estimate, format_interval, in_words

FIND = {
    "others": find_others,
    "references": find_references,
    "centers": find_centers,
    "focus": find_focus,
    "failures": find_failures,
    "localisation": find_localisation,
    "calibration": find_calibration,
}  # function by the key of the question
SHORT_REASONS = {
    "above_chance": "constant predictor",
    "at_chance": "not shown to be better than chance",
    "not_known": "too few test images",
}  # reason why nothing is concluded, by the skill of the setting


def findings(summary: Summary) -> tuple[SplitFindings, ...]:
    """Return a column of findings for each split, those of seen centers first."""
    columns = [_of_selected(one) for one in selected_settings(summary)]
    columns += [_of_unselected(one, summary) for one in summary.unselected]
    order = {row.split: place for place, row in reversed(list(enumerate(summary.settings)))}
    return tuple(sorted(columns, key=lambda one: (one.is_unseen, order.get(one.split, len(order)))))


def _of_selected(selected: Selected) -> SplitFindings:
    row, auc = selected.row, selected.row.compared["macro_auc"]
    reason, short = chance_reason(row), SHORT_REASONS[row.skill]
    ends = format_interval(auc)
    return SplitFindings(
        split=row.split,
        split_hash=selected.winner.split_hash,
        is_unseen=selected.is_unseen,
        about=_about(row),
        setting=row.setting,
        headline="not known" if auc.value is None else figure(auc.value),
        beside="macro AUC" if ends is None else f"macro AUC, 95% CI {ends}",
        sentence=_selection(selected),
        findings=tuple(
            not_assessed(one.key, "Not assessed", f"Not assessed: {reason}.", short)
            if reason
            else FIND[one.key](selected)
            for one in QUESTIONS
        ),
    )


def _about(row: SettingRow | None) -> str:
    """Return the centers that are held out, if any, and the number of test images."""
    if row is None:
        return ""
    images = count(row.n_test, "test image")
    if row.strategy not in UNSEEN or not row.per_center:
        return images
    centers = "center" if len(row.per_center) == 1 else "centers"
    return f"{centers} {', '.join(row.per_center)} held out · {images}"


def _selection(selected: Selected) -> str:
    winner, row = selected.winner, selected.row
    shown = ", ".join(
        f"{title} {format_estimate(row.metric(name))}"
        for name, title in (("macro_auc", "macro AUC"), ("balanced_accuracy", "balanced accuracy"))
    )
    unranked = ""
    if winner.unranked:
        lack = "lacks" if len(winner.unranked) == 1 else "lack"
        unranked = f" {in_words(winner.unranked)} {lack} a metric on validation and took no part."
    val, others = figure(winner.val_macro_auc), len(selected.others) + 1 - len(winner.unranked)
    predicts = "predicts" if winner.of == 1 else "predict"
    able = f" that {predicts} more than one class there" if winner.of < others else ""
    text = f"It has the highest macro AUC on validation ({val}) of {count(winner.of, 'setting')}"
    if winner.of == 1:
        text = f"Its macro AUC on validation is {val}; it is the only setting"
    return f"{text}{able}.{unranked} On {count(row.n_test, 'test image')}: {shown}."


def _of_unselected(one: Unselected, summary: Summary) -> SplitFindings:
    rows = [row for row in summary.settings if row.split_hash == one.split_hash]
    row = next((row for row in rows if row.setting == one.setting), rows[0] if rows else None)
    headline, beside, sentence = unselected_headline(one, row)
    reason = "no setting is selected"
    if headline != "No setting is selected":
        reason = f"{headline[0].lower()}{headline[1:]}"
    found = {
        key: not_assessed(key, "Not assessed", f"Not assessed: {reason}.", reason) for key in FIND
    }
    if one.reason == "at_chance" and one.best.value is not None and (one.best.low or 0) <= CHANCE:
        found["references"] = _at_chance(one, sentence)
    return SplitFindings(
        split=one.split,
        split_hash=one.split_hash,
        is_unseen=one.strategy in UNSEEN,
        about=_about(row),
        setting=None,
        headline=headline,
        beside=beside,
        sentence=sentence,
        findings=tuple(found[question.key] for question in QUESTIONS),
    )


def _at_chance(one: Unselected, sentence: str) -> Finding:
    """Return the finding that compares the highest macro AUC of a split with chance."""
    kind: MarkKind = "unseen" if one.strategy in UNSEEN else "seen"
    best = mark(one.best, kind, "highest macro AUC")
    plot = IntervalPlot(*axis([best], 0.4, 0.6), (best,), (("chance", CHANCE),))
    beside = format_estimate(one.best, interval="")
    short = "Not shown to be better than chance"
    return Finding("references", "refuted", short, beside, sentence, plot)


def written(summary: Summary, section: str) -> tuple[Statement, ...]:
    """Return the statements of a section of the page; see the docstring of this module."""
    if section == "options":
        said = option_sentences(summary)
        return tuple(one for one in said if not one.text.startswith("Not assessed"))
    texts = []
    keys = [question.key for question in QUESTIONS if question.section == section]
    chosen = {one.winner.split_hash: one for one in selected_settings(summary)}
    for column in findings(summary):
        about = ", ".join(part for part in (column.setting, column.split) if part)
        parts = [column.sentence] if section == "settings" else []
        parts += [
            one.sentence
            for one in column.findings
            if one.key in keys and one.verdict != "not_assessed" and one.sentence not in parts
        ]
        selected = chosen.get(column.split_hash)
        if section == "attention" and selected and not chance_reason(selected.row):
            parts += of_masking(selected)
        texts += [Statement(about, part) for part in parts]
    caveat = completeness(summary) if section == "runs" else None
    return tuple([*texts, Statement("", caveat)] if caveat else texts)
