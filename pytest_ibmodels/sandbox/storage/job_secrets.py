"""Secrets of a job, in a file of its folder that only the sandbox's user can read.

The specification of a job, which is in the database, has their names only.
"""

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pytest_ibmodels.sandbox.errors import SandboxError, refusal

_FILE = "secrets.json"


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """Write the secrets of a job, by name, to its folder.

    Raises:
        SandboxError: the file cannot be written.
    """
    new = folder / f"{_FILE}-{uuid.uuid4().hex}"
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(dict(secrets), file)
        new.replace(folder / _FILE)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise refusal("the job's secrets could not be written", error) from error


def read_secrets(folder: Path) -> dict[str, str]:
    """Read the secrets of a job, by name; empty if it has none, or has ended.

    Raises:
        SandboxError: the file cannot be read, or is damaged.
    """
    try:
        secrets = json.loads((folder / _FILE).read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise refusal("the job's secrets could not be read", error) from error
    except ValueError:
        # The text of the error might quote a secret.
        secrets = None
    if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
        raise SandboxError("the job's secrets could not be read: their file is damaged; start the training again")
    return secrets


def delete_secrets(folder: Path) -> None:
    """Delete the secrets of a job that has ended; do nothing if there are none.

    Raises:
        SandboxError: the file cannot be deleted.
    """
    try:
        (folder / _FILE).unlink(missing_ok=True)
    except OSError as error:
        raise refusal("the job's secrets could not be deleted", error) from error
