"""Process that makes a virtual environment and installs requirements in it with pip."""

import importlib.util
import resource
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from pytest_ibmodels.sandbox.execution.channel import Channel, send_json
from pytest_ibmodels.sandbox.execution.child import bootstrap_child, plain_text
from pytest_ibmodels.sandbox.execution.environments import Environment

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_ERROR = "ERROR:"
_OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-warn-script-location", "--progress-bar", "off")


@dataclass(frozen=True)
class EnvironmentTask:
    """Arguments of :func:`make_environment`.

    Attributes:
        log: File for the output of pip.
        scratch: Working directory.
    """

    environment: Environment
    log: Path
    scratch: Path


class _InstallError(Exception):
    """pip could not install the requirements; the text is its reason."""


def make_environment(channel: Channel, parent_pipe: Channel, task: EnvironmentTask) -> None:
    """Make an environment anew, whatever an interrupted process has left of it.

    The last message is ``{"result": null}``, ``{"failure": ...}`` if the requirements cannot be met, or
    ``{"fault": ...}``, the reason in one sentence why the sandbox could not make it.
    """
    environment = task.environment
    outcome: dict[str, object]
    try:
        variables = dict(environment.variables)
        bootstrap_child(parent_pipe, log=task.log, folder=task.scratch, variables=variables)
        send_json(channel, {"message": "installing the package's requirements"})
        shutil.rmtree(environment.folder, ignore_errors=True)
        _make(environment)
        environment.mark_ready()
        outcome = {"result": None}
    except _InstallError as error:
        names = " and ".join(f"{file.parent.name}/{file.name}" for file in environment.requirements)
        text = f"{names} cannot be installed: {error}"
        outcome = {"failure": {"msg": text, "error": text, "strace": "", "frames": ""}}
    except OSError as error:
        outcome = {"fault": plain_text(f"the environment of the package's requirements cannot be made: {error}")}
    if "result" not in outcome:
        shutil.rmtree(environment.folder, ignore_errors=True)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sys.stdout.flush()
    send_json(channel, {**outcome, "peak_memory": peak * _MAXRSS_UNIT})


def _make(environment: Environment) -> None:
    venv.EnvBuilder(symlinks=True).create(environment.folder)
    packages = next(environment.folder.glob("lib/python*/site-packages"))
    # `site.addsitedir` also reads the .pth files of these folders, which name editable packages.
    shared = [entry for entry in sys.path if Path(entry).is_dir()]
    lines = [f"import site; site.addsitedir({entry!r})" for entry in shared]
    (packages / "sandbox.pth").write_text("\n".join(lines), encoding="utf-8")
    if importlib.util.find_spec("pip") is None:
        try:
            _run(environment, "-m", "ensurepip")
        except _InstallError:
            raise OSError("the sandbox's Python has no pip: install pip beside pytest-ibmodels") from None
    links = [part for link in environment.find_links for part in ("--find-links", link)]
    files = [part for file in environment.requirements for part in ("-r", str(file))]
    _run(environment, "-m", "pip", "install", *_OPTIONS, *links, *files)


def _run(environment: Environment, *arguments: str) -> None:
    """Run the environment's Python with its output in the log. Raises: _InstallError; the text is its last error."""
    command = [str(environment.python), *arguments]
    told = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            sys.stdout.write(line)
            if line.strip() and (line.startswith(_ERROR) or not told.startswith(_ERROR)):
                told = line.strip()
    if pip.returncode:
        told = told.removeprefix(_ERROR).replace(str(environment.folder), "the environment")
        for file in environment.requirements:
            told = told.replace(f"{file.parent}/", "")
        raise _InstallError(plain_text(told.strip()))
