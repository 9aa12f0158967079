"""The package: the code folder and its ``package.json`` in one reproducible zip (protocol: ``.ibsolution``).

The same tree gives the same bytes: names sorted, times and permissions fixed. Left out are caches, dot files, links
that lead out of the folder or to something else that is left out, files of tokens and keys, and whatever git ignores.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import semver

from pytest_ibmodels.packaging.gitignore import IgnoreRules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
_MARKETPLACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_FILE_NAME = 200
"""Characters of `NAME-VERSION.ibsolution`, as which a marketplace keeps a package."""


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
        PackageError: no such folder, ``package.json`` is missing or malformed, or something cannot be read.
    """
    with _told_as_package_errors(folder):
        return _built(folder)


def build_marketplace_package(folder: Path) -> Package:
    """As :func:`build_package`, for a folder whose ``package.json`` also says what a marketplace has to know.

    Raises:
        PackageError: as :func:`build_package`; or no marketplace takes the name, the version is no semantic one, or
            ``solution_type`` is missing.
    """
    package = build_package(folder)
    path = folder / _PACKAGE_FILE
    with _told_as_package_errors(folder):
        description = _read_description(path)
    if not _MARKETPLACE_NAME.fullmatch(package.name):
        wanted = "without spaces, to be published: of letters, digits, and after the first of dots, - and _ too"
        raise _wrong(path, description, "name", wanted)
    if len(f"{package.name}-{package.version}.ibsolution") > _LONGEST_FILE_NAME:
        most = _LONGEST_FILE_NAME - len("-.ibsolution")
        raise PackageError(
            f'{shown(path)}: "name" and "version" are too long to be published: together at most {most} characters'
        )
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
    with _told_as_package_errors(folder):
        return str(_read_description(folder / _PACKAGE_FILE)["name"])


def shown(path: Path) -> str:
    """A path for messages, with escapes for bytes that are no text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _told_as_package_errors(folder: Path) -> Iterator[None]:
    """Turn whatever the file system raises into a PackageError with the path."""
    try:
        yield
    except OSError as error:
        path = shown(folder if error.filename is None else error.filename)
        raise PackageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _built(folder: Path) -> Package:
    if not folder.is_dir():
        raise PackageError(
            f"{shown(folder)}: there is no such folder; it should hold the training code and its {_PACKAGE_FILE}"
        )
    description = _read_description(folder / _PACKAGE_FILE)
    module = folder.absolute().name
    if not module.isidentifier():
        raise PackageError(
            f"{shown(folder)}: the folder's name becomes that of the pushed module; {module!r} is no such name"
        )
    contents = {
        (name if name == _PACKAGE_FILE else f"{module}/{name}"): path for name, path in _wanted_files(folder).items()
    }
    if _PACKAGE_FILE not in contents or not any(name.endswith(".py") for name in contents):
        raise PackageError(
            f"{shown(folder)}: a .gitignore leaves out its {_PACKAGE_FILE}, or all of its Python files "
            "(or .git/info/exclude, or your own excludes file of git)"
        )
    return _packed(contents, description, module)


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
        if not stat.S_ISREG(path.stat().st_mode):
            raise PackageError(f"{shown(path)}: should be a file, is none")
        description = json.loads(path.read_text(encoding="utf-8-sig"))
        # What can be read from JSON may have halves of characters, which nothing can send.
        json.dumps(description, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise PackageError(f"{shown(path)}: missing; it gives the package its name and version") from None
    except RecursionError:
        raise PackageError(f"{shown(path)}: cannot be read as JSON: it is nested too deep") from None
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PackageError(f"{shown(path)}: cannot be read as JSON: {reason}") from None
    if not isinstance(description, dict):
        raise PackageError(f"{shown(path)}: should be a JSON object, is a {type(description).__name__}")
    for key in ("name", "version"):
        value = description.get(key)
        if not isinstance(value, str) or not value:
            raise _wrong(path, description, key, "a text")
    if not _NAME.fullmatch(description["name"]):
        raise _wrong(path, description, "name", "of letters, digits, and after the first of spaces, dots, - and _ too")
    return description


def _wrong(path: Path, description: dict[str, Any], key: str, wanted: str) -> PackageError:
    found = f"is {json.dumps(description[key])}" if key in description else "is missing"
    return PackageError(f'{shown(path)}: "{key}" {found}; it should be {wanted}')


def _function(description: dict[str, Any], keys: tuple[str, ...]) -> str:
    training = description.get("model_training")
    if isinstance(training, dict):
        for key in keys:
            if isinstance(training.get(key), str):
                return str(training[key])
    return ""


def _wanted_files(folder: Path) -> dict[str, Path]:
    """All files that belong into the package: name below the folder, with `/` → path.

    Raises:
        OSError: something cannot be read.
        PackageError: a name is not UTF-8, as names in a zip are.
    """
    top = folder.resolve(strict=True)
    rules = IgnoreRules.for_folder(top)
    if rules is None:
        return {}
    files: dict[str, Path] = {}
    links: dict[str, Path] = {}
    waiting = [(top, rules)]
    while waiting:
        parent, rules = waiting.pop()
        for path in sorted(parent.iterdir()):
            is_link = path.is_symlink()
            # As git, which takes a link for a file, whatever it leads to.
            is_folder = path.is_dir() and not is_link
            if _is_left_out(path) or rules.ignore(path, is_folder=is_folder):
                continue
            if is_link:
                links[_name_of(path, top)] = path
            elif is_folder:
                waiting.append((path, rules.within(path)))
            elif path.is_file():  # neither a pipe nor a socket
                files[_name_of(path, top)] = path
    wanted = set(files.values())
    files.update((name, path) for name, path in links.items() if _target(path) in wanted)
    return files


def _is_left_out(path: Path) -> bool:
    name = path.name
    if name.startswith(".") or name in _CACHES or path.suffix in {".pyc", ".pyo"}:
        return True
    return any(fnmatchcase(name.lower(), glob) for glob in _SECRET_FILES)


def _target(link: Path) -> Path | None:
    """What a link leads to; None if that is not there. Raises: OSError if it leads to itself."""
    try:
        link.stat()
        return link.resolve(strict=True)
    except FileNotFoundError:
        return None


def _name_of(path: Path, top: Path) -> str:
    name = path.relative_to(top).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PackageError(f"{shown(path)}: the name is not UTF-8, which names in a package are: rename it") from None
    return name
