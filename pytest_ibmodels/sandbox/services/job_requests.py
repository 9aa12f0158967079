"""Request of a training job, kept beside its log without passwords, for people who look at the job later."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.instabase.wire import TrainRequest
from pytest_ibmodels.sandbox.execution.secrets import REDACTED, Secrets

_FILE = "request.json"
_SECRET_WORDS = ("password", "passwd", "pwd", "secret", "token", "api_key", "apikey", "credential")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
_MAX_BYTES = 2**20


@dataclass(frozen=True)
class KeptRequest:
    """Request of a job; empty if it was not kept."""

    function: str = ""
    script_packages: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


def keep_request(folder: Path, request: TrainRequest, secrets: Secrets) -> None:
    """Write the request to the job's folder, with passwords redacted."""
    kept = {
        "function": request.function,
        "script_packages": request.script_packages,
        "arguments": _redacted(secrets.redact_urls(dict(request.arguments))),
    }
    # On a full disk the job goes on.
    with suppress(OSError, ValueError):
        text = json.dumps(kept)
        if len(text) <= _MAX_BYTES:
            (folder / _FILE).write_text(text, encoding="utf-8")


def kept_request(folder: Path) -> KeptRequest:
    """Read the request of a job."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        file = folder / _FILE
        # The job's code can write to this folder.
        if file.is_file() and file.stat().st_size <= 2 * _MAX_BYTES:
            kept = json.loads(file.read_text(encoding="utf-8"))
            packages = tuple(str(package) for package in kept["script_packages"])
            return KeptRequest(str(kept["function"]), packages, dict(kept["arguments"]))
    return KeptRequest()


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
