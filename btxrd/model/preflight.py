"""Check, before any run, that models can be built, initialised and used as configured."""

import contextlib
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from btxrd import __version__
from btxrd.config.schema import ModelConfig
from btxrd.errors import InputError, describe_error, ran_out_of_memory
from btxrd.runtime.files import read_json, write_json

MODELS = "models.json"  # file in `data.cache`: the models that passed the check


@dataclass(frozen=True)
class Candidate:
    """A model that runs will train.

    Attributes:
        config: The `model` group of their configs.
        lesion_map: Whether the model predicts a lesion map.
        device: Device of the training; `auto` if the training is on another machine.
    """

    config: ModelConfig
    lesion_map: bool
    device: str = "auto"

    @property
    def name(self) -> str:
        """Hash of everything that the result of the check depends on."""
        content = asdict(self) | {name: version(name) for name in ("torch", "timm")}
        content["btxrd"] = __version__
        if self.config.weights is not None:
            with contextlib.suppress(OSError):
                state = Path(self.config.weights).stat()
                content["weights"] = [state.st_size, state.st_mtime_ns]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Checked:
    """Result of the check of a model.

    Attributes:
        fault: What is wrong with the model, None if nothing is.
        size: Size of its weights in bytes; 0 if unknown.
    """

    fault: str | None = None
    size: int = 0


def check_models(models: Sequence[Candidate], cache: Path) -> list[Checked]:
    """Check each model in a separate process, so that planning a sweep does not load torch.

    Models that passed before are not checked again.

    Args:
        models: Models that runs will train.
        cache: Folder of the file that lists the models that passed.
    """
    index = cache / MODELS
    try:
        known = {name: Checked(size=int(size)) for name, size in read_json(index).items()}
    except (OSError, ValueError, TypeError, AttributeError, InputError):
        known = {}
    asked = [model for model in models if model.name not in known]
    if asked:
        found = dict(zip((model.name for model in asked), _ask(asked), strict=True))
        known |= found
        passed = {name: it.size for name, it in sorted(known.items()) if it.fault is None}
        with contextlib.suppress(OSError, InputError):  # the file only saves time
            write_json(index, passed)
    return [known[model.name] for model in models]


def _ask(models: list[Candidate]) -> list[Checked]:
    command = [sys.executable, "-m", "btxrd.model.preflight"]
    done = subprocess.run(command, input=pickle.dumps(models), capture_output=True)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        fault = f"model: cannot be checked; exit status {done.returncode} ({last})"
        return [Checked(fault)] * len(models)
    return [Checked(**found) for found in json.loads(done.stdout)]


def check_here(models: Sequence[Candidate]) -> list[Checked]:
    """Check models in this process.

    Models whose weights cannot be downloaded for the same reason share one message.
    """
    from btxrd.model.hub import UnavailableError, describe_unavailable

    found = [_check(model) for model in models]
    unavailable: dict[str, list[str]] = {}
    for error in found:
        if isinstance(error, UnavailableError):
            unavailable.setdefault(error.reason, []).append(error.backbone)

    def describe(error: InputError) -> str:
        if not isinstance(error, UnavailableError):
            return str(error)
        names = list(dict.fromkeys(unavailable[error.reason]))
        return describe_unavailable(names, error.reason)

    return [Checked(describe(it)) if isinstance(it, InputError) else it for it in found]


def _check(model: Candidate) -> Checked | InputError:
    from btxrd.model.factory import create_model
    from btxrd.model.fit import check_fit, without_draws
    from btxrd.runtime.device import choose_device

    settings = {key: value for key, value in asdict(model.config).items() if key != "_target_"}
    try:
        choose_device(model.device)
        with without_draws():
            built = create_model(**settings, num_classes=3, lesion_map=model.lesion_map)
        check_fit(built, model.config.image_size)
    except InputError as error:
        return error
    except Exception as error:  # any exception here would end the run too
        name = f"model.backbone={model.config.backbone}"
        reason = (
            describe_error(error) if ran_out_of_memory(error) else f"cannot be used ({error!r})"
        )
        return InputError(f"{name}: {reason}")
    return Checked(size=sum(tensor.nbytes for tensor in built.state_dict().values()))


def main() -> None:
    """Check the models on stdin, and write the results to stdout as JSON."""
    models: list[Candidate] = pickle.load(sys.stdin.buffer)
    stdout, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump([asdict(found) for found in check_here(models)], stdout)


if __name__ == "__main__":
    from btxrd.model.preflight import main as imported_main  # the module that `Candidate` is of

    imported_main()
