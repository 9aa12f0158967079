"""What pushed code has to know and nobody else may see: the password of a database that it reads."""

import io
from typing import IO, Any
from urllib.parse import quote

HIDDEN = "***"
_WORDS = ("pass", "pwd", "secret", "token")


def secrets_of(url: str) -> tuple[str, ...]:
    """Every form in which a text may show the password of a database URL, the longest first; empty without one."""
    # Imported here: a process of pushed code imports this module too, and does not need it.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        return (url,) if url else ()
    named = [value for name, value in parsed.normalized_query.items() if any(word in name.lower() for word in _WORDS)]
    plain = [str(parsed.password or ""), *(text for values in named for text in values)]
    found = {form for secret in plain for form in (secret, quote(secret, safe=""), quote(secret))}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    """JSON, or a text, without secrets."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {redacted(key, secrets): redacted(item, secrets) for key, item in value.items()}
    return [redacted(item, secrets) for item in value] if isinstance(value, list) else value


class RedactedOutput(io.TextIOWrapper):
    """Standard output or error of a process, line by line; what is written through it is written without secrets."""

    def __init__(self, stream: IO[bytes], secrets: tuple[str, ...]) -> None:
        super().__init__(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._secrets = secrets

    def write(self, text: str) -> int:
        super().write(redacted(text, self._secrets))
        return len(text)
