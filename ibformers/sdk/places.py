"""Places in a trainer's own files, for messages: the file below the folder of its package, and the line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


def module_path(module: str) -> Path:
    """Return the folder of a module's top-level package, or the file of a module that is no package."""
    file = Path(getattr(sys.modules[module.partition(".")[0]], "__file__", None) or module)
    return file.parent if file.name == "__init__.py" else file


def place(module: str, file: str, line: int) -> str:
    """Return FILE:LINE, with the file relative to where the trainer's package is."""
    path, top = Path(file), module_path(module).parent
    return f"{path.relative_to(top).as_posix() if path.is_relative_to(top) else path.name}:{line}"


def place_in_traceback(module: str, traceback: TracebackType | None, otherwise: str) -> str:
    """Return the place of the innermost call of a traceback that is in the trainer's package."""
    found, own = otherwise, module_path(module)
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if Path(file).is_relative_to(own):
            found = place(module, file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def reason(error: BaseException, *folders: Path) -> str:
    """Return type and first line of an error, without the paths of folders that are temporary."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0].removesuffix(": ")
    for folder in folders:
        text = text.replace(f"{folder}/", "").replace(str(folder), "its folder")
    return text
