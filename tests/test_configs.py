import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from checkout import environment
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from btxrd.config.choices import choices_of
from btxrd.config.compose import hydra_over_conf, register_schema
from btxrd.config.messages import explain
from btxrd.errors import InputError
from btxrd.execution.ahead.preflight import Findings
from btxrd.execution.fingerprint import fingerprint
from btxrd.execution.planning import plan_run, plan_sweep

GRID = {
    "E1_b0_baseline": ("efficientnet_b0", None, 224, 32, 0.2, "none"),
    "E2_b0_annotated": ("efficientnet_b0", None, 224, 32, 0.2, "guided"),
    "E3_b3_annotated": ("efficientnet_b3", None, 300, 16, 0.3, "guided"),
    "E4_resnet50_cbam": ("resnet50", "cbam", 224, 16, 0.3, "guided"),
}
BTXRD = ["data=btxrd", "data.root=somewhere"]


@pytest.fixture(autouse=True)
def schema():
    register_schema()


def config(*overrides):
    (composed,) = plan_run(list(overrides)).runs.values()
    return composed


@pytest.mark.parametrize("name", GRID)
def test_experiment_is_the_one_of_the_grid(name):
    c = config(f"experiment={name}", *BTXRD)
    model = c.model
    got = (model.backbone, model.attn_layer, model.image_size, c.training.batch_size, model.dropout)
    assert (*got, c.annotations.kind) == GRID[name]
    assert model.pretrained
    assert (c.training.epochs, c.training.lr, c.training.patience) == (50, 3e-4, 15)


def test_studies_compose_and_vary_what_they_say():
    once = ["seed=0", "split=stratified", *BTXRD]
    study = plan_sweep(["experiment=study/guidance", *once])
    kinds = {(run.annotations.kind, run.annotations.sham) for run in study.runs.values()}
    assert len(study.runs) == len(kinds) == 10
    study = plan_sweep(["experiment=study/pooling", *once])
    assert len({repr((run.annotations, run.model)) for run in study.runs.values()}) == 8
    study = plan_sweep(["experiment=study/recipe", *once])
    recipes = {repr((run.training, run.model, run.data)) for run in study.runs.values()}
    assert len(study.runs) == len(recipes) == 16
    best = config("experiment=best/lite0", *BTXRD)
    smaller = replace(best.model, image_size=224)  # the study is run at that size
    assert repr((best.training, smaller, best.data)) in recipes
    larger = config("experiment=best/lite2", *BTXRD)
    assert (larger.annotations, larger.training) == (best.annotations, best.training)
    assert (larger.model.backbone, larger.model.pooling) == ("tf_efficientnet_lite2", "lesion")


def test_a_sham_needs_guidance():
    with pytest.raises(InputError, match=r"annotations.sham=shuffled: needs annotations.kind"):
        config("annotations.sham=shuffled")


def test_glob_gives_exactly_the_grid():
    plan = plan_sweep(["experiment=glob(*)", "split=stratified,center"])
    assert [run_dir.name for run_dir in plan.runs] == [
        f"experiment={name},split={split}" for name in GRID for split in ("stratified", "center")
    ]


def test_default_data_is_the_phantom_with_a_recipe_that_needs_no_network():
    c = config()
    assert c.data.phantom is not None
    assert not c.model.pretrained
    assert c.training.epochs < 10


def test_command_line_wins_over_the_recipe_of_the_data():
    assert config(*BTXRD, "training=smoke").training.epochs == 5
    assert config("training.epochs=7", "model.pretrained=true").training.epochs == 7
    assert config("experiment=E3_b3_annotated", "model.dropout=0.1").model.dropout == 0.1


def test_same_name_of_two_runs_is_refused():
    with pytest.raises(InputError, match="share the folder"):
        plan_sweep(["data=btxrd", "data.root=a,b"])


def test_an_empty_name_is_refused():
    with pytest.raises(InputError, match="nothing to sweep over"):
        plan_sweep([])


def test_a_long_name_is_shortened_without_what_all_runs_have():
    long = f"split.held_out=[{','.join('2' * 130)}]"
    rates = ["0.00012345678901234", "0.00012345678901235", "0.002"]
    typed = [long, f"training.lr={','.join(rates)}", "evaluate=true"]
    names, again = ([at.name for at in plan_sweep(typed).runs] for _ in range(2))
    assert names == again
    assert len(set(names)) == 3
    starts = [re.sub(r",[0-9a-f]{12}$", "", name) for name in names]
    assert starts == ["training.lr=0.0001235", "training.lr=0.0001235", "training.lr=0.002"]


@pytest.mark.parametrize("letter", ["x", "é", "骨"])
def test_a_long_value_is_cut_off(letter):
    values = [f"'{letter * 300}{end}'" for end in "ab"]
    names = [at.name for at in plan_sweep([f"model.gradcam_layer={','.join(values)}"]).runs]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 240 for name in names)


WRONG = {
    "model.dropout=2": r"model.dropout=2.0: must be between 0 and 0.95",
    "split=manifest": r"split.manifest: has no value; give it as split.manifest=.*",
    "split.manifest=a.csv": r"split.manifest=a.csv: needs split=manifest",
    "split.fold=9": r"split.fold=9: must be below split.folds=5",
    "split.groups=some": r"split.groups=some: must be one of whole, none",
    "split=centre": r"split=centre: no such choice; must be one of center, kfold, .*, stratified",
    "experiment=E9": r"experiment=E9: no such choice; must be one of E1_b0_baseline, .*",
    "experiment=best/b3": r"experiment=best/b3: no such choice; must be one of .*, best/lite2, .*",
    "trainig.epochs=3": r"trainig: no such key; did you mean training\?",
    "training.epoch=3": r"training.epoch: no such key; did you mean epochs\?",
    "+foo=1": r"foo: no such key; known here: model, data, .*",
    "+training.foo=1": r"training.foo: no such key; known here: epochs, .*",
    "training.epochs=abc": r"training.epochs=abc: must be an integer",
    "training.epochs=0": r"training.epochs=0: must be between 1 and 10000",
    "training.lr=nan": r"training.lr=nan: must be between 1e-08 and 1",
    "seed=1.5": r"seed=1.5: must be an integer",
    "annotations.kind=some": r"annotations.kind=some: must be one of none, guided, lesion, cam",
    "device=gpu": r"device=gpu: must be one of auto, cpu, cuda, mps",
    "data=btxrd": r"data.root: has no value; give it as data.root=VALUE",
    "model=null": r"model=null: is not the name of a choice; must be one of .*",
    "split.test=0.5,split.val=0.5": r"split.val=0.5, split.test=0.5: must leave .*",
    "model.weights=w.pth": r"model.weights=w.pth: needs model.pretrained=true",
    "model._target_=os.system": r"model._target_=os.system: must be one of .*create_model",
    "hydra.launchr=joblib": r"hydra.launchr: no such key",
    "seed=[1": r".*no viable alternative.*",
}


@pytest.mark.parametrize("override", WRONG)
@pytest.mark.parametrize("in_sweep", [False, True], ids=["run", "sweep"])
def test_wrong_value_is_one_line(override, in_sweep):
    overrides = override.split(",") + (["evaluate=true,false"] if in_sweep else [])
    plan = plan_sweep if in_sweep else plan_run
    with pytest.raises((InputError, HydraException, OmegaConfBaseException)) as got:
        plan(overrides)
    message = explain(got.value)
    assert "\n" not in message
    assert re.fullmatch(WRONG[override], message.split("; See http")[0]), message


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (["experiment=best/lite0"], ["experiment=best.lite0"]),
        (
            ["model.gradcam_layer=../../a,/b"],
            ["model.gradcam_layer=......a", "model.gradcam_layer=.b"],
        ),
        (["seed=1", "hydra.sweep.subdir=x/y/${seed}"], ["x.y.1"]),
    ],
)
def test_a_run_is_one_folder_directly_under_its_sweep(typed, names):
    plan = plan_sweep([*typed, "hydra.sweep.dir=out"])
    assert [str(run_dir) for run_dir in plan.runs] == [f"out/{name}" for name in names]


def test_a_sweep_folder_is_never_a_run_folder():
    with pytest.raises(InputError, match=r"hydra.sweep.subdir=../..: must be the name"):
        plan_sweep(["hydra.sweep.subdir=../.."])


def test_runs_that_differ_by_a_slash_alone_are_refused():
    with pytest.raises(InputError, match=r"share the folder model.gradcam_layer=a.b"):
        plan_sweep(["model.gradcam_layer=a/b,a.b"])


def test_a_run_in_nested_folders_of_an_earlier_version_stays_there(tmp_path):
    old = tmp_path / "experiment=best" / "lite0"
    old.mkdir(parents=True)
    (old / "status.json").write_text("{}")
    plan = plan_sweep(["experiment=best/lite0,best/lite2", f"hydra.sweep.dir={tmp_path}"])
    assert list(plan.runs) == [old, tmp_path / "experiment=best.lite2"]


def test_an_interpolation_is_resolved_for_each_point():
    plan = plan_sweep(["seed=1,2", "data.root='films-${seed}'"])
    assert [config.data.root for config in plan.runs.values()] == ["films-1", "films-2"]


@pytest.mark.parametrize(
    ("typed", "n_jobs"),
    [
        ([], None),
        (["hydra/launcher=basic"], 1),
        (["hydra/launcher=joblib"], -1),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"], 3),
    ],
)
def test_how_many_parallel_runs_is_measured_unless_a_launcher_is_named(typed, n_jobs):
    launcher = plan_sweep(["seed=0,1", *typed]).launcher
    assert (launcher.is_local, launcher.n_jobs) == (True, n_jobs)


def test_joblib_does_as_many_runs_as_there_are_cores(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    plan = plan_sweep(["seed=0,1,2", "hydra/launcher=joblib", "device=cpu"])
    assert plan.at_once(Findings()) == 2


def test_each_run_is_composed_once(monkeypatch):
    composed = []
    with hydra_over_conf(None) as loader:
        compose = loader.load_configuration

        def counting(config_name, overrides, *rest, **named):
            composed.append(overrides)
            return compose(config_name, overrides, *rest, **named)

        monkeypatch.setattr(loader, "load_configuration", counting)
        plan = plan_sweep(["seed=0,1,2"])
        for run_dir, point in plan.points.items():
            assert point.spec(run_dir).config.seed == point.config.seed
    assert len(composed) == 1 + 3


def test_the_process_of_a_run_gets_what_hydra_composed(tmp_path):
    plan = plan_sweep(["seed=4", "+hydra.job.env_set.A=b", f"hydra.sweep.dir={tmp_path}"])
    ((run_dir, point),) = plan.points.items()
    spec = point.spec(run_dir, 7, shown="numbered")
    assert spec.environment == {"A": "b"}
    assert spec.logging["handlers"]["file"]["filename"] == str(run_dir / "run.log")
    assert spec.logging["formatters"]["simple"]["format"].startswith("#7 ")
    assert spec.record["overrides.yaml"] == "- seed=4\n"
    assert "seed: 4\n" in spec.record["config.yaml"]
    assert "hydra:" not in spec.record["config.yaml"]
    assert f"output_dir: {run_dir}" in spec.record["hydra.yaml"]
    assert spec.choices["split"] == "stratified"


FINGERPRINTS = json.loads((Path(__file__).parent / "golden" / "fingerprints.json").read_text())
OLD_PHANTOM = [  # of version 0.1, as its recipe
    "data.phantom.cases=240", "split.val=0.15", "split.test=0.15", "annotations.dim=0.5",
]  # fmt: skip
OLD_SMOKE = [
    "training=full", "training.epochs=4", "training.warmup_epochs=1", "training.lr=1e-3",
    "model.pretrained=false", "model.image_size=80",
]  # fmt: skip


@pytest.mark.parametrize("typed", FINGERPRINTS)
def test_fingerprints_of_the_shipped_experiments_are_those_of_version_0_1(typed):
    recipe = OLD_SMOKE if "experiment=E" in typed else []
    assert fingerprint(config(*typed.split(), *OLD_PHANTOM, *recipe)) == FINGERPRINTS[typed]


def test_one_wrong_point_stops_the_whole_sweep():
    with pytest.raises(InputError, match=r"model.dropout=2.0"):
        plan_sweep(["model.dropout=0.1,2"])


@pytest.mark.parametrize("argument", ["--help", "--cfg=job"])
def test_showing_loads_no_torch(argument, tmp_path):
    code = f"import sys; sys.argv = ['x', '{argument}']; from btxrd.run import main; main(); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "efficientnet_b0" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", choices_of("annotations"))
def test_guidance_and_its_controls_are_called_what_chooses_them(name):
    assert config(f"annotations={name}").annotations.title == name
