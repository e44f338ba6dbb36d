"""Whether a model works with images of a size, and sees them whole."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from btxrd.errors import InputError, ran_out_of_memory
from btxrd.model.classifier import BTXRDClassifier
from btxrd.model.names import is_built_for_one_size
from btxrd.model.pretrained import UNFIT, UnbuildableError, working_attention

SIZES = range(32, 1025)  # that a config may ask for
UNSEEN = "would not see the right and the lower edge of an image"


class without_draws(TorchFunctionMode):  # noqa: N801, a context manager
    """Fill new weights with zeros: a draw of them takes longer than all else of a model."""

    draws = frozenset({Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or fill with zeros what it would draw."""
        if func in self.draws:
            return args[0].zero_()
        return func(*args, **(kwargs or {}))


def check_fit(model: BTXRDClassifier, image_size: int) -> None:
    """Check that a model takes images of a size, sees all of them, and gives Grad-CAM a map.

    Raises:
        InputError: If not; it names the nearest sizes that fit, or the attention that works.
    """
    problem = _problem(model, image_size)
    if problem is None:
        return
    name, attention = model.arguments["backbone"], model.arguments.get("block_args")
    if (
        attention is not None
        and _problem(_like(model.arguments, block_args=None), image_size) is None
    ):
        raise InputError(
            f"model.attn_layer={attention['attn_layer']}: {name} with it {problem}; "
            + working_attention(name, image_size)
        )
    raise _refusal(model, image_size, problem)


def explain_size(arguments: dict[str, Any], error: UnbuildableError) -> InputError:
    """Return what is wrong with a model that cannot be built for images of `img_size`."""
    try:
        model = _like(arguments, img_size=None)
    except InputError:
        return error
    return _refusal(model, arguments["img_size"], "cannot be built for such images")


def _refusal(model: BTXRDClassifier, image_size: int, problem: str) -> InputError:
    name = model.arguments["backbone"]
    sides = (_candidates(model.backbone, image_size, sign) for sign in (-1, 1))
    fit = [next((size for size in side if _fits(model, size)), None) for side in sides]
    sizes = " and ".join(str(size) for size in fit if size is not None)
    if not sizes:
        return InputError(f"model.backbone={name}: {problem}, of whatever size")
    return InputError(
        f"model.image_size={image_size}: {name} {problem}; the nearest sizes that fit: {sizes}"
    )


def _problem(model: BTXRDClassifier, size: int) -> str | None:
    """Say what is wrong with images of a size, if anything is.

    A pixel that is not a number makes all logits so, if it is seen. The last one is in the last
    corner, where what does not fill a patch is cut off.
    """
    kept: list[Any] = []
    layer = model.gradcam_target_layer
    hook = layer.register_forward_hook(lambda *call: kept.append(call[-1]))
    image = torch.zeros(1, len(model.normalisation.mean), size, size, device=model.device)
    image[..., -1, -1] = torch.nan
    was_training = model.training
    try:
        with torch.no_grad():
            logits = model.eval()(image)
    except UNFIT as error:
        if ran_out_of_memory(error):
            raise
        return f"cannot take an image ({str(error).strip()[:150] or type(error).__name__})"
    finally:
        hook.remove()
        model.train(was_training)
    if not logits.isnan().any():
        return UNSEEN
    _check_map(model, layer, kept)
    return None


def _check_map(model: BTXRDClassifier, layer: nn.Module, kept: list[Any]) -> None:
    try:
        if not kept:
            raise ValueError("it is not used")
        height, width = model.gradcam_activation(kept[-1]).shape[2:]
        if height != width:
            raise ValueError(f"its output has {height} rows and {width} columns")
    except UNFIT as error:
        raise InputError(
            f"model.gradcam_layer: {type(layer).__name__} of {model.arguments['backbone']} "
            f"gives no map ({error}); name a layer whose output keeps height and width"
        ) from error


def _fits(model: BTXRDClassifier, size: int) -> bool:
    try:
        if is_built_for_one_size(model.arguments["backbone"]):
            model = _like(model.arguments, img_size=size)
        return _problem(model, size) is None
    except InputError:
        return False


def _like(arguments: dict[str, Any], **changes: Any) -> BTXRDClassifier:
    """Build a model with other arguments; None leaves one out."""
    arguments = {k: v for k, v in (arguments | changes).items() if v is not None}
    with without_draws():
        return BTXRDClassifier(**arguments, pretrained=False)


def _candidates(backbone: nn.Module, size: int, sign: int) -> list[int]:
    """Return sizes that may fit, from the nearest below (-1) or above (1)."""
    patches = (getattr(part, "patch_size", None) for part in backbone.modules())
    patch = next((patch for patch in patches if patch), 1)
    steps = {patch if isinstance(patch, int) else patch[0], 32}
    published = resolve_model_data_config(backbone)["input_size"][1]
    near = {size // step * step + sign * count * step for step in steps for count in range(8)}
    fit = {one for one in {*near, published} if (one - size) * sign > 0 and one in SIZES}
    return sorted(fit, reverse=sign < 0)
