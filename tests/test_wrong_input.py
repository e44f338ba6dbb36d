"""Wrong files of configs and wrong arguments: each is one line that says where and what."""

import re

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from btxrd.config.commandline import CommandLine
from btxrd.config.compose import hydra_over_conf, register_schema
from btxrd.config.messages import explain
from btxrd.errors import InputError, printable
from btxrd.execution.planning import plan

GLOBAL = b"# @package _global_\n"
WRONG_FILES = {
    b"training:\n  lr: 0.1\n   epochs: 3\n": r"mine.yaml, line 4: mapping values are not allowed",
    b" training:\n  lr: 0.1\nseed: 3\n": r"mine.yaml, line 4: expected '<document start>'",
    b"training:\n\tlr: 0.1\n": r"mine.yaml, line 3: found character .* indent with spaces",
    b"seed: 1\nseed: 2\n": r"mine.yaml, line 3: found duplicate key seed",
    b"seed: *x\n": r"mine.yaml, line 2: found undefined alias",
    b"seed: !!python/object/apply:os.system [x]\n": r"mine.yaml, line 2: could not determine a",
    b"seed: !foo 3\n": r"mine.yaml, line 2: could not determine a constructor",
    b"<<: 3\n": r"mine.yaml, line 2: expected a mapping",
    b"seed: 1\n---\nseed: 2\n": r"mine.yaml, line 3: but found another document",
    b"? [a]\n: 2\n": r"mine.yaml, line 2: found unhashable key",
    b'seed: "1\n': r"mine.yaml, line 3: found unexpected end of stream",
    b"# f\xfcr\n": r"mine.yaml: cannot be read \('utf-8' codec can't decode",
    b"seed: 1\0\n": r"mine.yaml: cannot be read \(unacceptable character",
    b"seed: " + b"9" * 5000 + b"\n": r"mine.yaml: cannot be read \(Exceeds the limit",
    b"seed:1\n": r"seed:1: Key 'seed:1' not in 'Config'",
    b"seed\n": r"seed=null: must have a value",
    b"seed: [1, 2]\n": r"seed=\[1, 2\]: must be an integer",
    b"seed: 2020-01-01\n": r"seed=2020-01-01: must be an integer",
    b"seed: ${seed}\n": r"seed: Recursive interpolation detected",
    b"seed: ${max_failed}\nmax_failed: ${seed}\n": r"(seed|max_failed): Recursive interpolation",
    b"seed: ${nope}\n": r"seed: refers to \$\{nope\}, but there is no such key",
    b"seed: ${nope:1}\n": r"seed: Unsupported interpolation type nope",
    b"seed: ${oc.env:NOT_SET}\n": r"seed: KeyError raised .*NOT_SET",
    b"seed: ${\n": r"seed: no viable alternative",
    b"evaluate: maybe\n": r"evaluate=maybe: must be true or false",
    b"training: 3\n": r"experiment/mine.yaml: training: must contain keys and values",
    b"training: null\n": r"training=null: must have a value",
    b"training: {lrr: 1}\n": r"training.lrr: no such key; did you mean lr\?",
    b"trainig: {lr: 1}\n": r"trainig: no such key; did you mean training\?",
    b"training.lr: 0.1\n": r"training.lr: Key 'training.lr' not in 'Config'",
    b"1: 2\n": r"1: no such key",
    b"~: 2\n": r"Incompatible key type 'NoneType'",
    b"defaults: [override /model: nope]\n": r"model=nope: no such choice; must be one of",
    b"defaults: [nope]\n": r"In 'experiment/mine': Could not load 'experiment/nope'.",
    b"defaults: [mine]\n": r"cannot be composed: a config includes or refers to itself",
    b"defaults: [override /nope: x]\n": r"mine.yaml: override /nope: no such group; known here",
    b"defaults: 3\n": r"cannot be composed: Invalid defaults list in 'experiment/mine'",
    b"defaults: [{a: 1, b: 2}]\n": r"cannot be composed: .*Too many keys in default item",
    b"hydra: {nope: 3}\n": r"hydra.nope: no such key",
    b"hydra: {mode: FOO}\n": r"hydra.mode: Invalid value 'FOO', expected one of",
    b"hydra: {run: {dir: '${nope}'}}\n": r"hydra.run.dir: refers to \$\{nope\}, but",
    b"hydra: {searchpath: ['file:///x']}\n": r".*hydra.searchpath is only supported from the pri",
    b"hydra: {job: {env_copy: [NOT_SET]}}\n": r"cannot be composed: hydra.job.env_copy: .*NOT_SET",
    b"hydra: {callbacks: {a: {_target_: x}}}\n": r"hydra.callbacks: not supported; remove them",
    b"hydra: {job_logging: null}\n": r"hydra.job_logging=null: must have a value",
}
WITHOUT_SETTINGS = {
    b"": "is empty; write keys and values, under a first line '# @package _global_'",
    b"seed: 1\n": "lacks the first line '# @package _global_'; add it, above keys and values",
    b"\xef\xbb\xbf" + GLOBAL + b"seed: 1\n": (
        "begins with a byte order mark; save it as UTF-8 without one"
    ),
    GLOBAL + b"- a\n": "must contain keys and values, such as seed: 1",
}

WRONG_ARGUMENTS = {
    "seed": r"seed: must be KEY=VALUE",
    "=": r"Could not override ''",
    "seed=1=2": r"""seed=1=2: cannot be parsed \(mis.*\); .* quote it: 'seed="1=2"'""",
    "seed=[1": r"seed=\[1: cannot be parsed \(no viable alternative",
    "seed={a": r"seed=\{a: cannot be parsed",
    "seed='1": r"seed='1: cannot be parsed \(a quotation mark is not closed",
    "seed=foo(3)": r"seed=foo\(3\): cannot be parsed \('foo\(3\)': Unknown function 'foo'\)",
    "seed=0,": r"seed=0,: cannot be parsed",
    "seed=0,1": r"seed=0,1: has several values; add -m .* 'seed=\[0,1\]', .*",
    "seed.x=1": r"seed: holds a value, not further keys; give seed=VALUE",
    "model=[a]": r"In 'config': Could not load 'model/a'.",
    "model=../x": r"model=../x: no such choice",
    "~nope": r"Could not delete from config. 'nope' does not exist.",
    "~model.backbone": r"model.backbone: .* does not support deletion",
    "model@foo=x": r"Could not override 'model@foo'.",
    "hydra.run.dir=": r"hydra.run.dir='': is not a valid folder name",
    "hydra.run.dir=null": r"hydra.run.dir=null: must have a value",
    "hydra.run.dir=[a]": r"hydra.run.dir: Cannot convert 'list' to string",
    "hydra.searchpath=3": r"hydra.searchpath must be a list of strings",
    "hydra.searchpath=[/nowhere]": r"cannot be composed: .*path=/nowhere is not available",
    "hydra.searchpath=[foo://x]": r"cannot be composed: No config source registered for schema foo",
    "hydra/job_logging=nope": r"hydra/job_logging=nope: no such choice",
    "data.root=": r"data.root='': must not be empty",
    "data.cache=": r"data.cache='': must not be empty",
    "data.phantom=null": r"data.root: refers to \$\{data.phantom.cases\}, but there",
    "training.lr=inf": r"training.lr=inf: must be between",
    "seed=${hydra:nope}": r"seed: While dereferencing interpolation",
    "-m seed=0,(": r"""seed=0,\(: cannot be parsed .* quote it: 'seed="0,\("'""",
    "training.lr=tag(log,interval(0.1,1))": r".*: has several values; add -m and hydra/sweeper=o",
    "data=btxrd data.root=/d data.phantom.cases=6": (
        r"data.phantom.cases=6: data.phantom is null with data=btxrd; leave it out"
    ),
    "foo=1": r"foo: no such key; known here: model, .*, experiment, search",
    "-m seed=range(0,0) training.epochs=1": r"seed=range\(0,0\): gives no value",
    "-m seed=range(0)": r"seed=range\(0\): gives no value; give at least one",
    "-m seed=range(0,9,0)": r"cannot be composed: range\(\) arg 3 must not be zero",
    "-m seed=interval(0,1)": r"seed=interval\(0,1\): needs a search",
    "-m seed=glob(*)": r"seed=glob\(\*\): seed is not a config group",
    "-m seed=0,0": r"seed=0,0: contains a value twice; give each value once",
    "-m seed=0,1 hydra.sweep.subdir=/a": r"hydra.sweep.subdir=/a: must be the name of a folder in",
    "training=3": r"training=3: is not the name of a choice; must be one of full, generalise",
    "+seed=1": r"\+seed: there is such a key; leave out the \+, as in seed=VALUE",
    "-m hydra.sweep.dir=a,b seed=0": r"Sweeping over Hydra's configuration is not supported",
    "-m hydra.sweep.subdir=${nope} seed=0": r"hydra.sweep.subdir: refers to \$\{nope\}",
    "-m hydra/launcher=nope": r".*no such choice; must be one of default, basic, joblib, slurm$",
    "-m hydra.sweeper=null seed=0,1": r"hydra.sweeper|cannot be composed",
    "-m hydra/sweeper=optuna hydra/sweeper/sampler=nope": r"hydra/sweeper/sampler=nope: no such",
}


@pytest.fixture(scope="module", autouse=True)
def configs(tmp_path_factory):
    """A further folder of configs; Hydra starts once for all tests of this module."""
    register_schema()
    folder = tmp_path_factory.mktemp("more") / "experiment"
    folder.mkdir()
    with hydra_over_conf(str(folder.parent)):
        yield folder


def message_of(typed):
    with pytest.raises((InputError, HydraException, OmegaConfBaseException)) as got:
        plan(typed)
    text = explain(got.value)
    assert "\n" not in text
    return text


def message_of_file(content, configs):
    (configs / "mine.yaml").write_bytes(content)
    return message_of(CommandLine(["experiment=mine"]))


@pytest.mark.parametrize("content", WRONG_FILES, ids=range(len(WRONG_FILES)))
def test_a_wrong_file_is_one_line(content, configs):
    text = message_of_file(GLOBAL + content, configs).removeprefix(f"{configs}/")
    assert re.match(WRONG_FILES[content], text), text


@pytest.mark.parametrize("content", WITHOUT_SETTINGS)
def test_an_experiment_without_settings_says_what_it_lacks(content, configs):
    message = message_of_file(content, configs)
    assert message == f"{configs}/mine.yaml: {WITHOUT_SETTINGS[content]}"


@pytest.mark.parametrize("typed", WRONG_ARGUMENTS)
def test_a_wrong_argument_is_one_line(typed):
    words = typed.split()
    text = message_of(CommandLine([word for word in words if word != "-m"], is_sweep="-m" in words))
    assert re.match(WRONG_ARGUMENTS[typed], text), text


@pytest.mark.parametrize("name", ["nope", "", ".", "/etc/passwd"])
def test_a_primary_config_that_is_missing_is_one_line(name):
    assert message_of(CommandLine([], name)).startswith("--config-name ")


def test_an_experiment_may_set_every_key(configs):
    (configs / "mine.yaml").write_bytes(GLOBAL + b"seed: 7\nhydra: {run: {dir: here}}\n")
    ((run_dir, config),) = plan(CommandLine(["experiment=mine"])).runs.items()
    assert (run_dir.name, config.seed) == ("here", 7)


def test_a_message_is_one_line_without_control_codes():
    assert printable("a\n b\x1b[31m \udcff \u00e9") == r"a b\x1b[31m \udcff é"
