"""Whether pushed code imports the training libraries, which take seconds to import."""

import os
import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

_NAMES = ("accelerate", "safetensors", "sentence_transformers", "torch", "torchvision", "transformers")
# An expression, because parsing code of others could take long, or crash the server. Text that looks like an import
# costs time, and so does an import that is not found, but nothing else.
_IMPORT = re.compile(
    rb"(?:^|[;:])[ \t]*(?:from[ \t]+|import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*)(?:%s)\b"
    % "|".join(_NAMES).encode(),
    re.MULTILINE,
)
_SDK_PACKAGE = "ibformers"
_SDK_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+ibformers\.sdk\b", re.MULTILINE)
_MAX_BYTES = 16 * 2**20


def imports_libraries(folders: Iterable[Path]) -> bool:
    """True if a Python file in these folders imports torch or another training library.

    Imports by a computed name are not found. If the folders have more code than is quickly read, the answer is true.
    ``ibformers`` does not count beside code that imports ``ibformers.sdk``, which needs none of these libraries.
    """
    left = _MAX_BYTES
    uses_sdk = False
    # Sorting is stable: files of ibformers come last.
    for is_sdk, file in sorted(_python_files(folders), key=itemgetter(0)):
        if is_sdk and uses_sdk:
            return False
        code = _read(file, left + 1)
        left -= len(code)
        if left < 0 or _IMPORT.search(code):
            return True
        uses_sdk = uses_sdk or _SDK_IMPORT.search(code) is not None
    return False


def _python_files(folders: Iterable[Path]) -> Iterator[tuple[bool, Path]]:
    """Whether a file belongs to ibformers, which is one of the folders or in one, and its path."""
    for top in folders:
        for folder, _folders, names in os.walk(top):
            is_sdk = _SDK_PACKAGE in (top.name, *Path(folder).relative_to(top).parts[:1])
            yield from ((is_sdk, Path(folder, name)) for name in names if name.endswith(".py"))


def _read(file: Path, size: int) -> bytes:
    try:
        # Opening a pipe would wait for a writer.
        if not file.is_file():
            return b""
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError:
        return b""
