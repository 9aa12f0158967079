"""Virtual environments for the requirements of pushed packages, one for each content, kept below the data folder.

An environment also sees the packages of the sandbox's own Python, so that torch is not installed twice.
"""

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.locks import open_locked

REQUIREMENTS = "requirements.txt"
"""File of a package that names what it needs, in pip's format."""
_READY = "ready"
"""File of an environment that is complete; its time is that of the last use."""
_POLL_SECONDS = 0.2
# A name with versions, extras and markers; everything else may mean other files.
_PLAIN = re.compile(r"\s*[A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*([<>=!~(;][^@]*)?")


@dataclass(frozen=True)
class Environment:
    """A virtual environment, which may not be made yet.

    Attributes:
        folder: Where it is.
        requirements: Files in pip's format that say what is installed.
        find_links: Folders and URLs with further packages.
        variables: Variables of pip, ``PIP_...``.
    """

    folder: Path
    requirements: tuple[Path, ...]
    find_links: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        return (self.folder / _READY).exists()

    def mark_ready(self) -> None:
        """Record that the environment is complete, and used now."""
        (self.folder / _READY).touch()

    @contextmanager
    def hold(self, is_given_up: Callable[[], bool]) -> Iterator[bool]:
        """Keep others from making or removing the environment; yield False if ``is_given_up`` became true meanwhile."""
        while (lock := _lock(self.folder)) is None:
            if is_given_up():
                yield False
                return
            time.sleep(_POLL_SECONDS)
        with lock:
            yield True


def find_environment(packages: Iterable[Path], settings: Settings, root: Path) -> Environment | None:
    """Find the environment of packages below ``root``; None if none of them has requirements.

    Raises:
        OSError: A file cannot be read.
    """
    files = [package / REQUIREMENTS for package in packages]
    texts = {file: file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()}
    needed = {file: lines for file, text in texts.items() if (lines := _lines(text))}
    if not needed:
        return None
    content = [sys.version, sys.prefix, list(needed.values()), settings.find_links]
    for file, lines in needed.items():
        if not all(_PLAIN.fullmatch(line) for line in lines):
            content.append(_digest(file.parent))
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    variables = tuple(settings.pip_variables.items())
    return Environment(root / key, tuple(needed), settings.find_links, variables)


def remove_unused(root: Path, before: float, is_busy: Callable[[Path], bool]) -> None:
    """Remove environments below ``root`` that were last used before a time, and those that were never completed.

    Args:
        root: Folder of the environments.
        before: Time in seconds since 1970.
        is_busy: Whether a process of an environment's Python runs.
    """
    for folder in root.iterdir() if root.is_dir() else ():
        lock = _lock(folder)
        if lock is None:
            continue
        with lock, suppress(FileNotFoundError):
            ready = folder / _READY
            is_old = (ready if ready.exists() else folder).stat().st_mtime < before
            if is_old and not is_busy(folder / "bin" / "python"):
                ready.unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> IO[str] | None:
    """Lock an environment until the returned file is closed; None if another thread or process has it."""
    try:
        locks = folder.parent.with_name("environment-locks")
        locks.mkdir(parents=True, exist_ok=True)
        return open_locked(locks / folder.name)
    except BlockingIOError:
        return None


def _lines(text: str) -> list[str]:
    """Lines without comments."""
    bare = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in bare if line]


def _digest(folder: Path) -> str:
    """Hash of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder)}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
