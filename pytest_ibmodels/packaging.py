"""The package: the code folder and its ``package.json`` in one reproducible zip (protocol: ``.ibsolution``).

The same tree gives the same bytes: names sorted, times and permissions fixed. Left out are caches, dot files, links
that lead out of the folder, files of tokens and keys, and whatever the ``.gitignore`` files above and inside the folder
name.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import semver
from pathspec import GitIgnoreSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE_FILE = "package.json"
_CACHES = {"__pycache__", "node_modules"}
_SECRET_FILES = (
    *("environments.yaml", "environments.yml", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "credentials.json"),
)
"""Tokens and keys: training needs none of them."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_DEFAULT_FUNCTION = "endpoints.run_train_annotator"
_TABLE_FUNCTION = "endpoints.run_train_table"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")  # it becomes part of paths


class PackageError(Exception):
    """The folder cannot be packaged; the text says which file, why, and what to do."""


@dataclass(frozen=True)
class Package:
    """A package ready to be pushed.

    Attributes:
        name, version: from ``package.json``.
        module: the top-level module of the code, which is the folder's name.
        train_function: dotted name of the function that a training job calls.
        table_function: the same of a training on a database table.
        data: the zip.
        content_hash: SHA-256 over names and contents, in hexadecimal; independent of the compression.
        files: the names in the zip, sorted.
    """

    name: str
    version: str
    module: str
    train_function: str
    table_function: str
    data: bytes
    content_hash: str
    files: tuple[str, ...]


def build_package(folder: Path) -> Package:
    """Zip a code folder.

    Args:
        folder: holds ``package.json`` and the code, for example ``ibformers/``.

    Returns:
        The package: ``package.json`` at the top of the zip, the code below the folder's own name.

    Raises:
        PackageError: no such folder, or ``package.json`` is missing or malformed.
    """
    if not folder.is_dir():
        raise PackageError(
            f"{folder}: there is no such folder; it should hold the training code and its {_PACKAGE_FILE}"
        )
    description = _read_description(folder / _PACKAGE_FILE)
    module = folder.absolute().name
    if not module.isidentifier():
        raise PackageError(f"{folder}: the folder's name becomes that of the pushed module; {module!r} is no such name")
    contents = {
        (path.name if path == folder / _PACKAGE_FILE else f"{module}/{path.relative_to(folder).as_posix()}"): path
        for path in _wanted_files(folder)
    }
    if _PACKAGE_FILE not in contents or not any(name.endswith(".py") for name in contents):
        raise PackageError(f"{folder}: a .gitignore leaves out its {_PACKAGE_FILE}, or all of its Python files")
    return _packed(contents, description, module)


def build_marketplace_package(folder: Path) -> Package:
    """As :func:`build_package`, for a folder whose ``package.json`` also says what a marketplace has to know.

    Raises:
        PackageError: as :func:`build_package`; or the version is no semantic one, or ``solution_type`` is missing.
    """
    package = build_package(folder)
    path = folder / _PACKAGE_FILE
    description = _read_description(path)
    if not semver.Version.is_valid(package.version):
        raise _wrong(path, description, "version", "a semantic version, MAJOR.MINOR.PATCH, such as 1.0.0")
    solution_type = description.get("solution_type")
    if not isinstance(solution_type, str) or not solution_type.strip():
        raise _wrong(path, description, "solution_type", 'a text, which is "pypkg" for a package of code')
    return package


def package_name(folder: Path) -> str:
    """The name that a folder's ``package.json`` gives it.

    Raises:
        PackageError: the file is missing or malformed.
    """
    return str(_read_description(folder / _PACKAGE_FILE)["name"])


def _packed(contents: dict[str, Path], description: dict[str, Any], module: str) -> Package:
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(contents):
            data = contents[name].read_bytes()
            archive.writestr(_entry(name), data)
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
    return Package(
        name=description["name"],
        version=description["version"],
        module=module,
        train_function=_function(description, ("function_annotator", "function")) or f"{module}.{_DEFAULT_FUNCTION}",
        table_function=_function(description, ("function_table",)) or f"{module}.{_TABLE_FUNCTION}",
        data=buffer.getvalue(),
        content_hash=digest.hexdigest(),
        files=tuple(sorted(contents)),
    )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it is built
    entry.external_attr = 0o644 << 16
    return entry


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PackageError(f"{path}: missing; it gives the package its name and version") from None
    except (ValueError, OSError) as error:
        raise PackageError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(description, dict):
        raise PackageError(f"{path}: should be a JSON object, is a {type(description).__name__}")
    for key in ("name", "version"):
        value = description.get(key)
        if not isinstance(value, str) or not value:
            raise _wrong(path, description, key, "a text")
    if not _NAME.fullmatch(description["name"]):
        raise _wrong(path, description, "name", "of letters, digits, and after the first of spaces, dots, - and _ too")
    return description


def _wrong(path: Path, description: dict[str, Any], key: str, wanted: str) -> PackageError:
    found = f"is {json.dumps(description[key])}" if key in description else "is missing"
    return PackageError(f'{path}: "{key}" {found}; it should be {wanted}')


def _function(description: dict[str, Any], keys: tuple[str, ...]) -> str:
    training = description.get("model_training")
    if isinstance(training, dict):
        for key in keys:
            if isinstance(training.get(key), str):
                return str(training[key])
    return ""


def _wanted_files(folder: Path) -> Iterator[Path]:
    rules = [(parent, _ignore_rules(parent)) for parent in _folders_down_to(folder.absolute())]
    yield from _walk(folder, folder.resolve(), rules)


Rules = list[tuple[Path, GitIgnoreSpec | None]]


def _walk(folder: Path, top: Path, rules: Rules) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _CACHES or path.suffix in {".pyc", ".pyo"}:
            continue
        if any(fnmatchcase(path.name.lower(), glob) for glob in _SECRET_FILES):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(top):
            continue
        if _is_ignored(path.absolute(), path.is_dir(), rules):
            continue
        if path.is_dir():
            if not path.is_symlink():  # a link to a folder inside would be packed twice, or for ever
                yield from _walk(path, top, [*rules, (path.absolute(), _ignore_rules(path))])
        elif path.is_file():
            yield path


def _folders_down_to(folder: Path) -> list[Path]:
    """The folders whose ``.gitignore`` counts: from the top of the git checkout, if there is one, to ``folder``."""
    chain = [folder, *folder.parents]
    for index, parent in enumerate(chain):
        if (parent / ".git").exists():
            return chain[index::-1]
    return [folder]


def _ignore_rules(folder: Path) -> GitIgnoreSpec | None:
    try:
        lines = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return GitIgnoreSpec.from_lines(lines)


def _is_ignored(path: Path, is_folder: bool, rules: Rules) -> bool:
    # The deepest .gitignore that says anything about a path decides, as in git.
    for parent, spec in reversed(rules):
        if spec is None:
            continue
        name = path.relative_to(parent).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False
