"""What runs in the process that answers for tuned models: the service of the pushed code, asked by one at a time."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.channel import (
    Channel,
    receive_json,
    send_json,
)
from pytest_ibmodels.sandbox.execution.child import (
    as_json,
    bootstrap_child,
    describe,
    isolate_imports,
    load_function,
)

FACTORY = "endpoints.tuning_service"
"""In the pushed module: called with ``models_path``; what it returns has ``answer(operation, settings, request)``."""


@dataclass(frozen=True)
class TuningSpec:
    """``packages`` are folders on this machine, the first of which has the service; ``models`` is handed to it."""

    packages: tuple[Path, ...]
    models: Path
    scratch: Path

    @property
    def log(self) -> Path:
        return self.scratch / "log.txt"


def serve_tuning(channel: Channel, parent_pipe: Channel, spec: TuningSpec) -> None:
    """Make the service and answer requests until the server closes the channel.

    The first message is ``{"ready": true}`` or ``{"failure": ...}``, every later one the answer to one request:
    ``{"answer": ...}`` or ``{"failure": ...}``.
    """
    spec.scratch.mkdir(parents=True, exist_ok=True)
    bootstrap_child(parent_pipe, log=spec.log, folder=spec.scratch)
    try:
        isolate_imports([folder.parent for folder in spec.packages], [folder.name for folder in spec.packages])
        service: Any = load_function(f"{spec.packages[0].name}.{FACTORY}")(models_path=str(spec.models))
    except BaseException as error:  # noqa: BLE001 - pushed code may raise anything
        _fail(channel, error)
        return
    send_json(channel, {"ready": True})
    while True:
        try:
            request = receive_json(channel)
        except (EOFError, OSError):
            return
        try:
            answer = service.answer(request["operation"], request["settings"], request["request"])
            send_json(channel, {"answer": as_json(answer, "the answer")})
        except BaseException as error:  # noqa: BLE001 - the service stays for the next request
            _fail(channel, error)


def _fail(channel: Channel, error: BaseException) -> None:
    failure = describe(error)
    sys.stderr.write(failure["strace"])
    send_json(channel, {"failure": failure})
