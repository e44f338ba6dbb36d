"""Whether models can be built, started and used as asked, before any of them is trained."""

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
from btxrd.runtime.files import write_json

SOUND = "models.json"  # names of the models that were found sound, in the cache of the data


@dataclass(frozen=True)
class Candidate:
    """A model that runs will train.

    Attributes:
        config: The `model` group of their configs.
        lesion_map: Whether it is to map lesions.
        device: Device that it is trained on; `auto` if that of another machine.
    """

    config: ModelConfig
    lesion_map: bool
    device: str = "auto"

    @property
    def name(self) -> str:
        """Hash of everything that the answer of `faults` depends on."""
        content = asdict(self) | {name: version(name) for name in ("torch", "timm")}
        content["btxrd"] = __version__
        if self.config.weights is not None:
            with contextlib.suppress(OSError):
                state = Path(self.config.weights).stat()
                content["weights"] = [state.st_size, state.st_mtime_ns]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def faults(models: Sequence[Candidate], cache: Path) -> list[str | None]:
    """Return what is wrong with each model, None if nothing is.

    A process of its own finds out, so that what plans a sweep loads no torch. Models that were
    sound before are not checked again.

    Args:
        models: Models that runs will train.
        cache: Folder that remembers which models are sound.
    """
    index = cache / SOUND
    try:
        sound = set(json.loads(index.read_bytes()))
    except (OSError, ValueError, TypeError):
        sound = set()
    asked = [model for model in models if model.name not in sound]
    if not asked:
        return [None] * len(models)
    found = dict(zip((model.name for model in asked), _ask(asked), strict=True))
    with contextlib.suppress(OSError, InputError):  # it only saves time
        write_json(index, sorted(sound | {name for name, fault in found.items() if not fault}))
    return [found.get(model.name) for model in models]


def _ask(models: list[Candidate]) -> list[str | None]:
    command = [sys.executable, "-m", "btxrd.model.preflight"]
    done = subprocess.run(command, input=pickle.dumps(models), capture_output=True)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        return [f"model: cannot be checked; exit status {done.returncode} ({last})"] * len(models)
    found: list[str | None] = json.loads(done.stdout)
    return found


def _fault(model: Candidate) -> str | None:
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
        return str(error)
    except Exception as error:  # of whatever kind: the run would end with it
        name = f"model.backbone={model.config.backbone}"
        reason = (
            describe_error(error) if ran_out_of_memory(error) else f"cannot be used ({error!r})"
        )
        return str(InputError(f"{name}: {reason}"))
    return None


def main() -> None:
    """Check the models on stdin, and write what is wrong with each to stdout."""
    models: list[Candidate] = pickle.load(sys.stdin.buffer)
    stdout, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints
    json.dump([_fault(model) for model in models], stdout)


if __name__ == "__main__":
    from btxrd.model.preflight import main as imported_main  # which unpickles `Candidate`

    imported_main()
