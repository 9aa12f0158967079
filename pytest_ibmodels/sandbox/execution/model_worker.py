"""Process of a served model: load the packaged class once, then answer one request after another."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.channel import Channel
from pytest_ibmodels.sandbox.execution.child import as_json, bootstrap_child, isolate_imports, load_function
from pytest_ibmodels.sandbox.execution.sdk_stubs import USERNAME, FileClient, ModelRequest, RawData, RequestContext
from pytest_ibmodels.sandbox.execution.worker import serve
from pytest_ibmodels.sandbox.storage.drive import Drive

# One thread per core would slow a training that runs beside the model. The model's own code may ask for more.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class ModelSpec:
    """Arguments of :func:`serve_model`.

    Attributes:
        folder: The model package on this machine (Instabase protocol, "Packages").
        packages: The package's library folders, relative to ``folder``.
        scratch: Working directory of the process.
        max_unzipped: Limit of an unpacked zip, in bytes.
    """

    name: str
    folder: Path
    classpath: str
    packages: tuple[str, ...]
    drive: Drive
    scratch: Path
    max_unzipped: int

    def library_folders(self) -> list[Path]:
        """Folders of the packages that the model needs."""
        found: list[Path] = []
        for entry in self.packages:
            folder = self.folder / entry
            # An entry that ends in "/" is a folder of packages, any other is a package.
            found += sorted(folder.iterdir()) if entry.endswith("/") and folder.is_dir() else [folder]
        return found


def serve_model(channel: Channel, parent_pipe: Channel, spec: ModelSpec) -> None:
    """Load the model, answer requests as :func:`serve` does, then call the model's ``cleanup``."""
    bootstrap_child(parent_pipe, log=spec.scratch / "log.txt", folder=spec.scratch, variables=_ONE_THREAD)
    model: Any = serve(
        channel,
        lambda: _load(spec),
        lambda loaded, request: _run(loaded, spec, request),
        lambda loaded, requests: _run_many(loaded, spec, requests),
    )
    if hasattr(model, "cleanup"):
        model.cleanup()


def _load(spec: ModelSpec) -> Any:
    sources = spec.folder / "src" / "py"
    # An entry that ends in "/" is a folder of packages, any other is a package.
    library_folders = [spec.folder / entry for entry in spec.packages if entry.endswith("/")]
    folders = [*library_folders, sources]
    names = {item.name for folder in folders if folder.is_dir() for item in folder.iterdir() if item.is_dir()}
    isolate_imports(folders, names)
    if "torch" in sys.modules:
        importlib.import_module("torch").set_num_threads(1)
    model_class = load_function(spec.classpath)
    package = spec.classpath.partition(".")[0]
    client = FileClient(spec.drive, USERNAME, spec.max_unzipped)
    model = model_class(model_data_path=str(sources / package / "model_data"), ibsdk=client)
    model.load()
    return model


def _run(model: Any, spec: ModelSpec, request: dict[str, Any]) -> Any:
    return _plain(model.run(_model_request(spec, request)), "run")


def _run_many(model: Any, spec: ModelSpec, requests: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield the result of each request; a model without ``run_many`` runs them one after the other."""
    made = [_model_request(spec, request) for request in requests]
    if not hasattr(model, "run_many"):
        yield from (_plain(model.run(request), "run") for request in made)
        return
    for result in model.run_many(made):
        yield _plain(result, "run_many")


def _model_request(spec: ModelSpec, request: dict[str, Any]) -> ModelRequest:
    document: str | None = request["document"]
    raw = None if document is None else RawData("ibdoc", document.encode())
    return ModelRequest(spec.name, request["path"], raw, RequestContext(USERNAME))


def _plain(result: Any, method: str) -> Any:
    if not isinstance(result, Mapping):
        msg = f"the model's {method}() returned a {type(result).__name__}; expected a mapping"
        raise TypeError(msg)
    return as_json(result, "the model's result")
