"""Whether pushed code imports the training libraries, which take seconds to import."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

_NAMES = ("accelerate", "safetensors", "sentence_transformers", "torch", "torchvision", "transformers")
# An expression, because parsing code of others could take long, or crash the server. Text that looks like an import
# costs time, and so does an import that is not found, but nothing else.
_IMPORT = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from[ \t]+|import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*)(?:%s)\b"
    % "|".join(_NAMES).encode(),
    re.MULTILINE,
)
_MAX_BYTES = 16 * 2**20


def imports_libraries(folders: Iterable[Path]) -> bool:
    """True if a Python file in these folders imports torch or another training library.

    Imports by a computed name are not found. If the folders have more code than is quickly read, the answer is true.
    """
    left = _MAX_BYTES
    for top in folders:
        for folder, _folders, names in os.walk(top):
            for name in names:
                if not name.endswith(".py"):
                    continue
                code = _read(Path(folder, name), left + 1)
                left -= len(code)
                if left < 0 or _IMPORT.search(code):
                    return True
    return False


def _read(file: Path, size: int) -> bytes:
    try:
        # Opening a pipe would wait for a writer.
        if not file.is_file():
            return b""
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError:
        return b""
