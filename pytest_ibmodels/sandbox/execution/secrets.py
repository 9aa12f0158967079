"""What pushed code has to know and nobody else may see: the password of a database that it reads.

A password may be a word that stands in other texts, too: `test`, `data`, `1`. So results keep every text as it is, but
for the place of a password in a URL; in the log and in errors the password is hidden where it stands as a word.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Self
from urllib.parse import quote

HIDDEN = "***"
_HIDDEN_AFTER = rf"\1{HIDDEN}"
SHORTEST = 4
"""Shorter passwords are hidden in URLs alone: to hide them elsewhere would hide half of every text."""
_WORDS = ("pass", "pwd", "secret", "token")
_USER = re.compile(r"[^:/@]*:(.*)@", re.DOTALL)


@dataclass(frozen=True)
class Secrets:
    """``forms`` is every form in which a text may show the passwords, the longest first."""

    forms: tuple[str, ...] = ()

    @classmethod
    def of_url(cls, url: str) -> Self:
        """The passwords in the URL of a database."""
        # Imported here: a process of pushed code imports this module too, and does not need it.
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
        return cls.of([str(parsed.password or ""), *named, *([written[1]] if written else [])])

    @classmethod
    def of(cls, plain: Iterable[str]) -> Self:
        """These passwords."""
        found = {form for secret in plain for form in (secret, quote(secret, safe=""), quote(secret))}
        return cls(tuple(sorted(found - {""}, key=len, reverse=True)))

    @property
    def too_short(self) -> bool:
        """Whether one is so short that it is hidden in URLs alone."""
        return any(len(form) < SHORTEST for form in self.forms)

    def hidden_in_text(self, text: str) -> str:
        """A text for people, of a log or an error, without the passwords."""
        if not self.forms:
            return text
        text = self._in_urls.sub(_HIDDEN_AFTER, text)
        return self._as_words.sub(HIDDEN, text) if self._as_words else text

    def hidden_in_urls(self, value: Any) -> Any:
        """JSON of which nothing changes but passwords in URLs; keys stay as they are."""
        if not self.forms:
            return value
        if isinstance(value, str):
            return self._in_urls.sub(_HIDDEN_AFTER, value)
        if isinstance(value, dict):
            return {key: self.hidden_in_urls(item) for key, item in value.items()}
        return [self.hidden_in_urls(item) for item in value] if isinstance(value, list) else value

    @cached_property
    def _in_urls(self) -> re.Pattern[str]:
        # Of `://user:PASSWORD@`, and of `?password=PASSWORD`, the password.
        forms = "|".join(map(re.escape, self.forms))
        before = rf":(?=(?:{forms})@)|[?&]\w*(?i:{'|'.join(_WORDS)})\w*="
        return re.compile(rf"({before})(?:{forms})(?![\w%])")

    @cached_property
    def _as_words(self) -> re.Pattern[str] | None:
        forms = [form for form in self.forms if len(form) >= SHORTEST]
        return re.compile("|".join(_as_word(form) for form in forms)) if forms else None


def _as_word(form: str) -> str:
    """A pattern for a form; one of letters or digits alone has to stand by itself."""
    pattern = re.escape(form)
    return rf"(?<![^\W_]){pattern}(?![^\W_])" if form.isalnum() else pattern


class RedactedOutput(io.TextIOWrapper):
    """Standard output or error of a process, line by line; what is written through it is written without secrets."""

    def __init__(self, stream: IO[bytes], secrets: Secrets) -> None:
        super().__init__(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._secrets = secrets

    def write(self, text: str) -> int:
        super().write(self._secrets.hidden_in_text(text))
        return len(text)
