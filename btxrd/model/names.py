"""Check names of timm models and weights, and list timm's attention modules."""

import difflib

import timm
from timm.models import get_pretrained_cfg

from btxrd.config.choices import choices_of
from btxrd.errors import InputError

ATTENTION = (
    "se", "ese", "eca", "ecam", "ceca", "ge", "gc", "gca", "cbam", "lcbam", "coord", "scoord",
    "ela", "strip", "lambda", "bottleneck", "halo", "nl", "bat",
)  # fmt: skip


def check_name(name: str) -> None:
    """Check that timm has a model, and the weights that its name may request after a dot.

    Raises:
        InputError: If timm does not have them. Models of other hubs and local folders are refused.
    """
    architecture, dot, _ = name.partition(".")
    if not timm.is_model(architecture):
        close = _nearest(architecture.split("/")[-1].lower())
        hint = f"did you mean {' or '.join(close)}?" if close else "see timm.list_models()"
        raise InputError(f"model.backbone={name}: timm has no such model; {hint}")
    known = timm.list_pretrained(f"{architecture}.*")
    if dot and name not in known:
        hint = f"choose one of {', '.join(known)}" if known else "it has none for this model"
        raise InputError(f"model.backbone={name}: timm has no such weights; {hint}")


def _nearest(name: str) -> list[str]:
    """Return up to three models with the most similar names; of equals, those in conf/ first."""
    found = difflib.get_close_matches(name, timm.list_models(), 50, 0.7)
    ours = choices_of("model")
    ratio = {one: difflib.SequenceMatcher(None, one, name).ratio() for one in found}
    return sorted(found, key=lambda one: (-ratio[one], one not in ours, one))[:3]


def is_built_for_one_size(name: str) -> bool:
    """Return whether a model must be built for a certain image size."""
    config = get_pretrained_cfg(name)
    return config is not None and bool(config.fixed_input_size)
