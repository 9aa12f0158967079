"""What runs in the process of a served model: the packaged class, loaded once, then one request after the other."""

import importlib
import shutil
import sys
from collections.abc import Mapping
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
from pytest_ibmodels.sandbox.execution.sdk_stubs import (
    FileClient,
    ModelRequest,
    RawData,
    RequestContext,
)
from pytest_ibmodels.sandbox.execution.training_worker import USERNAME
from pytest_ibmodels.sandbox.storage.drive import Drive

# What a model starts with: as many threads as cores would slow a training beside it. Its own code may ask for more.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class ModelSpec:
    """``folder`` is the model package on this machine (section 10.9), ``scratch`` the process's working directory."""

    name: str
    folder: Path
    classpath: str
    packages: tuple[str, ...]
    drive: Drive
    scratch: Path
    max_unzipped: int

    @property
    def log(self) -> Path:
        return self.scratch / "log.txt"


def serve_model(channel: Channel, parent_pipe: Channel, spec: ModelSpec) -> None:
    """Load the model and answer requests until the server closes the channel.

    The first message is ``{"ready": true}`` or ``{"failure": ...}``, every later one the answer to one request:
    ``{"result": ...}`` or ``{"failure": ...}``.
    """
    spec.scratch.mkdir(parents=True, exist_ok=True)
    bootstrap_child(parent_pipe, log=spec.log, folder=spec.scratch, variables=_ONE_THREAD)
    try:
        model = _load(spec)
    except BaseException as error:  # noqa: BLE001 - packaged code may raise anything
        _fail(channel, error)
        return
    send_json(channel, {"ready": True})
    while True:
        try:
            request = receive_json(channel)
        except (EOFError, OSError):
            break
        try:
            answer = _answer(model, spec, request)
        except BaseException as error:  # noqa: BLE001 - the model stays loaded for the next document
            _fail(channel, error)
        else:
            send_json(channel, answer)
    if hasattr(model, "cleanup"):
        model.cleanup()
    shutil.rmtree(spec.scratch, ignore_errors=True)


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


def _answer(model: Any, spec: ModelSpec, request: dict[str, Any]) -> dict[str, Any]:
    document: str | None = request["document"]
    raw = None if document is None else RawData("ibdoc", document.encode())
    result = model.run(ModelRequest(spec.name, request["path"], raw, RequestContext(USERNAME)))
    if not isinstance(result, Mapping):
        msg = f"the model's run() returned a {type(result).__name__}; expected a mapping"
        raise TypeError(msg)
    return {"result": as_json(result, "the model's result")}


def _fail(channel: Channel, error: BaseException) -> None:
    failure = describe(error)
    sys.stderr.write(failure["strace"])
    send_json(channel, {"failure": failure})
