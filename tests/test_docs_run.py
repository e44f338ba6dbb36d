"""Every page of the documentation, run from its first command to its last one, shrunk."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkout import ROOT
from conftest import make_once
from pages import NAMES, blocks, words_of

from btxrd.config.schema import SplitConfig
from btxrd.data.inspection import inspect
from btxrd.data.splits import assign_partitions
from btxrd.phantom.write import write_phantom

pytestmark = pytest.mark.slow

CASES = 160
SHORTER = {  # sweeps of which a part is enough
    "'experiment=glob(*)'": "experiment=E1_b0_baseline",
    "seed=0,1,2": "seed=0,1",
    "'split.fold=range(5)'": "split.fold=0,1",
}
SHRUNK = {
    "training.epochs": "1",
    "training.warmup_epochs": "0",
    "training.batch_size": "16",
    "model.image_size": "64",
}
OF_A_MODEL = {
    "model",
    "model.backbone",
    "model.pretrained",
    "model.weights",
}  # of the page's choice
NO_RUN = {"--cfg", "-c", "--info", "-i", "--help", "-h", "--version"}
RUNS = [
    name
    for name in NAMES
    if "```bash" in (ROOT / name).read_text() or "```python" in (ROOT / name).read_text()
]


def shrunk(command: str) -> str:
    """Return a command that takes seconds; the names of the folders of runs stay as they are."""
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    words = words_of(command)
    if words[:2] != ["btxrd", "run"] or NO_RUN & set(words):
        return command
    typed = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    extra = {key: value for key, value in SHRUNK.items() if not _is_swept(typed.get(key, ""))}
    if typed.get("data", "phantom") == "phantom":
        extra["data.phantom.cases"] = str(CASES)
    if not OF_A_MODEL & set(typed):
        extra |= {"model.backbone": "test_resnet", "model.pretrained": "false"}
    hidden = [*_left_out_of_names(), *(key for key in extra if key not in typed)]
    extra["hydra.job.config.override_dirname.exclude_keys"] = f"[{','.join(hidden)}]"
    if "search" in typed or typed.get("hydra/sweeper") == "optuna":
        extra["hydra.sweeper.n_trials"] = "2"
    return " ".join([command, *(shlex.quote(f"{key}={value}") for key, value in extra.items())])


def _is_swept(value: str) -> bool:
    return "," in value or "(" in value


def _left_out_of_names() -> list[str]:
    job = yaml.safe_load((ROOT / "conf/config.yaml").read_text())["hydra"]["job"]
    return list(job["config"]["override_dirname"]["exclude_keys"])


def make_btxrd(folder: Path) -> None:
    """Write a small data set in the layout of BTXRD."""
    write_phantom(folder, cases=CASES, seed=3)
    (folder / "phantom.json").unlink()


def make_own(folder: Path) -> None:
    """Write images of two hospitals, with a table and a manifest."""
    make_btxrd(folder)
    table = pd.read_excel(folder / "dataset.xlsx")
    table["center"] = table["center"].clip(upper=2)
    table["image_id"] = table["image_id"].str.replace("IMG00", "case")
    for path in sorted(folder.rglob("IMG00*")):
        if path.suffix == ".json":
            path.write_text(path.read_text().replace("IMG00", "case"))
        path.rename(path.with_name(path.name.replace("IMG00", "case")))
    (folder / "dataset.xlsx").unlink()
    table.to_csv(folder / "dataset.csv", index=False)
    cases = inspect(folder, folder.with_name("docs-cache"), strict=True).cases
    partition = assign_partitions(cases, SplitConfig(strategy="stratified", val=0.25, test=0.25))
    manifest = cases[["image_id"]].assign(partition=partition)
    manifest.to_csv(folder / "split.csv", index=False)


@pytest.fixture(scope="session")
def data_sets(shared):
    """The folders of data that the pages name, by their names there."""
    return {
        "/data/BTXRD": make_once(shared / "docs-BTXRD", make_btxrd),
        "/data/mine": make_once(shared / "docs-mine", make_own),
    }


@pytest.fixture(scope="session")
def commands(shared):
    """A folder with the programs that the pages call."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name, arguments in (("btxrd", "-m btxrd"), ("python", "")):
            path = folder / name
            path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
            path.chmod(0o755)

    return make_once(shared / "docs-bin", make)


@pytest.fixture(scope="session")
def environment(commands):
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    return os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def first_sweep(shared, environment):
    """Make a small sweep, for pages that begin with one that is there."""

    def make(folder: Path) -> None:
        folder.mkdir()
        command = "btxrd run -m 'experiment=glob(*)' split=stratified,center hydra.sweep.dir=first"
        subprocess.run(["bash", "-c", shrunk(command)], cwd=folder, env=environment, check=True)

    return lambda: make_once(shared / "docs-sweep", make) / "first"


@pytest.fixture
def archive(tmp_path, data_sets):
    """Overrides that name an archive of the data set, on a server of this machine."""
    served = tmp_path / "served"
    release = shutil.copytree(data_sets["/data/BTXRD"], served / "BTXRD")
    path = Path(shutil.make_archive(str(served / "release"), "zip", served, release.name))
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        yield f"data.archive.url={url} data.archive.md5={md5}"
        server.shutdown()


@pytest.fixture(scope="session")
def drawn(shared):
    """The synthetic images of the default data set, which each page would draw again."""
    return make_once(shared / "docs-drawn", partial(write_phantom, cases=CASES, seed=0))


@pytest.fixture
def run(tmp_path, data_sets, environment, first_sweep, archive, drawn):
    """Run a command of a page, in a folder of the page."""
    here = tmp_path / "page"
    shutil.copytree(drawn, here / f"outputs/phantom-{CASES}-0-clean")

    def prepare(command: str) -> None:
        """Provide what the reader of the page has."""
        for name, folder in data_sets.items():
            target = tmp_path / name[1:]
            if name in command and not target.exists() and "download" not in command:
                shutil.copytree(folder, target)
        starts = re.search(r"hydra\.sweep\.dir=(\S+)", command)
        for name in re.findall(r"multirun/[\w-]+", command):
            if not (here / name).exists() and (starts is None or starts[1] != name):
                shutil.copytree(first_sweep(), here / name)

    def call(program: list[str], source: str) -> subprocess.CompletedProcess[str]:
        source = source.replace("/data/", f"{tmp_path}/data/")
        return subprocess.run(
            [*program, source],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def run_one(language: str, source: str) -> subprocess.CompletedProcess[str]:
        prepare(source)
        if language == "python":
            return call([sys.executable, "-c"], source)
        if words_of(source)[:2] == ["btxrd", "download"]:
            source += f" {archive}"
        return call(["bash", "-ec"], shrunk(source))

    return run_one


@pytest.mark.parametrize("name", RUNS)
def test_a_page_can_be_followed(name, run):
    for block in blocks(name):
        if block.mark == "not run" or block.language not in ("bash", "python"):
            continue
        for source in block.commands if block.language == "bash" else [block.text]:
            done = run(block.language, source)
            assert (done.returncode == 0) == (block.mark != "fails"), (
                f"{name}, line {block.line}: {source}\nstatus {done.returncode}\n"
                f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
