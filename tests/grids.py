"""Write sweeps with known differences, without training, to inspect their reports.

`python tests/grids.py FOLDER [NAME ...]` writes all of them, or those with the given names.
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from btxrd.artifacts import codec
from btxrd.artifacts.classes import ClassNames
from btxrd.artifacts.config import write_config
from btxrd.artifacts.plan import PLAN, SweepPlan
from btxrd.artifacts.sidecar import CHECKPOINTS, SIDECAR, ModelArguments, Preprocessing, Sidecar
from btxrd.artifacts.status import RunStatus, Worker, write_status
from btxrd.artifacts.tables import (
    GRADCAM,
    HISTORY,
    PREDICTIONS,
    PROBABILITY,
    SHORTCUTS,
    SPLIT,
    write_table,
)
from btxrd.config.schema import (
    AnnotationsConfig,
    Config,
    DataConfig,
    ModelConfig,
    PhantomConfig,
    SplitConfig,
    TrainingConfig,
)
from btxrd.evaluation.score import score

NAMES = ClassNames(("normal", "benign", "malignant"), "malignant", "normal")
SHARES = (0.5, 0.41, 0.09)  # class shares, as in BTXRD
VARIANTS = ("lesion_masked", "all_but_lesion_masked", "border_masked", "center_and_size", "table")


@dataclass(frozen=True)
class Model:
    """A setting: the quality of its predictions, and values of its config.

    Attributes:
        name: Name of the experiment, which is part of the names of the runs.
        seen: Distance of the logit of the true class from the others, on the stratified split.
        unseen: The same distance at unseen centers.
        backbone: Value of `model.backbone`.
        annotations: Value of `annotations`.
        on_lesion: Probability that the peak of a map is on the lesion.
        constant: Class that is predicted for every case; None for a working model.
        lr: Value of `training.lr`.
        dropout: Value of `model.dropout`, which can distinguish settings that are equal otherwise.
    """

    name: str
    seen: float = 1.5
    unseen: float = 0.6
    backbone: str = "efficientnet_b0"
    annotations: str = "none"
    on_lesion: float = 0.3
    constant: int | None = None
    lr: float = 3e-4
    dropout: float = 0.2


@dataclass(frozen=True)
class Grid:
    """A sweep: every model on every split with every seed.

    Attributes:
        models: Settings.
        splits: Split strategies.
        seeds: Seeds of each setting.
        cases: Number of test cases. The number of val cases is half of it.
        between_seeds: Standard deviation over seeds of the distance of the logits.
        shuffled: Whether the predictions are independent of the labels.
        synthetic: Whether the config is that of synthetic data.
        states: States of the runs that are not complete, by name.
        shares: Shares of the classes.
    """

    models: tuple[Model, ...]
    splits: tuple[str, ...] = ("stratified", "center")
    seeds: tuple[int, ...] = (0, 1, 2)
    cases: int = 560
    between_seeds: float = 0.05
    shuffled: bool = False
    synthetic: bool = False
    states: dict[str, str] = field(default_factory=dict)
    shares: tuple[float, float, float] = SHARES

    def names(self):
        """Yield the name, the model, the split and the seed of each run."""
        for model in self.models:
            for split in self.splits:
                for seed in self.seeds:
                    parts = [f"experiment={model.name}"]
                    parts += [f"split={split}"] if len(self.splits) > 1 else []
                    parts += [f"seed={seed}"] if len(self.seeds) > 1 else []
                    yield ",".join(parts), model, split, seed


def table_of(grid, split):
    """Draw the cases of a split. Some share the group of the case before, if labels are equal."""
    rng = np.random.default_rng([grid.cases, split == "center"])
    parts = []
    for partition, count in (("test", grid.cases), ("val", max(grid.cases // 2, 12))):
        of_classes = np.repeat(np.arange(3), np.ceil(np.array(grid.shares) * count).astype(int))
        unseen = split == "center" and partition == "test"
        centers, shares = ((2, 3), (0.7, 0.3)) if unseen else ((1, 2, 3), (0.7, 0.2, 0.1))
        part = pd.DataFrame({"label": rng.permutation(of_classes)[:count], "partition": partition})
        part["label"] = part["label"].map(dict(enumerate(NAMES.names)))
        part["center"] = rng.choice(centers, count, p=shares)
        part["group"] = [f"{partition}-{place}" for place in range(count)]
        same = (part["label"] == part["label"].shift()) & (rng.random(count) < 0.35)
        part["group"] = part["group"].where(~same).ffill()
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return table.assign(image_id=[f"CASE-{place:04d}" for place in range(1, len(table) + 1)])


def probs_of(labels, distance, rng, shared):
    """Return the softmax of noisy logits, with `distance` added to that of the true class."""
    noise = 0.8 * shared + 0.6 * rng.standard_normal(shared.shape)
    logits = noise + distance * np.eye(3)[labels]
    power = np.exp(1.2 * logits)
    return (power / power.sum(axis=1, keepdims=True)).round(9)


def write_grid(folder, grid):
    """Write the runs of a grid and its plan; return the folder."""
    tables = {split: table_of(grid, split) for split in grid.splits}
    names = []
    for name, model, split, seed in grid.names():
        names.append(name)
        state = grid.states.get(name, "complete")
        if state != "missing":
            write_run(folder / name, grid, model, split, seed, tables[split], state)
    options = ",".join(dict.fromkeys(model.name for model in grid.models))
    command = f"-m experiment={options} split={','.join(grid.splits)}"
    codec.write(folder / PLAN, SweepPlan(tuple(names), command=command, at_once=2))
    return folder


def write_run(run_dir, grid, model, split, seed, table, state):
    phantom = PhantomConfig(grid.cases * 4, 0) if grid.synthetic else None
    config = Config(
        ModelConfig(backbone=model.backbone, dropout=model.dropout),
        DataConfig(root="data", phantom=phantom),
        SplitConfig(split),
        AnnotationsConfig(
            model.annotations.split("_")[0],
            sham="shuffled" if model.annotations.endswith("_shuffled") else "none",
        ),
        TrainingConfig(lr=model.lr),
        seed=seed,
    )
    write_config(run_dir, config, {"experiment": model.name})
    error = None
    if state == "failed":
        error = {"type": "OutOfMemoryError", "message": "CUDA out of memory", "traceback": ""}
    status = RunStatus(
        state, "0a1b2c3d4e5f6789", "2026-01-31T12:00:00.000+00:00", seconds=754.5, error=error,
        device="cpu", versions={"python": "3.11.2", "torch": "2.14.1", "btxrd": "1.0"},
        worker=Worker("here", 7), split_hash=f"7bf23be{split}",
    )  # fmt: skip
    write_history(run_dir, 4 if state != "complete" else 12)
    (run_dir / "run.log").write_text("12:00:00 epoch 1 of 50\n12:00:09 epoch 2 of 50\n")
    if state == "complete":
        write_files(run_dir, grid, model, split, seed, table)
        with patch("btxrd.evaluation.score.draw_plots"):
            score(run_dir)
    write_status(run_dir, status)


def write_history(run_dir, epochs):
    number = np.arange(1, epochs + 1)
    rows = pd.DataFrame({"epoch": number, "val_macro_auc": 0.9 - 0.4 / number})
    rows = rows.assign(train_loss=1.1 / number**0.5, val_loss=0.7 + 0.01 * (number - 8) ** 2)
    rest = dict.fromkeys(("lr", "val_accuracy", "images_per_second", "seconds"), 0.5)
    write_table(run_dir, HISTORY, rows.assign(**rest))


def write_files(run_dir, grid, model, split, seed, table):
    salt = sum(map(ord, model.name))
    rng = np.random.default_rng([salt, seed, split == "center"])
    shared = np.random.default_rng([9, split == "center"]).standard_normal((len(table), 3))
    labels = table["label"].map({name: k for k, name in enumerate(NAMES.names)}).to_numpy()
    truth = np.random.default_rng([7, seed]).permutation(labels) if grid.shuffled else labels
    near = np.where(table["partition"] == "val", model.seen, model.unseen)
    distance = near if split == "center" else np.full(len(table), model.seen)
    distance = distance + grid.between_seeds * rng.standard_normal()
    probs = probs_of(truth, distance[:, None], rng, shared)
    if model.constant is not None:
        probs = np.tile(np.roll((0.6, 0.25, 0.15), model.constant), (len(table), 1))
    columns = {PROBABILITY.format(name): probs[:, k] for k, name in enumerate(NAMES.names)}
    rows = table.assign(**columns)
    write_table(run_dir, SPLIT, table)
    write_table(run_dir, PREDICTIONS, rows, NAMES.names)
    write_sidecar(run_dir, model, split)
    test = rows[rows["partition"] == "test"].reset_index(drop=True)
    write_variants(run_dir, test, rng, distance.mean())
    write_maps(run_dir, test, rng, model.on_lesion)


def write_sidecar(run_dir, model, split):
    sidecar = Sidecar(
        ModelArguments(model.backbone, 3), NAMES.names, NAMES.focus, NAMES.background, 224,
        Preprocessing(2.0, 8, (0.5,) * 3, (0.2,) * 3), "0a1b2c3d4e5f6789", split,
        f"7bf23be{split}", 8, {"val_loss": 0.7, "val_macro_auc": 0.85},
    )  # fmt: skip
    (run_dir / CHECKPOINTS).mkdir(exist_ok=True)
    codec.write(run_dir / CHECKPOINTS / SIDECAR, sidecar)


def write_variants(run_dir, test, rng, distance):
    labels = test["label"].map({name: k for k, name in enumerate(NAMES.names)}).to_numpy()
    parts = [test.assign(variant="unmodified")]
    fixed = np.random.default_rng(3)
    for variant, share in zip(VARIANTS, (0.6, 0.5, 0.95, 0.25, 0.6), strict=True):
        reach = 1.2 if variant in ("center_and_size", "table") else distance
        draw = fixed if reach == 1.2 else rng
        noise = draw.standard_normal((len(test), 3))
        probs = probs_of(labels, share * reach, draw, noise)
        columns = {PROBABILITY.format(name): probs[:, k] for k, name in enumerate(NAMES.names)}
        parts.append(test.assign(variant=variant, **columns))
    write_table(run_dir, SHORTCUTS, pd.concat(parts), NAMES.names)


def write_maps(run_dir, test, rng, on_lesion):
    tumours = test[test["label"] != "normal"].reset_index(drop=True)
    probs = tumours[[PROBABILITY.format(name) for name in NAMES.names]].to_numpy()
    share = np.random.default_rng(5).lognormal(-4, 1, len(tumours)).clip(0.001, 0.3)
    hit = rng.random(len(tumours)) < on_lesion
    rows = tumours.assign(
        predicted=[NAMES.names[k] for k in probs.argmax(axis=1)], map="ok", lesion_share=share,
        peak_inside=hit.astype(float), energy_inside=(share * 3).clip(0, 1), iou=0.2 * hit,
        iou_by_chance=share / (2 - share), peak_inside_of_others=0.09,
        energy_inside_of_others=share, iou_of_others=0.05,
    )  # fmt: skip
    write_table(run_dir, GRADCAM, rows)
    (run_dir / "gradcam").mkdir(exist_ok=True)
    for kind in ("true_positive", "false_negative", "false_positive"):
        picture = Image.new("L", (260, 260), 30)
        ImageDraw.Draw(picture).ellipse((80, 40, 180, 220), fill=170)
        picture.save(run_dir / "gradcam" / f"malignant_{kind}.png")


PLAIN = Model("E1_b0_baseline", 1.45, 0.55)
GRID_OF_TEN = (
    Model("B3_guided", 1.95, 0.6, "efficientnet_b3", "guided", 0.45),
    Model("R50_guided", 1.9, 0.7, "resnet50", "guided", 0.41),
    Model("R50_none", 1.75, 0.7, "resnet50", "none", 0.2),
    Model("convnext_none", 1.7, 0.6, "convnext_tiny", "none", 0.2),
    Model("B3_none", 1.6, 0.6, "efficientnet_b3", "none", 0.2),
    Model("B0_lesion", 1.55, 1.0, "efficientnet_b0", "lesion", 0.63),
    Model("B0_guided", 1.5, 0.55, "efficientnet_b0", "guided", 0.4),
    Model("B0_none", 1.25, 0.5, "efficientnet_b0", "none", 0.2),
    Model("B0_sham", 1.2, 0.5, "efficientnet_b0", "guided_shuffled", 0.15),
    Model("R18_random", 0.0, 0.0, "resnet18", "none", 0.03, constant=0),
)
FOUR = (
    Model("E1_b0_baseline", 1.9, 0.6, "efficientnet_b0", "none", 0.2),
    Model("E2_b0_annotated", 2.3, 0.8, "efficientnet_b0", "guided", 0.55),
    Model("E3_b3_annotated", 2.5, 0.8, "efficientnet_b3", "guided", 0.6),
    Model("E4_resnet50_cbam", 2.0, 0.7, "resnet50", "guided", 0.5),
)
RATES = {1e-4: 0.1, 2e-4: 0.15, 3e-4: 0.0, 5e-4: -0.05, 1e-3: -0.3, 3e-3: -0.7}
SIXTY = tuple(
    replace(
        model, name=f"lr{lr:g}_{model.name}", seen=max(model.seen, 1) + shift, lr=lr, constant=None
    )
    for lr, shift in RATES.items()
    for model in GRID_OF_TEN
)
EVEN = (0.34, 0.33, 0.33)
GRIDS = {
    "one": Grid((FOUR[1],), ("stratified",), (0,)),
    "two": Grid(FOUR[:2], ("stratified",), (0,)),
    "eight": Grid(FOUR, seeds=(0,), cases=120, synthetic=True, shares=(0.4, 0.36, 0.24)),
    "sixty": Grid(
        GRID_OF_TEN,
        states={
            "experiment=B3_guided,split=center,seed=1": "failed",
            "experiment=B3_none,split=center,seed=2": "missing",
            "experiment=B0_none,split=stratified,seed=2": "running",
        },
    ),
    "sixty_settings": Grid(SIXTY, ("stratified",), (0,)),
    "shuffled": Grid(FOUR, shuffled=True),
    "constant": Grid((FOUR[0], Model("constant", constant=0, dropout=0.5)), seeds=(0,)),
    "all_constant": Grid((Model("constant", constant=0),), seeds=(0,)),
    "twelve": Grid(FOUR, seeds=(0,), cases=12, shares=EVEN),
    "no_difference": Grid(
        tuple(replace(PLAIN, name=f"same{k}", dropout=k / 10) for k in range(4)), cases=560
    ),
    "real_difference": Grid(
        (PLAIN, replace(PLAIN, name="better", seen=1.8, unseen=0.85, dropout=0.5))
    ),
    "random": Grid(FOUR[:2], ("random", "stratified"), (0,)),
    "failed": Grid(
        FOUR[:1],
        seeds=(0,),
        states={f"experiment=E1_b0_baseline,split={s}": "failed" for s in ("stratified", "center")},
    ),
}


def main():
    """Write the sweeps that the command line names, or all, into a folder."""
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(GRIDS)
    for name in names:
        print(write_grid(folder / name, GRIDS[name]), flush=True)


if __name__ == "__main__":
    main()
