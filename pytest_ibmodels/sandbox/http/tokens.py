"""Tokens of a sandbox and their tenants."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_ibmodels.sandbox.errors import StartError

ONLY = ""
"""Name of the tenant in a sandbox with one token."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORM = "expected one token alone, or lines 'NAME TOKEN', one per tenant"


class Tokens:
    """Tokens by the names of their tenants; only digests of the tokens are kept."""

    def __init__(self, by_name: Mapping[str, str]) -> None:
        self._digests = {name: _digest(f"Bearer {token}".encode()) for name, token in by_name.items()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._digests)

    def tenant(self, authorization: bytes) -> str | None:
        """Name of the tenant whose token an ``Authorization`` header carries; None if the token is unknown.

        All tokens are compared, as digests, so that the time reveals nothing about any of them.
        """
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() == b"bearer":  # RFC 9110: the scheme is case-insensitive
            authorization = b"Bearer " + token.strip(b" ")
        given, found = _digest(authorization), None
        for name, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found

    def proof(self, name: str, key: bytes) -> str | None:
        """Value that only the tenant's token and ``key`` give; None if there is no such tenant.

        A session stores it to end with its token. Without ``key``, nobody can try tokens against it.
        """
        digest = self._digests.get(name)
        return None if digest is None else hmac.new(key, digest, hashlib.sha256).hexdigest()


def read_tokens(file: Path) -> Tokens:
    """Read a token file: one token alone, or lines ``NAME TOKEN``. Empty lines and lines that begin with # are ignored.

    Raises:
        StartError: it cannot be read, or is not of that form. The message contains no token.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartError(f"the token file '{file}' cannot be read: {reason}") from None
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, words) for number, words in lines if words and not words[0].startswith("#")]
    if not lines:
        raise StartError(f"the token file '{file}' holds no token; {_FORM}")
    if len(lines) == 1 and len(lines[0][1]) == 1:
        _check_token(lines[0][1][0], f"{file}:{lines[0][0]}")
        return Tokens({ONLY: lines[0][1][0]})
    by_name: dict[str, str] = {}
    for number, words in lines:
        _add(by_name, words, f"{file}:{number}")
    return Tokens(by_name)


def _add(by_name: dict[str, str], words: list[str], where: str) -> None:
    if len(words) != 2:
        raise StartError(f"{where}: this line has {len(words)} word{'s' if len(words) > 1 else ''}; {_FORM}")
    name, token = words
    if not _NAME.fullmatch(name):
        # The name is not shown: name and token may be swapped.
        raise StartError(
            f"{where}: the name is not of letters, digits, '.', '_' and '-', a letter or digit first, 64 at most"
        )
    _check_token(token, where)
    if name in by_name or token in by_name.values():
        what = "the name" if name in by_name else "the token"
        raise StartError(f"{where}: {what} stands in the file twice; each tenant has one token, and no two share one")
    by_name[name] = token


def _check_token(token: str, where: str) -> None:
    if not (token.isascii() and token.isprintable()):
        raise StartError(f"{where}: the token holds characters other than printable ASCII")


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
