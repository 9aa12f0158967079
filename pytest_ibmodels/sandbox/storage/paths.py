"""Drive paths, ``OWNER/REPO/fs/DRIVE/PATH``: the rules that keep every request inside the drive."""

import re
from dataclasses import dataclass
from typing import Self

from pytest_ibmodels.sandbox.errors import SandboxError

ROOT_DEPTH = 3
"""``OWNER/REPO/fs``, the place that holds the drives."""
_MAX_NAME_BYTES = 255
_SURELY_A_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9 ._-]{1,255}")
_MAX_PATH_BYTES = 3500
_MAX_PARTS = 128
"""Folders in folders; what walks through a tree calls itself for each."""


@dataclass(frozen=True, order=True)
class DrivePath:
    """A checked path; every part is a plain file name."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check ``text``. Slashes at both ends are dropped, and several in a row count as one (protocol section 1.3).

        Raises:
            SandboxError: for a path that is empty, leads elsewhere, or has a part that is no file name.
        """
        return cls._checked(tuple(part for part in text.split("/") if part), text)

    @classmethod
    def _checked(cls, parts: tuple[str, ...], text: str) -> Self:
        for part in parts or ("",):
            _check_part(part, text)
        if len(text.encode()) > _MAX_PATH_BYTES:
            msg = f"the path {text[:80]!r}... is longer than {_MAX_PATH_BYTES} bytes"
            raise SandboxError(msg)
        if len(parts) > _MAX_PARTS:
            msg = f"the path {text[:80]!r}... has {len(parts)} parts; at most {_MAX_PARTS} are allowed"
            raise SandboxError(msg)
        if len(parts) >= ROOT_DEPTH and parts[2] != "fs":
            msg = f"the path {text!r} is not of the form OWNER/REPO/fs/DRIVE/PATH: its third part is not 'fs'"
            raise SandboxError(msg)
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
        """The path ``names`` further down; each is one name, or several with slashes between, none of them empty."""
        parts = (*self.parts, *(part for name in names for part in name.split("/")))
        return self._checked(parts, "/".join(parts))

    def entry(self, name: str) -> Self:
        """The path of an entry of this folder whose name was checked when it was listed."""
        return type(self)((*self.parts, name))

    def starts_with(self, other: Self) -> bool:
        """Whether this is ``other`` or lies below it."""
        return self.parts[: len(other.parts)] == other.parts


def _check_part(part: str, text: str) -> None:
    if _SURELY_A_NAME.fullmatch(part):  # nearly all are, and requests have many parts
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
            msg = f"the path {text[:300]!r} is refused: {reason}"
            raise SandboxError(msg)
    if len(part.encode()) > _MAX_NAME_BYTES:
        msg = f"the path {text[:80]!r}... is refused: it has a part of more than {_MAX_NAME_BYTES} bytes"
        raise SandboxError(msg)


APPLICATIONS = DrivePath.parse("system/global/fs/Instabase Drive/Applications")
"""Where the drive shows, read-only, what is published and installed (protocol section 1.3)."""
