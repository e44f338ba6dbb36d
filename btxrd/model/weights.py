"""Read weights from a file safely, and match them with the tensors of a backbone."""

import argparse
import hashlib
import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from btxrd.artifacts.hashes import verify_member
from btxrd.errors import InputError, ran_out_of_memory

Tensors = dict[str, Tensor]

# Keys under which training programs store weights in a checkpoint; EMA weights first, as in timm.
NESTS = (
    "state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "module", "net",
    "network", "encoder", "backbone", "teacher", "student", "target_encoder", "weights",
)  # fmt: skip
# Names of modules that contain a backbone in training programs; a prefix joins one or several.
WRAPPERS = {
    "_orig_mod", "module", "model", "net", "network", "encoder", "encoder_q", "base_encoder",
    "base_model", "online_encoder", "target_encoder", "backbone", "feature_extractor", "trunk",
    "student", "teacher", "resnet", "cnn", "vit", "n_averaged_module",
}  # fmt: skip


COUNTERS = ("num_batches_tracked", "total_ops", "total_params")  # they do not affect the logits


def read_weights(path: Path, location: str) -> tuple[Tensors, str]:
    """Read the tensors of a file, without running code that it may contain.

    Args:
        path: Path to a safetensors file, or to one that `torch.save` wrote.
        location: Name of the file in error messages, such as `model.weights=FILE`.

    Returns:
        The tensors by name, and the SHA-256 of the file.

    Raises:
        InputError: If the file cannot be read, or contains no named tensors.
    """
    if not path.is_file():
        raise InputError(f"{location}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        verify_member(path)
        content = path.read_bytes()
        found = load(content) if path.suffix == ".safetensors" else _unpickle(content)
    except InputError:  # the file belongs to a complete run and was damaged
        raise
    except OSError as error:
        raise InputError(f"{location}: cannot be read ({error.strerror})") from error
    except Exception as error:  # readers raise many types, depending on the damage
        if ran_out_of_memory(error):
            raise
        raise InputError(
            f"{location}: contains no weights that can be read safely ({_first_sentence(error)}); "
            "use a .safetensors file, or one written by torch.save(model.state_dict(), FILE)"
        ) from error
    tensors = _unwrap(found)
    if not tensors:
        names = ", ".join(map(str, list(found)[:3])) if isinstance(found, dict) else ""
        what = f"its keys are {names}" if names else f"it is a {type(found).__name__}"
        if found == {}:
            what = "it is empty"
        raise InputError(f"{location}: must be a dict of named tensors, but {what}")
    return tensors, hashlib.sha256(content).hexdigest()


def _unpickle(content: bytes) -> Any:
    """Load a file of `torch.save` that contains only tensors, plain data and argparse arguments."""
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _first_sentence(error: Exception) -> str:
    if isinstance(error, UnpicklingError) and "unsupported" in str(error).lower():
        return "it contains objects other than tensors, which could run code when loaded"
    return str(error).strip().split("\n")[0].split(". ")[0][:150] or type(error).__name__


def _unwrap(found: Any) -> Tensors:
    """Return the tensors of a state dict, which may be nested in other dicts under NESTS."""
    if not isinstance(found, dict):
        return {}
    tensors = {
        name: value.detach()
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    nested = (_unwrap(found[name]) for name in NESTS if name in found)
    return max([*nested, tensors], key=len)  # the first of the largest


def load_weights(
    backbone: nn.Module, tensors: Tensors, location: str, name: str, optional: Iterable[str] = ()
) -> tuple[int, int]:
    """Load weights into a backbone, except for its classifier.

    Args:
        backbone: A timm model.
        tensors: Tensors by name. The names may have a prefix (see WRAPPERS).
        location: Name of the file in error messages.
        name: Name of the backbone in error messages.
        optional: Names of tensors that may be missing or have another shape.

    Returns:
        The number of loaded tensors, and the number of tensors without the classifier.

    Raises:
        InputError: If a tensor that is not optional is missing, has another shape or type, or is
            not finite; or if the weights have further layers.
    """
    classifier = classifier_of(backbone)
    wanted = {
        key: value for key, value in backbone.state_dict().items() if not key.startswith(classifier)
    }
    named = max(_renamed(tensors, backbone, wanted), key=lambda one: len(_fitting(one, wanted)))
    found = _fitting(named, wanted)
    allowed = {*optional, *(key for key in wanted if key.endswith("num_batches_tracked"))}
    missing = [key for key in wanted if key not in found and key not in allowed]
    if missing:
        raise InputError(
            f"{location}: contains {len(found)} of {len(wanted)} tensors of {name} (first missing: "
            f"{missing[0]} {tuple(wanted[missing[0]].shape)}); use weights of {name}"
        )
    if further := _further(named, backbone, classifier):
        raise InputError(
            f"{location}: contains {further}, which {name} does not have; use weights of {name}"
        )
    for key, value in found.items():
        if not value.to(wanted[key].dtype).isfinite().all():
            raise InputError(f"{location}: {key} has values that are not finite; use other weights")
    backbone.load_state_dict(found, strict=False)
    return len(found), len(wanted)


def _further(tensors: Tensors, backbone: nn.Module, classifier: tuple[str, ...]) -> str | None:
    """Return the name of a tensor that the backbone lacks, such as a layer of a deeper network."""
    parts = {name for name, _ in backbone.named_children()}
    parts -= {prefix.partition(".")[0] for prefix in classifier}
    known = {*backbone.state_dict(), *(name for name, _ in backbone.named_buffers())}
    for key in tensors:
        if key.partition(".")[0] in parts and key not in known and not key.endswith(COUNTERS):
            return key
    return None


def classifier_of(backbone: nn.Module) -> tuple[str, ...]:
    """Return the prefixes of the names of the classifier's tensors."""
    config: dict[str, Any] = getattr(backbone, "pretrained_cfg", {})
    names = config.get("classifier") or ()
    names = [names] if isinstance(names, str) else list(names)
    head = backbone.get_classifier()  # type: ignore[operator]
    heads = [*head] if isinstance(head, tuple | list) else [head]
    names += [name for name, part in backbone.named_modules() if any(part is one for one in heads)]
    return tuple(f"{name}." for name in names if name)


def _fitting(tensors: Tensors, wanted: Tensors) -> Tensors:
    """Return the tensors whose name, shape and kind of number match those of `wanted`."""
    return {
        name: tensors[name]
        for name, want in wanted.items()
        if name in tensors
        and tensors[name].shape == want.shape
        and tensors[name].is_floating_point() == want.is_floating_point()
        and tensors[name].layout == torch.strided
        and not (tensors[name].is_complex() or tensors[name].is_meta or tensors[name].is_quantized)
    }


def _renamed(tensors: Tensors, backbone: nn.Module, wanted: Tensors) -> Iterator[Tensors]:
    """Yield the tensors under different names: as given, without each prefix, renamed by timm."""
    children = {str(index): name for index, (name, _) in enumerate(backbone.named_children())}
    for prefix in ["", *_prefixes(tensors)]:
        bare = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
        yield bare
        by_position = {}  # names of nn.Sequential(*model.children()), as in RadImageNet
        for key, value in bare.items():
            first, _, rest = key.partition(".")
            by_position[f"{children.get(first, first)}.{rest}"] = value
        yield by_position
        if len(_fitting(bare, wanted)) < len(wanted):
            yield _remapped(bare, backbone)


def _prefixes(tensors: Tensors) -> list[str]:
    """Return the prefixes of WRAPPERS that occur, those of a student network last."""
    found = set()
    for key in tensors:
        prefix = ""
        for part in key.split(".")[:-1]:
            if part not in WRAPPERS:
                break
            prefix += f"{part}."
            found.add(prefix)
    return sorted(found, key=lambda prefix: ("student" in prefix, len(prefix), prefix))


def _remapped(tensors: Tensors, backbone: nn.Module) -> Tensors:
    """Rename and resize tensors as timm does for published files; nothing if timm cannot."""
    module = sys.modules[type(backbone).__module__]
    remap = getattr(module, "checkpoint_filter_fn", getattr(module, "_filter_fn", None))
    if remap is None:
        return {}
    try:
        found: Tensors = remap(dict(tensors), backbone)
    except Exception as error:  # these are tensors of another model
        if ran_out_of_memory(error):
            raise
        return {}
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}
