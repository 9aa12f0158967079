"""Secrets of a job: a file in its folder that only the sandbox's user can read, and that is deleted when the job ends.

The database has no secrets: a job's description names the arguments that are in this file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

_FILE = "secrets.json"


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """Write the secret arguments of a job.

    Raises:
        OSError: The file cannot be written.
    """
    number = os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(dict(secrets), file)


def read_secrets(folder: Path) -> dict[str, str]:
    """Read the secret arguments of a job.

    Raises:
        OSError: The file cannot be read.
    """
    secrets: dict[str, str] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return secrets


def delete_secrets(folder: Path) -> None:
    """Delete the file, if it is there."""
    (folder / _FILE).unlink(missing_ok=True)
