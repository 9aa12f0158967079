"""Process that answers for the models of text classification with the service of the pushed code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.channel import Channel
from pytest_ibmodels.sandbox.execution.child import as_json, bootstrap_child, isolate_imports, load_function
from pytest_ibmodels.sandbox.execution.worker import serve

FACTORY = "endpoints.tuning_service"
"""Function of the pushed module that takes ``models_path`` and returns an object with the method
``answer(operation, settings, request)``.
"""


@dataclass(frozen=True)
class TuningSpec:
    """Arguments of :func:`serve_tuning`.

    Attributes:
        packages: Folders on this machine; the first has the service.
        models: Folder of the models in use.
        scratch: Working directory of the process.
    """

    packages: tuple[Path, ...]
    models: Path
    scratch: Path


def serve_tuning(channel: Channel, parent_pipe: Channel, spec: TuningSpec) -> None:
    """Create the service and answer requests as :func:`serve` does."""
    bootstrap_child(parent_pipe, log=spec.scratch / "log.txt", folder=spec.scratch)
    serve(channel, lambda: _load(spec), _answer)


def _load(spec: TuningSpec) -> Any:
    isolate_imports([folder.parent for folder in spec.packages], [folder.name for folder in spec.packages])
    return load_function(f"{spec.packages[0].name}.{FACTORY}")(models_path=str(spec.models))


def _answer(service: Any, request: dict[str, Any]) -> Any:
    return as_json(service.answer(request["operation"], request["settings"], request["request"]), "the answer")
