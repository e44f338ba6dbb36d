"""What a reader wants to know first, in sentences, from the content of summary.json."""

from dataclasses import dataclass
from typing import Any

GOOD, BAD, OPEN = "good", "bad", "open"
AT_CHANCE = 0.5  # macro AUC
TOLERATED = 0.1  # of macro AUC, that may hide in an interval where it is said that nothing is


@dataclass(frozen=True)
class Answer:
    """One sentence or a few to a question.

    Attributes:
        question: as it was asked.
        verdict: GOOD, BAD or OPEN, where neither can be said.
        short: the verdict in a few words.
        text: with the figures.
    """

    question: str
    verdict: str
    short: str
    text: str


def answers(content: dict[str, Any]) -> list[tuple[str, list[Answer]]]:
    """Answer for the winner of each split: its title, and the answers."""
    found = []
    for winner in content["winners"]:
        (row,) = (row for row in content["settings"] if winner["run"] in row["runs"])
        asked = (
            _which(winner, row),
            _how_sure(row, content["comparisons"]),
            _elsewhere(row, content["generalisation_gap"]),
            _looks(row),
            _shortcuts(row),
            _missed(row),
        )
        found.append((winner["split"], list(asked)))
    return found


def said(figure: dict[str, Any] | None, *, percent: bool = False) -> str:
    """A figure with its interval."""
    if figure is None or figure["value"] is None:
        return "not known"

    def show(value: float) -> str:
        return f"{value:.0%}" if percent else f"{value:.3f}"

    if figure["low"] is None:
        return show(figure["value"])
    return f"{show(figure['value'])} ({show(figure['low'])} to {show(figure['high'])})"


def _which(winner: dict[str, Any], row: dict[str, Any]) -> Answer:
    left_out = _list(winner["unranked"]) if winner["unranked"] else ""
    unranked = f" (not ranked, for want of a val figure: {left_out})" if left_out else ""
    text = (
        f"It has the highest val macro AUC ({winner['val_macro_auc']:.3f}) of {winner['of']}"
        f"{unranked}. On {row['n_test']} test films: macro AUC {said(row['macro_auc'])}, "
        f"accuracy {said(row['accuracy'])}, balanced accuracy {said(row['balanced_accuracy'])}."
    )
    return Answer("Which model?", OPEN, winner["setting"], text)


def _how_sure(row: dict[str, Any], comparisons: list[dict[str, Any]]) -> Answer:
    """Told by the sets of macro AUC."""
    first = row["runs"][0]
    mine = [pair for pair in comparisons if first in pair["runs"]]
    alike: list[str] = []
    better: list[str] = []
    worse: list[str] = []
    for pair in mine:
        is_one = pair["runs"][0] == first
        other, difference = pair["other" if is_one else "one"], pair["macro_auc"]
        ahead = (difference["value"] or 0) * (1 if is_one else -1)
        place = alike if not difference["apart"] else (worse if ahead > 0 else better)
        place.append(other)
    parts = []
    if worse:
        parts.append(f"Better on test than {_list(worse)}.")
    if better:
        parts.append(f"Worse on test than {_list(better)}.")
    if alike:
        parts.append(f"Not to be told apart from {_list(alike)}.")
    if not mine:
        parts.append("Nothing was tested on the same films to compare it with.")
    if len(row["seeds"]) == 1:
        parts.append(
            "One seed: this is said of one trained network. Add seed=0,1,2 to speak of the setting."
        )
    elif row["macro_auc"]["sd"] is not None:
        sd = row["macro_auc"]["sd"]
        parts.append(f"{len(row['seeds'])} seeds; another moves its macro AUC by {sd:.3f} (sd).")
    if better:
        return Answer("How sure?", BAD, "another is better on test", " ".join(parts))
    if alike or not mine:
        short = f"one of {len(alike) + 1} that cannot be told apart" if alike else "alone"
        return Answer("How sure?", OPEN, short, " ".join(parts))
    return Answer("How sure?", GOOD, "told apart from all others", " ".join(parts))


def _elsewhere(row: dict[str, Any], gaps: list[dict[str, Any]]) -> Answer:
    question = "Does it hold at an unseen center?"
    mine = [gap for gap in gaps if set(gap["runs"]) & set(row["runs"])]
    if not mine:
        return Answer(question, OPEN, "not known", "Run it with split=stratified,center to see.")
    worst = max(mine, key=lambda gap: gap["macro_auc"]["gap"]["value"] or 0)
    found = worst["macro_auc"]
    gap, image = found["gap"], found["image"]
    if gap["low"] is None:
        return Answer(question, OPEN, "not known", "A class is absent.")
    text = (
        f"Macro AUC is {found['seen']:.3f} at centers it was trained on and "
        f"{found['unseen']:.3f} at others ({worst['split']}): a gap of {said(gap)}, of which "
        f"{said(image)} is left where each class weighs the same."
    )
    if len(mine) > 1:
        text += f" That is the largest of {len(mine)} gaps."
    if gap["low"] > 0:
        return Answer(question, BAD, f"no: it loses {gap['value']:.2f}", text)
    if gap["high"] < 0:
        return Answer(question, GOOD, "yes", text)
    return Answer(question, OPEN, "no loss could be shown", text)


def _looks(row: dict[str, Any]) -> Answer:
    question = "Does it look at the lesion?"
    found = (row["looks"] or {}).get("all")
    if found is None or found["peak_inside"]["value"] is None:
        return Answer(
            question, OPEN, "not known", "No usable map of a test tumour with an outline."
        )
    peak = found["peak_inside"]
    broken = found["maps"]["empty"] + found["maps"]["saturated"]
    text = (
        f"The peak of the map lies on the lesion in {said(peak, percent=True)} of "
        f"{found['maps']['ok']:.0f} test tumours; noise would hit {peak['by_chance']:.0%}"
    )
    if peak["of_others"] is not None:
        text += f", the maps of other films {peak['of_others']:.0%}"
    text += f". {broken:.0f} more maps were empty or saturated."
    bar = max(peak["by_chance"], peak["of_others"] or 0)
    if peak["value"] <= bar:
        return Answer(question, BAD, "no more than chance", text)
    if peak["low"] <= bar:
        return Answer(question, OPEN, "more than chance could not be shown", text)
    if broken > found["maps"]["ok"]:
        return Answer(question, OPEN, "not known: most maps are empty or saturated", text)
    if peak["value"] < 0.5:
        return Answer(question, OPEN, f"in {peak['value']:.0%} of tumours", text)
    return Answer(question, GOOD, f"in {peak['value']:.0%} of tumours", text)


def _shortcuts(row: dict[str, Any]) -> Answer:
    question = "Does it use what is not the lesion?"
    ways = row["shortcuts"]
    if "lesion_painted_out" not in ways:
        return Answer(question, OPEN, "not known", "No test tumour has an outline.")
    lesion, border = ways["lesion_painted_out"], ways["border_painted_out"]
    text = (
        f"Macro AUC with the lesion painted out: {said(lesion['macro_auc'])}; with the border "
        f"painted out: {said(border['macro_auc'])}. Center and image size alone give "
        f"{said(ways['center_and_size']['macro_auc'])}."
    )
    if None in (border["difference"]["low"], lesion["macro_auc"]["low"]):
        return Answer(question, OPEN, "not known", "A class has no test film that can be painted.")
    if row["macro_auc"]["low"] is None or row["macro_auc"]["low"] <= AT_CHANCE:
        return Answer(question, OPEN, "not known: it is near chance on whole films", text)
    signs = []
    if border["difference"]["high"] < 0:
        signs.append("the border")
    if lesion["macro_auc"]["low"] > AT_CHANCE:
        signs.append("what surrounds the lesion (or the paint)")
    if signs:
        return Answer(question, BAD, f"yes: {' and '.join(signs)}", text)
    if (
        border["difference"]["low"] < -TOLERATED
        or lesion["macro_auc"]["high"] > AT_CHANCE + TOLERATED
    ):
        return Answer(question, OPEN, "none could be shown", text)
    return Answer(question, GOOD, "no", text)


def _missed(row: dict[str, Any]) -> Answer:
    rate = row["malignant_called_normal"]
    text = f"{said(rate, percent=True)} of the malignant films are called normal."
    point = (row["clinical"] or {}).get("operating_point")
    if point:
        sensitivity, specificity = (
            said(point["test"][name], percent=True) for name in ("sensitivity", "specificity")
        )
        text += (
            f" At the threshold that finds {point['val']['sensitivity']:.0%} of the malignant on "
            f"val, it finds {sensitivity} on test, with a specificity of {specificity}."
        )
    short = "not known" if rate["value"] is None else f"{rate['value']:.0%} called normal"
    return Answer("What of malignant tumours?", OPEN, short, text)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
