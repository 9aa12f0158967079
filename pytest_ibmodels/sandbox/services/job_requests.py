"""Request of a training job, without passwords: for the database, and for people who look at the job later."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pytest_ibmodels.sandbox.execution.job_spec import JobSpec
from pytest_ibmodels.sandbox.execution.secrets import MIN_LENGTH, REDACTED, Secrets
from pytest_ibmodels.sandbox.storage.tables import Job

_SECRET_WORDS = ("password", "passwd", "pwd", "secret", "token", "api_key", "apikey", "credential")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")


@dataclass(frozen=True)
class ShownRequest:
    """Request of a job; empty if the job has none."""

    function: str = ""
    script_packages: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


def request_of(job: Job) -> ShownRequest:
    """Return the request of a job, with passwords redacted."""
    try:
        spec = JobSpec.model_validate(job.spec)
    except ValidationError:
        return ShownRequest()
    return ShownRequest(spec.function, spec.script_packages, spec.arguments)


def without_passwords(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request with passwords redacted: in URLs, and of keys that name a secret."""
    database = arguments.get("database")
    secrets = Secrets.from_url(database) if isinstance(database, str) else Secrets()
    shown: dict[str, Any] = _redacted(secrets.redact_urls(dict(arguments)))
    if any(form in str(shown.get("database", "")) for form in secrets.forms if len(form) >= MIN_LENGTH):
        # It is no URL that can be read.
        shown["database"] = REDACTED
    return shown


def _redacted(value: Any) -> Any:
    """Redact values whose key names a secret, and the passwords of all URLs."""
    if isinstance(value, str):
        return _PASSWORD.sub(rf"\1{REDACTED}", value)
    if isinstance(value, dict):
        return {key: REDACTED if _is_secret(key) and item else _redacted(item) for key, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list) else value


def _is_secret(key: str) -> bool:
    # `max_tokens` and `tokenizer` are no secrets.
    words = key.lower().replace("-", "_")
    return any(words == word or words.endswith(f"_{word}") for word in _SECRET_WORDS)
