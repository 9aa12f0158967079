"""Text files of a source, in UTF-8 or another encoding, with or without a byte order mark."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from pytest_ibmodels.documents.errors import DocumentsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST_FILE = 256 * 2**20
"""Maximum size of a file, in bytes."""

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_bytes(file: Path) -> bytes:
    """Read a file.

    Raises:
        DocumentsError: The file cannot be read, or it is too large.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise DocumentsError(f"the file is larger than {LARGEST_FILE >> 20} MiB; split it", file)
        return file.read_bytes()
    except OSError as error:
        raise DocumentsError(f"the file cannot be read ({error.strerror})", file) from None


def read_text(file: Path, encoding: str) -> str:
    """Read a text with the line breaks of Unix; a byte order mark counts more than ``encoding``.

    Raises:
        DocumentsError: The file cannot be read or decoded.
    """
    data = read_bytes(file)
    used = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        text = data.decode(used)
    except UnicodeDecodeError as error:
        # The position does not count a byte order mark.
        line = error.object.count(b"\n", 0, error.start) + 1
        advice = "name the file's encoding, for example --encoding cp1252"
        if used != encoding:
            advice = "the byte order mark names this encoding, so the file is damaged: write it again"
        raise DocumentsError(
            f"byte 0x{error.object[error.start]:02x} is not valid in {used.removesuffix('-sig')}; {advice}", file, line
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DocumentsError(
            "a NUL character is no text; name the file's encoding, for example --encoding utf-16-le", file, line
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def files_below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files with one of these suffixes in a folder and its subfolders, sorted; hidden ones are left out."""
    wanted = tuple(suffixes)
    return sorted(
        file
        for file in folder.rglob("*")
        if file.name.lower().endswith(wanted)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )
