"""Descriptions of published packages and model packages (Instabase protocol, "Packages")."""

import json
from dataclasses import dataclass

from semver import Version

from pytest_ibmodels.instabase.names import MAX_PACKAGE_FILE_NAME, PACKAGE_NAME, package_file_name
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath

DESCRIPTION = "package.json"


@dataclass(frozen=True)
class PackageId:
    """Name and semantic version of a package."""

    name: str
    version: str

    @property
    def file_name(self) -> str:
        return package_file_name(self.name, self.version)


def parse_package_id(content: bytes, where: str) -> PackageId:
    """Parse name and version in the content of a ``package.json``; ``where`` is the prefix of error messages.

    Raises:
        SandboxError: A key is missing or invalid.
    """
    try:
        description = loads(content)
    except ValueError as error:
        msg = f"{where}: its {DESCRIPTION} is not JSON: {error}"
        raise SandboxError(msg) from None
    if not isinstance(description, dict):
        msg = f"{where}: its {DESCRIPTION} is not a JSON object"
        raise SandboxError(msg)
    name, version = description.get("name"), description.get("version")
    if not isinstance(name, str) or not PACKAGE_NAME.fullmatch(name):
        msg = (
            f"{where}: 'name' in its {DESCRIPTION} is {_shown(name)}; expected letters, digits, "
            "and after the first of them spaces, '_', '.' and '-'"
        )
        raise SandboxError(msg)
    if not isinstance(version, str) or not Version.is_valid(version):
        msg = f"{where}: 'version' in its {DESCRIPTION} is {_shown(version)}; expected a semantic version such as 1.4.0"
        raise SandboxError(msg)
    package = PackageId(name, version)
    if len(package.file_name) > MAX_PACKAGE_FILE_NAME:
        longest = f"together at most {MAX_PACKAGE_FILE_NAME} characters"
        msg = f"{where}: name and version in its {DESCRIPTION} are too long; {longest}"
        raise SandboxError(msg)
    return package


def _shown(value: object) -> str:
    return "missing" if value is None else json.dumps(value)[:100]


@dataclass(frozen=True)
class ModelPackage:
    """A model package; ``classpath`` is the dotted path of the model class, ``packages`` are relative folders."""

    path: DrivePath
    classpath: str
    packages: tuple[str, ...]


def read_model_package(drive: Drive, path: DrivePath) -> ModelPackage:
    """Read and check a model package.

    Raises:
        SandboxError: The folder is not a model package.
    """
    try:
        content = loads(drive.read(path.joined("package.json")))
    except SandboxError as error:
        msg = f"'{path}' is not a model package: {error}"
        raise SandboxError(msg) from None
    except ValueError as error:
        msg = f"'{path}' is not a model package: its package.json is not JSON: {error}"
        raise SandboxError(msg) from None
    classpath = content.get("classpath") if isinstance(content, dict) else None
    if not isinstance(classpath, str) or not _is_classpath(classpath):
        msg = f"'{path}' is not a model package: its package.json has no 'classpath' such as 'MODEL.model.IbModel'"
        raise SandboxError(msg)
    packages = content.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(item, str) for item in packages):
        msg = f"'{path}' is not a model package: 'packages' in its package.json is not a list of folders"
        raise SandboxError(msg)
    for item in packages:
        DrivePath.parse(f"{path}/{item}")
    module = path.joined("src", "py", *classpath.split(".")[:-1])
    if drive.info(module.parent.joined(f"{module.name}.py")) is None and drive.info(module) is None:
        msg = f"'{path}' is not a model package: '{module}.py', which its classpath {classpath!r} names, does not exist"
        raise SandboxError(msg)
    return ModelPackage(path, classpath, tuple(packages))


def _is_classpath(text: str) -> bool:
    parts = text.split(".")
    return len(parts) >= 3 and all(part.isidentifier() for part in parts)
