"""Model packages, as far as the environment must understand them (protocol section 10.9)."""

import json
from dataclasses import dataclass

from pytest_ibmodels.sandbox.drive import Drive
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.paths import DrivePath


@dataclass(frozen=True)
class ModelPackage:
    """``classpath`` is the dotted path of the model class; ``packages`` are folders relative to the package."""

    path: DrivePath
    classpath: str
    packages: tuple[str, ...]


def read_model_package(drive: Drive, path: DrivePath) -> ModelPackage:
    """Read and check a model package.

    Raises:
        SandboxError: if the folder holds none; the sentence says what is missing.
    """
    try:
        content = json.loads(drive.read(path.joined("package.json")))
    except SandboxError as error:
        msg = f"'{path}' is no model package: {error}"
        raise SandboxError(msg) from None
    except ValueError as error:
        msg = f"'{path}' is no model package: its package.json is not JSON: {error}"
        raise SandboxError(msg) from None
    classpath = content.get("classpath") if isinstance(content, dict) else None
    if not isinstance(classpath, str) or not _is_dotted(classpath):
        msg = f"'{path}' is no model package: its package.json has no 'classpath' such as 'MODEL.model.IbModel'"
        raise SandboxError(msg)
    packages = content.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(item, str) for item in packages):
        msg = f"'{path}' is no model package: 'packages' in its package.json is no list of folders"
        raise SandboxError(msg)
    for item in packages:
        path.joined(*item.removesuffix("/").split("/"))
    module = path.joined("src", "py", *classpath.split(".")[:-1])
    if drive.info(module.parent.joined(f"{module.name}.py")) is None and drive.info(module) is None:
        msg = f"'{path}' is no model package: '{module}.py', which its classpath {classpath!r} names, does not exist"
        raise SandboxError(msg)
    return ModelPackage(path, classpath, tuple(packages))


def _is_dotted(text: str) -> bool:
    parts = text.split(".")
    return len(parts) >= 3 and all(part.isidentifier() for part in parts)
