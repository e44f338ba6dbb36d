"""Tests that start a subprocess test this checkout."""

import subprocess
import sys

from checkout import ROOT, environment

WHERE = "import btxrd; print(btxrd.__file__)"


def test_a_subprocess_in_another_folder_imports_this_checkout(tmp_path):
    installed = tmp_path / "installed" / "btxrd"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    env = environment(PYTHONPATH=str(installed.parent))
    command = [sys.executable, "-c", WHERE]
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert found.stdout.strip() == str(ROOT / "btxrd" / "__init__.py")


def test_the_path_that_is_inherited_comes_after_the_checkout(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert environment()["PYTHONPATH"] == f"{ROOT}:/elsewhere"


def test_further_variables_are_added():
    assert environment(OMP_NUM_THREADS="1")["OMP_NUM_THREADS"] == "1"
