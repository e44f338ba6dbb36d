"""Which settings identify a run, and that a new setting leaves existing runs complete."""

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass, make_dataclass, replace
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from btxrd.artifacts import config as stored
from btxrd.config.choices import choices_of, conf_dir
from btxrd.config.compose import register_schema
from btxrd.config.identity import flat, identity
from btxrd.config.schema import (
    AnnotationsConfig,
    ArchiveConfig,
    Config,
    DataConfig,
    ModelConfig,
    PhantomConfig,
    SplitConfig,
    TrainingConfig,
    number,
    setting,
)
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.planning import plan_run

CANNOT_CHANGE_A_METRIC = {
    "data.root", "data.cache", "data.archive.url", "data.archive.md5", "split.manifest",
    "report.images", "report.margin", "device", "compile", "fail_fast", "max_failed",
    "runs_per_gpu",
}  # fmt: skip
FORMAT_1 = {  # the only settings that need not declare a neutral value
    "model._target_", "model.backbone", "model.pretrained", "model.weights", "model.dropout",
    "model.attn_layer", "model.image_size", "model.gradcam_layer", "model.pooling",
    "model.test_flip", "data.phantom.cases", "data.phantom.seed", "data.phantom.kind",
    "data.contradictions", "data.clahe_clip", "data.clahe_tiles", "data.aspect", "split.strategy",
    "split.groups", "split.val", "split.test", "split.held_out", "split.test_center",
    "split.folds", "split.fold", "split.seed", "annotations.kind", "annotations.dim",
    "annotations.weight", "annotations.sham", "training.epochs", "training.batch_size",
    "training.lr", "training.weight_decay", "training.warmup_epochs", "training.patience",
    "training.layer_decay", "training.ema", "training.label_smoothing", "training.imbalance",
    "training.flip", "training.rotation", "training.zoom", "training.aspect",
    "training.intensity", "training.noise", "training.blur", "training.erase", "training.mixup",
    "training.cutmix", "seed", "evaluate",
} | CANNOT_CHANGE_A_METRIC  # fmt: skip


def settings_of(kind: type = Config, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Every setting of the schema, by its dotted key."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        hint = hints[item.name]
        options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        inner = next((option for option in options if is_dataclass(option)), None)
        if inner is None:
            yield prefix + item.name, item
        else:
            yield from settings_of(inner, f"{prefix}{item.name}.")


SETTINGS = dict(settings_of())


def a_config() -> Config:
    archive = ArchiveConfig("https://a.example/b.zip", "0" * 32)
    return Config(
        model=ModelConfig(backbone="resnet18"),
        data=DataConfig(root="root", phantom=PhantomConfig(), archive=archive),
        split=SplitConfig(strategy="stratified"),
        annotations=AnnotationsConfig(kind="none"),
    )


def changed(node: Any, key: str, value: Any) -> Any:
    name, _, rest = key.partition(".")
    return replace(node, **{name: changed(getattr(node, name), rest, value) if rest else value})


def another(value: Any, path: str) -> Any:
    """Another value of the same type; None becomes the path of a file."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [*value, 9]
    return path if value is None else value + ("x" if isinstance(value, str) else 1)


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_changes_the_fingerprint_exactly_if_it_can_change_a_metric(key, tmp_path):
    """Detects: a fingerprint that ignores a setting, or that counts a path or a device."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    config = a_config()
    other = changed(config, key, another(flat(config)[key], str(path)))
    assert flat(other) != flat(config)
    if key == "split.manifest":  # its content counts
        assert identity(other) == identity(config)
    elif key in CANNOT_CHANGE_A_METRIC:
        assert fingerprint(other) == fingerprint(config)
    else:
        assert fingerprint(other) != fingerprint(config)


def test_settings_that_cannot_change_a_metric_are_declared_so_and_no_other():
    kept = set(identity(a_config()))
    assert set(SETTINGS) - kept == CANNOT_CHANGE_A_METRIC


def test_a_setting_that_was_added_declares_what_it_does_to_existing_runs():
    """Detects: a setting that makes every finished run a run of another config."""
    added = {key: SETTINGS[key].metadata for key in set(SETTINGS) - FORMAT_1}
    silent = [key for key, declared in added.items() if not {"neutral", "identity"} & set(declared)]
    assert silent == []


def extended(kind: type, **new: Any) -> type:
    """The dataclass with further settings, as if they stood in the schema."""
    declared = [(name, type(item.default), item) for name, item in new.items()]
    return make_dataclass(kind.__name__, declared, bases=(kind,))


@pytest.fixture
def later():
    """A config as a later schema has it: two more settings, at the top and in a group."""
    new = {"gain": number(0.5, 0, 1, neutral=0.0), "colour": setting("red", identity=False)}
    top, training = extended(Config, **new), extended(TrainingConfig, **new)

    def of(config: Config, gain: float = 0.0, colour: str = "red") -> Config:
        values = {"gain": gain, "colour": colour}
        inner = training(**vars(config.training), **values)
        return top(**vars(config) | {"training": inner}, **values)

    return of


@pytest.mark.parametrize("experiment", choices_of("experiment"))
def test_a_new_setting_leaves_the_fingerprints_of_shipped_experiments(experiment, later):
    """Detects: a fingerprint that contains neutral values."""
    register_schema()
    plan = plan_run([f"experiment={experiment}"], "config", None)
    for config in plan.runs.values():
        assert fingerprint(later(config)) == fingerprint(config)
        assert fingerprint(later(config, colour="blue")) == fingerprint(config)
        assert fingerprint(later(config, gain=0.1)) != fingerprint(config)


def test_a_config_on_disk_that_lacks_a_new_setting_has_its_neutral_value(
    later, tmp_path, monkeypatch
):
    """Detects: a reader that takes the default, which an old run did not have."""
    stored.write_config(tmp_path, a_config(), {})
    wanted = later(a_config())
    monkeypatch.setattr(stored, "Config", extended(Config, gain=number(0.5, 0, 1, neutral=0.0)))
    found = stored.read_config(tmp_path).config
    assert found.gain == 0.0
    assert fingerprint(found) == fingerprint(wanted) == fingerprint(a_config())


def test_names_of_runs_leave_out_what_identity_leaves_out():
    """Detects: a folder name that changes with the cache, the weights or the search."""
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    excluded = content["hydra"]["job"]["config"]["override_dirname"]["exclude_keys"]
    assert set(excluded) == CANNOT_CHANGE_A_METRIC | {"model.weights", "search"}
