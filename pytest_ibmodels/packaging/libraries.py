"""Find the library that a package needs beside it: training code that imports ``ibformers.sdk`` is pushed with it.

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


def needs_library(files: Iterable[Path]) -> bool:
    """Return whether one of the Python files imports ``ibformers.sdk``. A file that is not Python does not.

    Raises:
        OSError: A file cannot be read.
    """
    return any(_imports_sdk(file.read_bytes()) for file in files)


def library_files() -> Mapping[str, Path]:
    """Files of the library: name in the zip, with ``/`` -> path; empty if it is not installed, or has no ``sdk``."""
    try:
        spec = importlib.util.find_spec(LIBRARY)
    except (ImportError, ValueError):
        return {}
    places = spec.submodule_search_locations if spec is not None else None
    folder = next((folder for folder in map(Path, places or ()) if (folder / "sdk" / "__init__.py").is_file()), None)
    if folder is None:
        return {}
    return {
        f"{LIBRARY}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SUFFIXES and path.is_file() and path.name != "package.json"
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
