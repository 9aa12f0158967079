"""Decide which files git ignores.

As git's ``dir.c`` and ``wildmatch.c`` do, this module compares bytes and checks every folder of a path separately.
Libraries that compile patterns into expressions for whole paths let ignored files through if there are two
``.gitignore`` files, or a class such as ``[[:alpha:]]``. The index is not read: a tracked file that matches a pattern
counts as ignored.
"""

from __future__ import annotations

import os
import re
import shutil
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"
_SPECIAL = b"*?[\\"
_GIT_SECONDS = 10.0
_CLASSES = {
    b"alnum": (string.ascii_letters + string.digits).encode(),
    b"alpha": string.ascii_letters.encode(),
    b"blank": b" \t",
    b"cntrl": bytes(range(32)) + b"\x7f",
    b"digit": string.digits.encode(),
    b"graph": bytes(range(33, 127)),
    b"lower": string.ascii_lowercase.encode(),
    b"print": bytes(range(32, 127)),
    b"punct": string.punctuation.encode(),
    b"space": b" \t\n\r",
    b"upper": string.ascii_uppercase.encode(),
    b"xdigit": string.hexdigits.encode(),
}


class _NeverMatches(Exception):
    """A pattern that git accepts, but that matches nothing."""


@dataclass(frozen=True)
class _Pattern:
    """One pattern of a ``.gitignore`` file.

    Attributes:
        regex: expression for the name of a file, or for its path relative to the folder of the ``.gitignore``.
        is_negative: whether it starts with `!`, and so includes files again.
        is_for_folders: whether it ends with a slash, and so matches folders only.
        is_for_names: whether it has no other slash, and so matches the name alone.
    """

    regex: re.Pattern[bytes]
    is_negative: bool
    is_for_folders: bool
    is_for_names: bool


@dataclass(frozen=True)
class _Level:
    """The patterns of one file, and the folder that they are relative to."""

    folder: tuple[bytes, ...]
    patterns: tuple[_Pattern, ...]

    def verdict(self, path: tuple[bytes, ...], *, is_folder: bool) -> bool | None:
        """Return whether the last matching pattern ignores the path; None if no pattern matches."""
        name = b"/".join(path[len(self.folder) :])
        for pattern in reversed(self.patterns):
            if pattern.is_for_folders and not is_folder:
                continue
            if pattern.regex.fullmatch(path[-1] if pattern.is_for_names else name):
                return not pattern.is_negative
        return None


@dataclass(frozen=True)
class IgnoreRules:
    """The rules of one folder.

    In a checkout, they come from the ``.gitignore`` files from its top down to the folder, from ``.git/info/exclude``,
    and from the user's excludes file. Elsewhere, they come from the folder's own ``.gitignore``.
    """

    _levels: tuple[_Level, ...] = ()

    @classmethod
    def for_folder(cls, folder: Path) -> IgnoreRules | None:
        """Rules of a folder; None if the folder itself is ignored.

        Args:
            folder: absolute path without links.

        Raises:
            OSError: A ``.gitignore`` cannot be read.
        """
        chain = folders_down_to(folder)
        rules = cls(tuple(_user_levels(chain[0]))).within(chain[0])
        for inner in chain[1:]:
            if rules.is_ignored(inner, is_folder=True):
                return None
            rules = rules.within(inner)
        return rules

    def is_ignored(self, path: Path, *, is_folder: bool) -> bool:
        """Return whether git ignores ``path``, a child of the folder of these rules. A link counts as a file."""
        parts = _parts(path)
        for level in reversed(self._levels):
            verdict = level.verdict(parts, is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False

    def within(self, folder: Path) -> IgnoreRules:
        """Rules of a child folder that is not ignored.

        Raises:
            OSError: Its ``.gitignore`` cannot be read.
        """
        added = [*_levels_of(_git_folder(folder) / "info" / "exclude", folder)] if (folder / ".git").exists() else []
        ignore = folder / ".gitignore"
        # git does not follow a .gitignore that is a link.
        if not ignore.is_symlink() and ignore.is_file():
            added.append(_Level(_parts(folder), patterns_of(ignore.read_bytes())))
        return IgnoreRules((*self._levels, *added)) if added else self


def patterns_of(data: bytes) -> tuple[_Pattern, ...]:
    """Patterns of the content of a ``.gitignore`` file, without the lines that git skips."""
    lines = data.removeprefix(_BOM).split(b"\n")
    return tuple(pattern for line in lines if (pattern := _pattern_of(line)) is not None)


def _pattern_of(line: bytes) -> _Pattern | None:
    if line.startswith(b"#"):
        return None
    text = _without_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
    is_negative = text.startswith(b"!")
    text = text[1:] if is_negative else text
    is_for_folders = text.endswith(b"/")
    text = text[:-1] if is_for_folders else text
    is_for_names = b"/" not in text
    text = text if is_for_names else text.removeprefix(b"/")
    if not text:
        return None
    try:
        regex = _expression(text, across=is_for_names)
    except _NeverMatches:
        return None
    return _Pattern(re.compile(regex, re.DOTALL), is_negative, is_for_folders, is_for_names)


def _without_trailing_spaces(text: bytes) -> bytes:
    """Strip the spaces at the end, except a space after a backslash."""
    kept = index = 0
    while index < len(text):
        if text[index : index + 1] == b"\\":
            index += 1
        elif text[index : index + 1] == b" ":
            index += 1
            continue
        index += 1
        kept = index
    return text[:kept]


def _expression(text: bytes, *, across: bool) -> bytes:
    """Regular expression for one pattern.

    Args:
        text: the pattern.
        across: whether wildcards match slashes; True for names, which have no slashes.

    Raises:
        _NeverMatches: The pattern can match nothing, for example because a bracket is not closed.
    """
    # git compares the text before the first wildcard literally, and the rest as a pattern of its own.
    begin = next((index for index, byte in enumerate(text) if byte in _SPECIAL), len(text))
    parts, text, index = [re.escape(text[:begin])], text[begin:], 0
    one = b"." if across else b"[^/]"
    while index < len(text):
        character = text[index : index + 1]
        if character == b"*":
            part, index = _stars(text, index, across=across)
        elif character == b"?":
            part, index = one, index + 1
        elif character == b"[":
            part, index = _bracket(text, index + 1, across=across)
        elif character == b"\\":
            if index + 1 == len(text):
                raise _NeverMatches
            part, index = re.escape(text[index + 1 : index + 2]), index + 2
        else:
            part, index = re.escape(character), index + 1
        parts.append(part)
    return b"".join(parts)


def _stars(text: bytes, index: int, *, across: bool) -> tuple[bytes, int]:
    """Expression for the asterisks at ``index``, and the index after them."""
    end = index
    while text[end : end + 1] == b"*":
        end += 1
    if across:
        return b".*", end
    begins_part = index == 0 or text[index - 1 : index] == b"/"
    rest = text[end : end + 2]
    if end - index < 2 or not begins_part or not (rest == b"" or rest.startswith(b"/") or rest == b"\\/"):
        return b"[^/]*", end
    if rest.startswith(b"/"):
        return b"(?:.*/)?", end + 1
    return b".*", end


def _bracket(text: bytes, index: int, *, across: bool) -> tuple[bytes, int]:
    """Expression for the class whose content starts at ``index``, and the index after its bracket."""
    is_negative = text[index : index + 1] in {b"!", b"^"}
    index += is_negative
    chosen: set[int] = set()
    before: int | None = None
    is_first = True
    while is_first or text[index : index + 1] != b"]":
        is_first = False
        if index >= len(text):
            raise _NeverMatches
        if text[index : index + 2] == b"[:":
            named, behind = _named_class(text, index)
            chosen.update(named)
            # An unclosed `[:` is two literal characters.
            before, index = (ord("["), index + 1) if behind is None else (None, behind)
        elif text[index] == ord("-") and before is not None and text[index + 1 : index + 2] not in {b"", b"]"}:
            last, index = _literal(text, index + 1)
            chosen.update(range(before, last + 1))
            before = None
        else:
            before, index = _literal(text, index)
            chosen.add(before)
    if is_negative:
        chosen = set(range(256)) - chosen
    if not across:
        chosen.discard(ord("/"))
    members = b"".join(b"\\x%02x" % byte for byte in sorted(chosen))
    return (b"[" + members + b"]" if members else b"(?!)"), index + 1


def _literal(text: bytes, index: int) -> tuple[int, int]:
    """Character at ``index`` of a class, and the index after it."""
    index += text[index : index + 1] == b"\\"
    if index >= len(text):
        raise _NeverMatches
    return text[index], index + 1


def _named_class(text: bytes, index: int) -> tuple[bytes, int | None]:
    """Members of the `[:name:]` at ``index``, and the index after it; None if there is no `[:name:]`."""
    end = text.find(b"]", index + 2)
    if end < 0:
        raise _NeverMatches
    if end - index < 3 or text[end - 1 : end] != b":":
        return b"[", None
    name = text[index + 2 : end - 1]
    if name not in _CLASSES:
        raise _NeverMatches
    return _CLASSES[name], end + 1


def _parts(path: Path) -> tuple[bytes, ...]:
    return tuple(map(os.fsencode, path.parts))


def folders_down_to(folder: Path) -> list[Path]:
    """Folders whose ``.gitignore`` applies: from the top of the git checkout, if there is one, to ``folder``."""
    chain = [folder, *folder.parents]
    for index, parent in enumerate(chain):
        if (parent / ".git").exists():
            return chain[index::-1]
    return [folder]


def _levels_of(file: Path, folder: Path) -> Iterator[_Level]:
    try:
        if file.is_file():
            yield _Level(_parts(folder), patterns_of(file.read_bytes()))
    except OSError:
        return  # git warns and continues


def _git_folder(top: Path) -> Path:
    """Folder in which git keeps the data that a checkout shares with all its worktrees."""
    folder = top / ".git"
    try:
        if folder.is_file():  # in a worktree or a submodule
            folder = top / os.fsdecode(folder.read_bytes().removeprefix(b"gitdir:").strip())
        common = folder / "commondir"
        if common.is_file():
            folder /= os.fsdecode(common.read_bytes().strip())
    except (OSError, ValueError):
        pass
    return folder


def _user_levels(top: Path) -> Iterator[_Level]:
    """Patterns of the user's excludes file, if ``top`` is a checkout."""
    if not (top / ".git").exists():
        return
    file = _configured_excludes(top)
    if file is None:
        settings = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
        file = Path(settings) / "git" / "ignore"
    yield from _levels_of(file, top)


def _configured_excludes(top: Path) -> Path | None:
    """File that the setting ``core.excludesFile`` names; None without the setting or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "config", "--type=path", "--get", "core.excludesFile"]
    try:
        asked = subprocess.run(command, cwd=top, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return top / os.fsdecode(asked.stdout.removesuffix(b"\n")) if asked.returncode == 0 else None
