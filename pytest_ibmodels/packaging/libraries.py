"""Find the library that a package needs beside it: training code that imports ``ibformers.sdk`` is pushed with it.

It is also the package of projects that have no training code of their own.

The library is found by its spec. It is never imported here, since it is training code.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIBRARY = "ibformers"
_SDK = f"{LIBRARY}.sdk"
_SUFFIXES = {".py", ".json"}
_INSTALLED = {"site-packages", "dist-packages"}


def needs_library(files: Iterable[Path]) -> bool:
    """Return whether one of the Python files imports ``ibformers.sdk``. A file that is not Python does not.

    Raises:
        OSError: A file cannot be read.
    """
    return any(_imports_sdk(file.read_bytes()) for file in files)


def installed_library() -> Path | None:
    """Folder of the library; None if it is not installed, or has no ``sdk``."""
    try:
        spec = importlib.util.find_spec(LIBRARY)
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec is not None else None
    return next((folder for folder in map(Path, places or ()) if (folder / "sdk" / "__init__.py").is_file()), None)


def library_files() -> Mapping[str, Path]:
    """Files of the library: name in the zip, with ``/`` -> path; empty if it is not installed."""
    folder = installed_library()
    files = {} if folder is None else installed_files(folder)
    return {f"{LIBRARY}/{name}": path for name, path in files.items() if name != "package.json"}


def is_installed(folder: Path) -> bool:
    """Return whether a folder is an installed package, which no ignore rule of git is about."""
    return folder.absolute().parent.name in _INSTALLED


def installed_files(folder: Path) -> dict[str, Path]:
    """Code and descriptions of an installed package: name below the folder, with ``/`` -> path."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SUFFIXES and path.is_file()
    }


def _imports_sdk(source: bytes) -> bool:
    if LIBRARY.encode() not in source:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False  # the environment reports it, with its line
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        if any(name == _SDK or name.startswith(f"{_SDK}.") for name in names):
            return True
    return False
