"""Exports of a report: the settings as CSV and LaTeX, and a description of the methods."""

import csv
import io
import re
from collections.abc import Callable, Sequence

from btxrd import __version__
from btxrd.artifacts.scores.estimates import Estimate
from btxrd.artifacts.summary import Summary
from btxrd.config.schema import Config, SplitConfig, TrainingConfig
from btxrd.evaluation.bootstrap import RESAMPLES
from btxrd.evaluation.selection import SENSITIVITY
from btxrd.report.columns import columns_of
from btxrd.report.runs import Run, ScoredRun
from btxrd.report.sentences.wording import in_words

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def settings_csv(summary: Summary) -> str:
    """Return the headline metrics of each setting with their 95% intervals, as CSV."""
    columns = columns_of(row.class_names for row in summary.settings)
    heads = [name + end for name in (one.key for one in columns) for end in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if summary.synthetic:
        writer.writerow([f"# {summary.synthetic}"])
    writer.writerow(["setting", "split", "seeds", "n_test", *heads])
    for row in summary.settings:
        cells: list[object] = []
        for column in columns:
            found = row.metric(column.key) or Estimate(None, None, None)
            ends = (found.value, found.low, found.high)
            cells += ["" if end is None else f"{end:.6g}" for end in ends]
        seeds = " ".join(map(str, row.seeds))
        writer.writerow([row.setting, row.split, seeds, row.n_test, *cells])
    return text.getvalue()


def settings_latex(summary: Summary) -> str:
    """Return macro AUC and accuracy of each setting with their intervals, as a LaTeX table."""
    names = ("macro_auc", "accuracy")
    lines = [r"\begin{tabular}{llrll}", r"\hline"]
    lines.append(r"Setting & Split & Seeds & Macro AUC (95\% CI) & Accuracy (95\% CI) \\ \hline")
    for row in summary.settings:
        cells = [row.setting, row.split, str(len(row.seeds))]
        cells += [_figure(row.metric(name)) for name in names]
        lines.append(" & ".join(map(escaped, cells)) + r" \\")
    lines += [r"\hline", r"\end{tabular}"]
    if summary.synthetic:
        lines.insert(0, f"% {summary.synthetic}")
        lines.append(escaped(summary.synthetic))
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return a text with the special characters of LaTeX escaped."""
    return re.sub(r"[\\&%$#_{}~^]", lambda found: LATEX[found[0]], text)


def _figure(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return "not computed"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def methods(summary: Summary, runs: Sequence[Run]) -> list[str]:
    """Return a description of the methods, from the configs of the scored runs.

    Returns:
        A paragraph on the data, one on the training and one on the statistics; empty without a
        scored run.
    """
    scored = [run for run in runs if isinstance(run, ScoredRun)]
    if not scored:
        return []
    configs = [run.config.config for run in scored]
    return [_data(summary, scored, configs), _training(configs), _statistics(summary, scored)]


def _each(configs: Sequence[Config], get: Callable[[Config], object]) -> str:
    """Return the distinct values of a key, sorted and joined."""
    return in_words(sorted({f"{get(config)}" for config in configs}))


def _number(configs: Sequence[Config], get: Callable[[Config], object], one: str, many: str) -> str:
    """Return the verb and noun for one distinct value of a key, or for many."""
    return one if len({f"{get(config)}" for config in configs}) == 1 else many


def _data(summary: Summary, runs: Sequence[ScoredRun], configs: Sequence[Config]) -> str:
    phantoms = {config.data.phantom.cases for config in configs if config.data.phantom}
    source = f"the radiographs of {_each(configs, lambda one: one.data.root)}"
    if phantoms:
        source = f"synthetic radiographs ({in_words(sorted(map(str, phantoms)))} cases)"
    classes = in_words(sorted({in_words(run.metrics.classes) for run in runs}))
    size = _each(configs, lambda one: one.model.image_size)
    text = (
        f"Models were trained on {source} to distinguish the classes {classes}. Images were "
        f"resized to {size} pixels along each side."
    )
    if any(config.data.clahe_clip for config in configs):
        clip = _each(configs, lambda one: f"{one.data.clahe_clip:g}")
        text += f" Their contrast was enhanced by CLAHE with a clip limit of {clip}."
    splits = {config.split.title: config.split for config in configs}
    text += "".join(f" Split {title}: {_split(split)}." for title, split in splits.items())
    if all(config.split.groups == "whole" for config in configs):
        text += " Each group of likely patients and near-duplicates was kept in one partition."
    mark = f" {summary.synthetic}" if summary.synthetic else ""
    return text + mark


def _split(split: SplitConfig) -> str:
    rest = f"{split.val:.0%} of the other cases were used for validation"
    return {
        "stratified": f"{split.test:.0%} of the cases were used for testing and {split.val:.0%} "
        "for validation, stratified by class and center",
        "center": f"{_centers(split.held_out)} held out for testing, and {rest}",
        "leave_one_center_out": f"center {split.test_center} was held out for testing, and {rest}",
        "kfold": f"fold {split.fold} of {split.folds} was used for testing, and {rest}",
        "random": f"{split.test:.0%} of the cases were drawn at random and used for both "
        "validation and testing",
        "manifest": "the partitions were given in a file",
    }[split.strategy]


def _centers(held_out: Sequence[int]) -> str:
    noun, verb = ("center", "was") if len(held_out) == 1 else ("centers", "were")
    return f"{noun} {in_words([str(one) for one in held_out])} {verb}"


def _training(configs: Sequence[Config]) -> str:
    recipes = [config.training for config in configs]

    def every(get: Callable[[TrainingConfig], object]) -> str:
        return in_words(list(dict.fromkeys(f"{get(one)}" for one in recipes)))

    backbones = _each(configs, lambda one: one.model.backbone)
    outlines = _each(configs, lambda one: one.annotations.title)
    start = _number(
        configs, lambda one: one.model.backbone, "The backbone was", "The backbones were"
    )
    seeds = _number(configs, lambda one: one.seed, "The random seed was", "The random seeds were")
    return (
        f"{start} {backbones}. The option annotations, which sets the use of lesion outlines in "
        f"training, was {outlines}. Training used AdamW with a peak learning rate of "
        f"{every(lambda one: f'{one.lr:g}')}, a weight decay of "
        f"{every(lambda one: f'{one.weight_decay:g}')}, a batch size of "
        f"{every(lambda one: one.batch_size)}, and at most {every(lambda one: one.epochs)} epochs, "
        f"of which {every(lambda one: one.warmup_epochs)} were for warm-up. It stopped early after "
        f"{every(lambda one: one.patience)} epochs without a lower validation loss. The weights of "
        f"the epoch with the lowest validation loss were used. {seeds} "
        f"{_each(configs, lambda one: one.seed)}."
    )


def _statistics(summary: Summary, runs: Sequence[ScoredRun]) -> str:
    focus = in_words(sorted({run.metrics.focus for run in runs}))
    versions = sorted(
        {str((run.status.versions or {}).get("btxrd") or __version__) for run in runs if run.status}
    )
    used = in_words(versions or [__version__])
    calibration = (
        "For the results on calibration, probabilities were scaled by a temperature fitted on "
        "validation. The operating point is the highest threshold that finds at least "
        f"{SENSITIVITY:.0%} of the {focus} images on validation. "
    )
    if all(run.metrics.clinical is None for run in runs):
        calibration = ""
    return (
        f"A setting was selected by the rule “{summary.selection_rule}”. 95% confidence intervals "
        f"of metrics are percentiles of {RESAMPLES:,} bootstrap resamples of groups of likely "
        "patients and near-duplicates. The intervals of the differences from the selected setting "
        "are simultaneous (max-t). Macro AUC is the mean one-vs-rest area under the ROC curve. "
        f"{calibration}Differences in macro AUC below {summary.margin:g} were considered too small "
        f"to matter. The analysis used btxrd {used}."
    )
