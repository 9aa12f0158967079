"""Sizes of images, read from the headers of PNG and JPEG files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_HEADER_BYTES = 2**20
# Markers of frames, which hold the size: SOF0 to SOF15 without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(folder: Path, stem: str) -> tuple[float, float] | None:
    """Return width and height in pixels of the image of this name; None if there is none that can be read."""
    for suffix in SUFFIXES:
        for file in (folder / f"{stem}{suffix}", folder / f"{stem}{suffix.upper()}"):
            if file.is_file():
                return _size_of(file)
    return None


def _size_of(file: Path) -> tuple[float, float] | None:
    try:
        with file.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
        if header.startswith(_PNG):
            width, height = struct.unpack(">II", header[16:24])
            return float(width), float(height)
        return _jpeg_size(header) if header.startswith(_JPEG) else None
    except (OSError, struct.error, IndexError):
        return None


def _jpeg_size(data: bytes) -> tuple[float, float] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return float(width), float(height)
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int(struct.unpack(">H", data[at + 2 : at + 4])[0])
    return None
