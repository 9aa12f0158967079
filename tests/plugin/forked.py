"""Runs of pytest in forks of a process that has imported everything: each saves the second that imports take.

Apart from that, a run is `python -m pytest` in a process of its own. Runs whose variables change how Python itself
starts are real new processes.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

_LEFT_OUT = ("pytest_ibmodels.sandbox", "pytest_ibmodels.reports.html", "pytest_ibmodels.cli")
"""Packages that a run of pytest imports seldom or never."""
_LATER = ("anyio._backends._asyncio", "httpcore", "numpy", "sqlalchemy.dialects.sqlite")
"""Modules that a run imports when it first asks a server or opens a history."""
_OF_PYTHON = ("PYTHON", "LC_", "LANG")
"""Beginnings of the names of variables that Python reads when it starts."""
_UNFORKED = {"PYTHONDONTWRITEBYTECODE"}


class ForkServer:
    """A process that forks itself for each run of pytest; one run at a time."""

    def __init__(self) -> None:
        self._environ = _of_python(os.environ)
        command = [sys.executable, "-m", __name__]
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        atexit.register(self._process.kill)

    def can_run(self) -> bool:
        """Whether a fork is as good as a new process with the present variables."""
        return _of_python(os.environ) == self._environ

    def run(self, pytester: pytest.Pytester, *args: str, timeout: float | None) -> pytest.RunResult:
        begun = time.monotonic()
        outputs = [pytester.path / "stdout", pytester.path / "stderr"]
        number = len(list(pytester.path.glob("runpytest-*")))
        given = [f"--basetemp={pytester.path / f'runpytest-{number}'}", *args]
        print("running: pytest", *given)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"args": given, "cwd": str(Path.cwd()), "environ": dict(os.environ), "timeout": timeout}
        self._process.stdin.write(json.dumps(request | {"outputs": [str(path) for path in outputs]}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        out, err = (path.read_text(encoding="utf-8").splitlines() for path in outputs)
        print(*out, sep="\n")
        print(*err, sep="\n", file=sys.stderr)
        if answer is None:
            raise pytester.TimeoutExpired(f"{timeout} seconds are over: pytest {given}")
        return pytest.RunResult(answer, out, err, time.monotonic() - begun)


def _of_python(environ: Any) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_OF_PYTHON) and name not in _UNFORKED}


def _serve() -> None:
    package = importlib.import_module("pytest_ibmodels")
    for module in pkgutil.walk_packages(package.__path__, "pytest_ibmodels."):
        if not module.name.startswith(_LEFT_OUT):
            importlib.import_module(module.name)
    for name in _LATER:
        importlib.import_module(name)
    # Else pytest warns that it cannot rewrite the assertions of a module that is imported already; there are none.
    for imported in (package, sys.modules["anyio"]):
        imported.__doc__ = "PYTEST_DONT_REWRITE"
    gc.freeze()  # the garbage collector of a fork would copy every page
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _become_pytest(**request)
        print(json.dumps(_exit_code(pid, request["timeout"])), flush=True)


def _exit_code(pid: int, timeout: float | None) -> int | None:
    deadline = None if timeout is None else time.monotonic() + timeout
    while deadline is not None and time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    if deadline is not None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become_pytest(args: list[str], cwd: str, environ: dict[str, str], outputs: list[str], **_: Any) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    for descriptor, name in enumerate(["/dev/null", *outputs]):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o600), descriptor)
    # As `python -m` does, and as pytester does by a variable.
    sys.path[:] = [cwd, cwd, *(path for path in sys.path[1:] if path)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [cwd, environ.get("PYTHONPATH", "")]))
    sys.argv = ["pytest", *args]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _serve()
