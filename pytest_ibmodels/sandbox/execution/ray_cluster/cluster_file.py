"""File in the data folder that says which cluster runs its jobs, and the cluster's token."""

import os
import platform
import secrets
import tempfile
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.child import clean_environment

CLUSTER_FILE = "cluster.json"
_TOKEN = "cluster-token"  # noqa: S105 - the name of a file


class Versions(BaseModel):
    """Versions that all machines of a cluster have in common; patch releases of Python may differ."""

    model_config = ConfigDict(frozen=True)

    python: str
    ray: str
    pytest_ibmodels: str

    @classmethod
    def here(cls) -> Self:
        """Return those of this machine.

        Raises:
            StartError: Ray is not installed.
        """
        python = ".".join(platform.python_version_tuple()[:2])
        try:
            ray = version("ray")
        except ModuleNotFoundError:
            raise StartError(
                "the executor 'ray' needs the package ray, which is not installed: run pip install "
                "'pytest-ibmodels[sandbox,ray]'"
            ) from None
        return cls(python=python, ray=ray, pytest_ibmodels=version("pytest-ibmodels"))

    def differences(self, cluster: Self) -> str:
        """Clause that says how these differ from those of the cluster; empty if they do not."""
        pairs = zip(self, cluster, strict=True)
        found = [(name, own, other) for (name, own), (_, other) in pairs if own != other]
        return " and ".join(f"{name} {own} where the cluster has {other}" for name, own, other in found)


class ClusterFile(BaseModel):
    """Content of the file.

    Attributes:
        id: Identifies the data folder.
        address: Host and port of the cluster's head.
        versions: Those of the machine that wrote the file.
        is_private: Whether a server has started the head for itself, which ends with it.
    """

    id: str
    address: str
    versions: Versions
    is_private: bool = False

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """Read the file of a data folder; None if there is none.

        Raises:
            StartError: It cannot be read.
        """
        file = data / CLUSTER_FILE
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not what the sandbox writes"
            msg = f"{file} cannot be read: {reason}; delete it, and start the cluster's head again"
            raise StartError(msg) from None

    @classmethod
    def write(cls, data: Path, address: str, *, is_private: bool = False) -> Self:
        """Write the file with the address of a head; the id stays that of the data folder.

        Raises:
            StartError: It cannot be written.
        """
        found = cls.read(data)
        data_id = uuid.uuid4().hex if found is None else found.id
        made = cls(id=data_id, address=address, versions=Versions.here(), is_private=is_private)
        try:
            number, name = tempfile.mkstemp(dir=data)
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                stream.write(made.model_dump_json(indent=2) + "\n")
            Path(name).replace(data / CLUSTER_FILE)
        except OSError as error:
            msg = f"{data / CLUSTER_FILE} cannot be written: {error.strerror}"
            raise StartError(msg) from None
        return made


def token_file(data: Path) -> Path:
    """Return the file of the cluster's token, which only the sandbox's user can read; make it if it is missing.

    Raises:
        StartError: It cannot be made.
    """
    file = data / _TOKEN
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise StartError(msg) from None
    return file


def ray_environment(data: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of processes that use Ray: what jobs may have of ``environ``, and settings of Ray.

    Raises:
        StartError: As :func:`token_file`.
    """
    own = {name: value for name, value in environ.items() if name.startswith("RAY_") and "TOKEN" not in name}
    kept = dict(environ)
    clean_environment(kept)
    return {
        **kept,
        **own,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file(data)),
        # The sandbox watches the memory of each job, and says which one used too much.
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # A node ends with its jobs; Ray would wait for actors to move away, which they do not.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        # Jobs of a machine that has no head any more end after 20 s, so waiting longer gains nothing.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "25",
    }
