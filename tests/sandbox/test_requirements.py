"""Packages with requirements: a virtual environment for each content, made once, offline."""

from __future__ import annotations

import os
import socket
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.sandbox.execution.environments import find_environment, remove_unused
from pytest_ibmodels.sandbox.settings import Settings
from tests.sandbox.pushed import document
from tests.sandbox.running import SECONDS, RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLES = {"PIP_NO_INDEX": "1"}
CODE = """
import sys
import greeting, psutil

def train(save_path, file_client=None, **_):
    files = {
        "package.json": '{"classpath": "model.model.IbModel", "packages": ["src/py/code/"]}',
        "src/py/model/model.py": "from polite.serve import IbModel",
        "src/py/code/polite/serve.py": SERVE,
        "src/py/code/polite/requirements.txt": "greeting>=1.0",
    }
    for name, text in files.items():
        file_client.write_file(f"{save_path}/{name}", text.encode())
    return [greeting.TEXT, sys.prefix, sys.executable, psutil.__file__]

SERVE = '''
import greeting
class IbModel:
    def __init__(self, **_): pass
    def load(self): pass
    def run(self, request): return {"raw_data": {"type": "str", "data": greeting.TEXT}}
'''
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of greeting 1.0 and 2.0, which are installed nowhere."""
    folder = tmp_path_factory.mktemp("wheels")
    for version, text in (("1.0", "good day"), ("2.0", "hi")):
        about = f"greeting-{version}.dist-info"
        files = {
            "greeting.py": f"TEXT = {text!r}\n",
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
        with zipfile.ZipFile(folder / f"greeting-{version}-py3-none-any.whl", "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[RunningSandbox]:
    """A sandbox that installs from the folder of wheels alone."""
    data = tmp_path_factory.mktemp("requirements") / "data"
    sandbox = RunningSandbox(data, "--find-links", str(wheels), "--max-jobs", "2", environ=VARIABLES)
    yield sandbox
    sandbox.close()


def test_jobs_and_models_run_in_the_environment_of_their_requirements(
    running: RunningSandbox, wheels: Path, root: str, tmp_path: Path
) -> None:
    requirements = "greeting==1.0  # the polite one\npsutil\n"
    running.push(f"{root}/code", {"polite/__init__.py": CODE, "polite/requirements.txt": requirements})
    (tmp_path / "requirements.txt").write_text(requirements)
    settings = Settings(data=running.data, find_links=(str(wheels),), pip_variables=VARIABLES)
    environment = find_environment([tmp_path], settings, settings.environments_root)
    assert environment is not None
    interrupted = environment.folder / "lib" / "python3" / "site-packages" / "greeting.py"
    interrupted.parent.mkdir(parents=True)
    interrupted.write_text("half of")

    jobs = [running.train(f"{root}/code/polite", "polite.train", save_path=f"{root}/model") for _ in range(2)]
    results = [running.wait(job_id)["results"][0] for job_id in jobs]
    assert results[0]["status"] == "OK", results
    text, prefix, executable, shared = results[0]["result"]
    assert (text, prefix, executable) == ("good day", str(environment.folder), str(environment.python))
    assert not shared.startswith(prefix), "what the sandbox has is not installed again"
    assert not interrupted.exists()
    assert results[1]["result"] == results[0]["result"]
    told = [entry["log"] for job_id in jobs for entry in running.log(job_id)]
    assert len([line for line in told if "Successfully installed greeting-1.0" in line]) == 1

    running.write(f"{root}/a.ibocr", document("a"))
    body = {"model_name": "polite", "model_fs_path": f"{root}/model", "input_path": f"{root}/a.ibocr"}
    answer = running.api("model-service/run", body)
    assert answer.get("raw_data") == {"type": "str", "data": "hi"}, answer  # its requirements are others


def test_requirements_that_cannot_be_met_are_one_sentence(running: RunningSandbox, root: str) -> None:
    before = set(running.data.glob("environments/*"))
    running.push(f"{root}/code", {"polite/__init__.py": CODE, "polite/requirements.txt": "greeting==3.0\n"})
    job_id = running.train(f"{root}/code/polite", "polite.train", save_path=f"{root}/model")
    status = running.wait(job_id)
    reason = "No matching distribution found for greeting==3.0"
    assert status["msg"] == f"polite/requirements.txt cannot be installed: {reason}", status
    assert "fault" not in status["results"][0]
    assert any("from versions: 1.0, 2.0" in entry["log"] for entry in running.log(job_id))
    assert set(running.data.glob("environments/*")) == before


def test_cancelling_ends_the_installation(running: RunningSandbox, root: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        link = f"--find-links http://127.0.0.1:{silent.getsockname()[1]}/"
        running.push(f"{root}/code", {"polite/__init__.py": CODE, "polite/requirements.txt": f"{link}\nnothing"})
        jobs = [running.train(f"{root}/code/polite", "polite.train", save_path=root) for _ in range(2)]
        connection, _address = silent.accept()
        with connection:
            for job_id in jobs:
                begun = time.monotonic()
                assert running.api("jobs/cancel", {"job_id": job_id})["status"] == "OK"
                assert running.wait(job_id)["msg"] == "cancelled"
                assert time.monotonic() - begun < 3
        assert not [process for process in running.family() if "pip" in process.cmdline()]


def test_the_environment_depends_on_what_is_needed(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    package = tmp_path / "polite"
    (package / "wheels").mkdir(parents=True)
    assert find_environment([package], settings, settings.environments_root) is None

    def folder(text: str) -> Path:
        (package / "requirements.txt").write_text(text)
        environment = find_environment([tmp_path / "other", package], settings, settings.environments_root)
        assert environment is not None
        return environment.folder

    assert folder("greeting==1.0") == folder("# comment\n\ngreeting==1.0  # another\n")
    assert folder("greeting==1.0") != folder("greeting==2.0")
    plain, local = folder("greeting[a] >= 1.0 ; python_version > '3'"), folder("-r more.txt")
    (package / "more.txt").write_text("greeting")
    assert folder("greeting[a] >= 1.0 ; python_version > '3'") == plain
    assert folder("-r more.txt") != local
    (package / "requirements.txt").write_text("# none\n")
    assert find_environment([package], settings, settings.environments_root) is None


def test_environments_are_removed_when_they_were_not_used_for_long(tmp_path: Path) -> None:
    for name in ("new", "old", "busy", "half"):
        (tmp_path / name).mkdir()
        if name != "half":
            (tmp_path / name / "ready").touch()
        if name != "new":
            os.utime(tmp_path / name / "ready" if name != "half" else tmp_path / name, (1, 1))
    remove_unused(tmp_path, time.time() - 60, lambda python: python.parents[1].name == "busy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["busy", "new"]
    remove_unused(tmp_path / "none", time.time(), lambda _python: False)
