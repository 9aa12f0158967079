"""Redaction of database passwords in what a job prints and reports.

A password may be a common word: `test`, `data`, `1`. Results are therefore redacted only where a URL has its password;
the log and errors also where the password stands as a word.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Self
from urllib.parse import quote

REDACTED = "***"
_KEEP_PREFIX = rf"\1{REDACTED}"
MIN_LENGTH = 4
"""Shorter passwords are redacted in URLs only: elsewhere that would redact half of every text."""
_WORDS = ("pass", "pwd", "secret", "token")
_USER = re.compile(r"[^:/@]*:(.*)@", re.DOTALL)


@dataclass(frozen=True)
class Secrets:
    """Passwords to redact; ``forms`` are all their spellings, plain and URL-quoted, longest first."""

    forms: tuple[str, ...] = ()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Collect the passwords in the URL of a database."""
        # Imported here, as worker processes import this module without needing SQLAlchemy.
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            return cls((url,) if url else ())
        query = parsed.normalized_query.items()
        named = [text for name, values in query if any(word in name.lower() for word in _WORDS) for text in values]
        # A password with an unquoted `@` ends at the first one for SQLAlchemy, and at the last one for people.
        written = _USER.match(url.partition("://")[2].partition("?")[0]) if parsed.password else None
        return cls.from_passwords([str(parsed.password or ""), *named, *([written[1]] if written else [])])

    @classmethod
    def from_passwords(cls, passwords: Iterable[str]) -> Self:
        """Collect the spellings of these passwords."""
        found = {form for secret in passwords for form in (secret, quote(secret, safe=""), quote(secret))}
        return cls(tuple(sorted(found - {""}, key=len, reverse=True)))

    @property
    def has_short_password(self) -> bool:
        """True if a password is so short that it is redacted in URLs only."""
        return any(len(form) < MIN_LENGTH for form in self.forms)

    def redact_text(self, text: str) -> str:
        """Redact the passwords in a line of a log or an error message."""
        if not self.forms:
            return text
        text = self._in_urls.sub(_KEEP_PREFIX, text)
        return self._as_words.sub(REDACTED, text) if self._as_words else text

    def redact_urls(self, value: Any) -> Any:
        """Redact the passwords of URLs in a JSON value; keys stay unchanged."""
        if not self.forms:
            return value
        if isinstance(value, str):
            return self._in_urls.sub(_KEEP_PREFIX, value)
        if isinstance(value, dict):
            return {key: self.redact_urls(item) for key, item in value.items()}
        return [self.redact_urls(item) for item in value] if isinstance(value, list) else value

    @cached_property
    def _in_urls(self) -> re.Pattern[str]:
        # PASSWORD in `://user:PASSWORD@` and in `?password=PASSWORD`.
        forms = "|".join(map(re.escape, self.forms))
        before = rf":(?=(?:{forms})@)|[?&]\w*(?i:{'|'.join(_WORDS)})\w*="
        return re.compile(rf"({before})(?:{forms})(?![\w%])")

    @cached_property
    def _as_words(self) -> re.Pattern[str] | None:
        forms = [form for form in self.forms if len(form) >= MIN_LENGTH]
        return re.compile("|".join(_as_word(form) for form in forms)) if forms else None


def _as_word(form: str) -> str:
    """Pattern of a spelling; letters and digits only match as a whole word."""
    pattern = re.escape(form)
    return rf"(?<![^\W_]){pattern}(?![^\W_])" if form.isalnum() else pattern


class RedactedOutput(io.TextIOWrapper):
    """Line-buffered standard output or error of a process, with secrets redacted."""

    def __init__(self, stream: IO[bytes], secrets: Secrets) -> None:
        super().__init__(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._secrets = secrets

    def write(self, text: str) -> int:
        super().write(self._secrets.redact_text(text))
        return len(text)
