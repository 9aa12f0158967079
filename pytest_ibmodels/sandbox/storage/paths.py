"""Drive paths, ``OWNER/REPO/fs/DRIVE/PATH``, checked so that no request leaves the drive."""

import re
from dataclasses import dataclass
from typing import Self

from pytest_ibmodels.sandbox.errors import SandboxError

ROOT_DEPTH = 3
"""Number of parts of ``OWNER/REPO/fs``, which holds the drives."""
_MAX_NAME_BYTES = 255
_PLAIN_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9 ._-]{1,255}")
_MAX_PATH_BYTES = 3500
_MAX_PARTS = 128
"""Depth limit: functions that walk a tree recurse once per folder."""


@dataclass(frozen=True, order=True)
class DrivePath:
    """A checked path: every part is a valid file name."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``text``, ignoring slashes at both ends and repeated ones (Instabase protocol, "Drives").

        Raises:
            SandboxError: the path is empty, leads out of the drive, or has an invalid part.
        """
        return cls._checked(tuple(part for part in text.split("/") if part), text)

    @classmethod
    def _checked(cls, parts: tuple[str, ...], text: str) -> Self:
        for part in parts or ("",):
            _check_part(part, text)
        if len(text.encode()) > _MAX_PATH_BYTES:
            raise SandboxError(f"the path {text[:80]!r}... is longer than {_MAX_PATH_BYTES} bytes")
        if len(parts) > _MAX_PARTS:
            raise SandboxError(f"the path {text[:80]!r}... has {len(parts)} parts; at most {_MAX_PARTS} are allowed")
        if len(parts) >= ROOT_DEPTH and parts[2] != "fs":
            raise SandboxError(
                f"the path {text!r} is not of the form OWNER/REPO/fs/DRIVE/PATH: its third part is not 'fs'"
            )
        return cls(parts)

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def parent(self) -> Self:
        return type(self)(self.parts[:-1])

    def joined(self, *names: str) -> Self:
        """Path below this one; each of ``names`` is one name, or several separated by slashes, none empty."""
        parts = (*self.parts, *(part for name in names for part in name.split("/")))
        return self._checked(parts, "/".join(parts))

    def entry(self, name: str) -> Self:
        """Path of a listed entry of this folder; the listing has checked its name."""
        return type(self)((*self.parts, name))

    def starts_with(self, other: Self) -> bool:
        """Return whether this is ``other`` or below it."""
        return self.parts[: len(other.parts)] == other.parts


def _check_part(part: str, text: str) -> None:
    if _PLAIN_NAME.fullmatch(part):  # fast path for nearly all names
        return
    reasons = {
        "it is empty, or has an empty part": not part,
        "the parts '.' and '..' are not allowed": part in {".", ".."},
        "it holds a backslash; parts are separated by '/'": "\\" in part,
        "it holds a control character": any(ord(character) < 32 or ord(character) == 127 for character in part),
        "it is not valid UTF-8": any(character == "\ufffd" or "\ud800" <= character <= "\udfff" for character in part),
    }
    for reason, applies in reasons.items():
        if applies:
            raise SandboxError(f"the path {text[:300]!r} is refused: {reason}")
    if len(part.encode()) > _MAX_NAME_BYTES:
        raise SandboxError(f"the path {text[:80]!r}... is refused: it has a part of more than {_MAX_NAME_BYTES} bytes")


APPLICATIONS = DrivePath.parse("system/global/fs/Instabase Drive/Applications")
"""Read-only folder of published and installed packages (Instabase protocol, "Marketplace")."""
