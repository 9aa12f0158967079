"""Code blocks of the documents, and the folders that they run in."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import yaml

from tests.plugin.conftest import PROJECT, ROOT, TINY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLONE = Path(__file__).parents[1]
PAGES = [CLONE / "README.md", *sorted((CLONE / "docs").glob("*.md"))]
CLONED = ("ibformers", "conftest.py", "constraints.txt", "environments.yaml", "model_tests.yaml", "publish.py")
"""Files of the clone that blocks use, beside `pyproject.toml`."""

SHELLS = ("bash", "sh")
SECONDS = 500
"""Timeout of a block: some train, and other tests may run beside them."""

HEADING_OR_BLOCK = re.compile(
    r"^#+ (?P<heading>[^\n]+)$"
    r"|^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block. `name` is page and heading, with a number from the second block of code of a heading on."""

    page: str
    name: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, outputs and data included."""
    found: list[Block] = []
    heading, number = page.name, 0
    for match in HEADING_OR_BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["heading"]:
            heading, number = match["heading"].replace("`", ""), 0
            continue
        number += is_code(match["language"])
        name = f"{page.name}: {heading}" + (f" ({number})" if number > 1 else "")
        found.append(Block(page.name, name, match["language"], textwrap.dedent(match["text"])))
    return found


def is_code(language: str) -> bool:
    """Whether a reader runs such a block; the others are data, or outputs of programs."""
    return language not in {"", "text", "json", "yaml", "ini", "nginx", "dockerfile"}


@dataclass(frozen=True)
class Bench:
    """A prepared folder, and the sandbox that its page assumes: what the page says in place of `here` is replaced."""

    folder: Path
    url: str
    token: str

    def environ(self) -> dict[str, str]:
        """Variables for blocks: commands of this Python first, no GitHub, and no model hub."""
        path = os.pathsep.join([f"{self.folder}.bin", str(Path(sys.executable).parent), os.environ["PATH"]])
        github = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
        kept = {name: value for name, value in os.environ.items() if name not in github}
        return kept | {"PATH": path, "DOGFOOD_TOKEN": self.token, "HF_HUB_OFFLINE": "1"}

    def install_pip_shim(self) -> None:
        """Put a `pip` first in PATH that installs nothing: everything is installed where the tests run."""
        shim = Path(f"{self.folder}.bin") / "pip"
        shim.parent.mkdir()
        shim.write_text('#!/bin/sh\n[ "$1" = install ]\n')
        shim.chmod(0o755)

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block as it stands, as if it were pasted: its text is the standard input of bash or Python."""
        text = block.text.replace("http://127.0.0.1:8000", self.url)
        command = ["/bin/bash", "-eo", "pipefail"] if block.language in SHELLS else ["python", "-"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ(),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def write_environments(self) -> None:
        entry = {"host": self.url, "path": ROOT, "token": "${DOGFOOD_TOKEN}"}
        (self.folder / "environments.yaml").write_text(yaml.safe_dump({"dogfood": entry}))


def prepare_clone(bench: Bench) -> None:
    """Copy this repository, as far as blocks use it. The settings of pytest are the clone's."""
    bench.folder.mkdir()
    for name in CLONED:
        copy: Callable[[Path, Path], object] = shutil.copytree if (CLONE / name).is_dir() else shutil.copy
        copy(CLONE / name, bench.folder / name)
    shutil.copy(CLONE / "pyproject.toml", bench.folder)


def prepare_clone_beside_sandbox(bench: Bench) -> None:
    """Copy this repository, with the running sandbox as its only environment."""
    prepare_clone(bench)
    bench.write_environments()


def prepare_published(bench: Bench) -> None:
    """Publish the code of the clone in the running sandbox, and write its token into the file `token`."""
    prepare_clone_beside_sandbox(bench)
    (bench.folder / "token").write_text(bench.token)
    done = bench.run(Block("", "", "bash", "ibmodels publish"))
    assert done.returncode == 0, done.stdout


def prepare_project(bench: Bench) -> None:
    """Write a project whose model test trains in no time in the running sandbox, and whose code can be published."""
    bench.folder.mkdir()
    bench.write_environments()
    shutil.copytree(TINY, bench.folder / "tiny")
    described = json.loads((TINY / "package.json").read_text()) | {"solution_type": "pypkg"}
    (bench.folder / "tiny" / "package.json").write_text(json.dumps(described))
    (bench.folder / "pytest.ini").write_text("[pytest]\nibmodels_package = tiny\n")
    test = {"env": "dogfood", "ibannotator": PROJECT, "time_limit": 60, "metrics": {"f1": {"Name": 0.9}}}
    (bench.folder / "model_tests.yaml").write_text(yaml.safe_dump({"Receipts": test}))


def prepare_empty(bench: Bench) -> None:
    bench.folder.mkdir()


def serve(block: Block, bench: Bench) -> None:
    """Run a block whose last command is a server, ask the server for something, and stop it with SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = block.text.replace("8000", str(port)).replace("/srv/", f"{bench.folder}/srv/")
    with subprocess.Popen(
        ["/bin/bash", "-eo", "pipefail"], cwd=bench.folder, env=bench.environ(), stdin=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdin is not None
        shell.stdin.write(text)
        shell.stdin.close()
        try:
            _wait_for_answer(f"http://127.0.0.1:{port}/openapi.json", bench.folder / "token", shell)
            for child in psutil.Process(shell.pid).children():
                child.send_signal(signal.SIGTERM)
            assert shell.wait(20) == 0
        finally:
            if shell.poll() is None:
                for child in psutil.Process(shell.pid).children(recursive=True):
                    child.kill()
                shell.kill()


def _wait_for_answer(url: str, token: Path, shell: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert shell.poll() is None, "the server ended"
        try:
            headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
            assert httpx.get(url, headers=headers).status_code == 200
        except (httpx.TransportError, FileNotFoundError):
            time.sleep(0.2)
        else:
            return
    message = "the server did not answer"
    raise AssertionError(message)


PLACES: Mapping[str, Callable[[Bench], None]] = {
    "clone": prepare_clone,
    "clone beside a sandbox": prepare_clone_beside_sandbox,
    "published": prepare_published,
    "project": prepare_project,
    "server": prepare_empty,
}
"""Where blocks run, and how the folder is prepared. The last command of those of `server` is one."""
