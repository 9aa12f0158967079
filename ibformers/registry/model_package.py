"""Model package of a trained model: model data, the class that serves it, and the code that the class needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibformers.platform import FileClient

_MODEL_MODULE = '''"""Model class that the model service loads by `classpath` of package.json."""

from pathlib import Path

from {module} import {name}


class IbModel({name}):
    """The trained model beside this file."""

    def __init__(self, model_data_path=None, ibsdk=None):
        super().__init__(model_data_path or Path(__file__).parent / "model_data", ibsdk)
'''

_LIBRARY = Path(__file__).resolve().parent.parent


def module_name(model_name: str) -> str:
    """Return the name of the Python package that serves a model: an importable name that no other module has."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", model_name)
    return name if name.startswith("model_") else f"model_{name}"


def write_model_package(
    files: FileClient,
    folder: str,
    model_name: str,
    model_data: Path,
    job_id: str,
    *,
    served: str = "ibformers.tasks.extraction.served.ServedModel",
    result_type: str = "ner_result",
    libraries: Iterable[Path] = (),
) -> None:
    """Write the package of a trained model, with its weights and all code that serving needs.

    Args:
        files: writes drive files.
        folder: drive path of the package, without leading or trailing slash.
        model_name: name of the model for users.
        model_data: local folder of the model's data; all files below it are copied.
        job_id: id of the training job.
        served: dotted path of the class that serves the model; its arguments are `model_data_path` and `ibsdk`.
        result_type: key of the class's answers.
        libraries: further code that serving needs: folders of packages, or files of modules.
    """
    module = module_name(model_name)
    serving, _, name = served.rpartition(".")
    source = f"{folder}/src/py/{module}"
    files.write_file(f"{folder}/package.json", _to_json(_description(model_name, module, job_id, result_type)))
    files.write_file(f"{source}/__init__.py", b"")
    files.write_file(f"{source}/model.py", _MODEL_MODULE.format(module=serving, name=name).encode())
    for path in sorted(path for path in model_data.rglob("*") if path.is_file()):
        files.write_file(f"{source}/model_data/{path.relative_to(model_data).as_posix()}", path.read_bytes())
    for library in (_LIBRARY, *libraries):
        for path in library_files(library):
            files.write_file(
                f"{folder}/src/py/ibformers/{path.relative_to(library.parent).as_posix()}", path.read_bytes()
            )


def library_files(library: Path = _LIBRARY) -> list[Path]:
    """Return the files of a package's folder, or of one module, without caches; of this library, its source."""
    files = [library] if library.is_file() else [path for path in library.rglob("*") if path.is_file()]
    if library == _LIBRARY:
        return sorted(path for path in files if path.suffix in {".py", ".json"})
    return sorted(path for path in files if "__pycache__" not in path.parts)


def _description(model_name: str, module: str, job_id: str, result_type: str) -> dict[str, Any]:
    return {
        "name": model_name,
        "display_name": model_name,
        "version": "0.0.1",
        "keywords": "",
        "category": "model",
        "short_description": f"Serves the model {model_name}",
        "long_description": "",
        "input_types": ["path"],
        "docs_link": "",
        "refiner_demo": "",
        "readme_url": "",
        "authors": [""],
        "solution_type": "ibmodel",
        "packages": [f"src/py/{module}", "src/py/ibformers/"],
        "classpath": f"{module}.model.IbModel",
        "payload_type": "custom_request",
        "result_type": result_type,
        "training_job_id": job_id,
    }


def _to_json(value: Any) -> bytes:
    return json.dumps(value, indent=2, allow_nan=False).encode()
