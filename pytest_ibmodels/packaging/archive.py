"""Zip the code folder and its ``package.json`` reproducibly (Instabase protocol, "Packages").

The same files give the same bytes: names are sorted, times and permissions are fixed. Caches, dot files, files of
tokens and keys, files that git ignores, and links to any of these or out of the folder are left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import tomllib
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import semver

from pytest_ibmodels.instabase.names import MAX_PACKAGE_FILE_NAME, PACKAGE_NAME, package_file_name
from pytest_ibmodels.packaging.gitignore import IgnoreRules, folders_down_to
from pytest_ibmodels.packaging.libraries import LIBRARY, installed_files, is_installed, library_files, needs_library

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE_FILE = "package.json"
_CACHES = {"__pycache__", "node_modules"}
_SECRET_FILES = (
    *("environments.yaml", "environments.yml", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "credentials.json"),
)
"""Globs of files of tokens and keys, which no training needs."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format
_NAME_RULE = "a letter or digit, then letters, digits, dots, - and _"
_DEFAULT_FUNCTION = "endpoints.run_train_annotator"
_TABLE_FUNCTION = "endpoints.run_train_table"


class PackageError(Exception):
    """The folder cannot be packaged; the message names the file, the reason, and what to do."""


@dataclass(frozen=True)
class Package:
    """A package ready to upload.

    Attributes:
        name: name of the package, from ``package.json``.
        version: version of the package, from ``package.json``.
        module: top-level module of the code, which is the folder's name.
        train_function: dotted name of the function that trains on an Annotator project.
        table_function: dotted name of the function that trains on a database table.
        data: the zip.
        content_hash: SHA-256 of names and contents, in hexadecimal; independent of the compression.
        files: names in the zip, sorted.
        folder: the code folder.
        libraries: further top-level modules in the zip, which the code needs.
    """

    name: str
    version: str
    module: str
    train_function: str
    table_function: str
    data: bytes
    content_hash: str
    files: tuple[str, ...]
    folder: Path
    libraries: tuple[str, ...] = ()


def build_package(folder: Path, *, described: bool = True) -> Package:
    """Zip a code folder. Code that imports ``ibformers.sdk`` gets it beside its own folder.

    Args:
        folder: folder with ``package.json`` and the code, for example ``ibformers/``.
        described: whether ``package.json`` has to be there. If it may be missing, name and version are those of the
            project's ``pyproject.toml``, or else the folder's name and 0.0.0.

    Returns:
        The package, with ``package.json`` at the top of the zip, and the code below the folder's name.

    Raises:
        PackageError: The folder does not exist, ``package.json`` is missing or invalid, a file cannot be read, or
            ``ibformers.sdk`` is imported and is not installed here.
    """
    with _os_errors_as_package_errors(folder):
        return _build(folder, described=described)


def build_marketplace_package(folder: Path) -> Package:
    """Zip a code folder to publish it: :func:`build_package`, with the rules of a marketplace for ``package.json``.

    Raises:
        PackageError: As :func:`build_package`; or the name contains a space or is too long, the version is not a
            semantic version, or ``solution_type`` is missing.
    """
    package = build_package(folder)
    path = folder / _PACKAGE_FILE
    with _os_errors_as_package_errors(folder):
        description = _read_description(path)
    if " " in package.name:
        raise _invalid(path, description, "name", f"without spaces, to be published: {_NAME_RULE}")
    if len(package_file_name(package.name, package.version)) > MAX_PACKAGE_FILE_NAME:
        longest = MAX_PACKAGE_FILE_NAME - len(package_file_name("", ""))
        raise PackageError(
            f'{shown(path)}: "name" and "version" are too long to be published: together at most {longest} characters'
        )
    if not semver.Version.is_valid(package.version):
        raise _invalid(path, description, "version", "a semantic version, MAJOR.MINOR.PATCH, such as 1.0.0")
    solution_type = description.get("solution_type")
    if not isinstance(solution_type, str) or not solution_type.strip():
        raise _invalid(path, description, "solution_type", 'a text, "pypkg" for a package of code')
    return package


def package_name(folder: Path) -> str:
    """Name of the package of a folder, from its ``package.json``.

    Raises:
        PackageError: The file is missing or invalid.
    """
    with _os_errors_as_package_errors(folder):
        return str(_read_description(folder / _PACKAGE_FILE)["name"])


def shown(path: Path) -> str:
    """Path for messages, with bytes that are not UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _os_errors_as_package_errors(folder: Path) -> Iterator[None]:
    """Raise OSErrors of the file system as PackageErrors that name the path."""
    try:
        yield
    except OSError as error:
        path = shown(folder if error.filename is None else error.filename)
        raise PackageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _build(folder: Path, *, described: bool) -> Package:
    if not folder.is_dir():
        needed = f" and its {_PACKAGE_FILE}" if described else ""
        raise PackageError(f"{shown(folder)}: no such folder; it should contain the training code{needed}")
    has_description = described or (folder / _PACKAGE_FILE).exists()
    description = _read_description(folder / _PACKAGE_FILE) if has_description else _project_description(folder)
    module = folder.absolute().name
    if not module.isidentifier():
        raise PackageError(
            f"{shown(folder)}: rename the folder: its name becomes a module, and {module!r} is not an identifier"
        )
    files = installed_files(folder) if is_installed(folder) else _package_files(folder)
    contents: dict[str, Path | bytes] = {
        (name if name == _PACKAGE_FILE else f"{module}/{name}"): path for name, path in files.items()
    }
    if not has_description:
        contents[_PACKAGE_FILE] = json.dumps(description, indent=2).encode()
    code = [path for name, path in contents.items() if isinstance(path, Path) and name.endswith(".py")]
    if _PACKAGE_FILE not in contents or not code:
        left_out = f"its {_PACKAGE_FILE}, or all of its Python files" if described else "all of its Python files"
        raise PackageError(
            f"{shown(folder)}: a .gitignore leaves out {left_out} "
            "(or .git/info/exclude, or your own excludes file of git)"
        )
    libraries = (LIBRARY,) if module != LIBRARY and needs_library(code) else ()
    if libraries:
        found = library_files()
        if not found:
            raise PackageError(
                f"{shown(folder)}: its code imports {LIBRARY}.sdk, which is not installed here: install {LIBRARY} "
                "beside pytest-ibmodels, for it to be pushed along"
            )
        contents.update(found)
    return _pack(contents, description, folder.absolute(), libraries)


def _project_description(folder: Path) -> dict[str, Any]:
    """Name and version of the project that the folder belongs to, if its ``pyproject.toml`` has both."""
    project: object = None
    for parent in reversed(folders_down_to(folder.absolute().parent)):
        file = parent / "pyproject.toml"
        if file.is_file():
            with contextlib.suppress(ValueError):
                project = tomllib.loads(file.read_text(encoding="utf-8")).get("project")
            break
    found = project if isinstance(project, dict) else {}
    name, version = found.get("name"), found.get("version")
    is_named = isinstance(name, str) and PACKAGE_NAME.fullmatch(name)
    return {
        "name": name if is_named else folder.absolute().name,
        "version": version if isinstance(version, str) and version else "0.0.0",
    }


def _pack(
    contents: dict[str, Path | bytes], description: dict[str, Any], folder: Path, libraries: tuple[str, ...]
) -> Package:
    module = folder.name
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(contents):
            content = contents[name]
            data = content if isinstance(content, bytes) else content.read_bytes()
            archive.writestr(zip_entry(name), data)
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
        folder=folder,
        libraries=libraries,
    )


def zip_entry(name: str) -> zipfile.ZipInfo:
    """Entry of a zip without time and permissions of the file."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it is built
    entry.external_attr = 0o644 << 16
    return entry


def _read_description(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PackageError(f"{shown(path)}: should be a file, but is not")
        description = json.loads(path.read_text(encoding="utf-8-sig"))
        # JSON may contain lone surrogates, which cannot be sent as UTF-8.
        json.dumps(description, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise PackageError(f"{shown(path)}: no such file; it contains the name and version of the package") from None
    except RecursionError:
        raise PackageError(f"{shown(path)}: cannot be read as JSON: it is nested too deeply") from None
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PackageError(f"{shown(path)}: cannot be read as JSON: {reason}") from None
    if not isinstance(description, dict):
        raise PackageError(f"{shown(path)}: should be a JSON object, but is a {type(description).__name__}")
    for key in ("name", "version"):
        value = description.get(key)
        if not isinstance(value, str) or not value:
            raise _invalid(path, description, key, "a text")
    if not PACKAGE_NAME.fullmatch(description["name"]):
        raise _invalid(path, description, "name", f"{_NAME_RULE}, with spaces only inside")
    return description


def _invalid(path: Path, description: dict[str, Any], key: str, expected: str) -> PackageError:
    found = f"is {json.dumps(description[key])}" if key in description else "is missing"
    return PackageError(f'{shown(path)}: "{key}" {found}; it should be {expected}')


def _function(description: dict[str, Any], keys: tuple[str, ...]) -> str:
    training = description.get("model_training")
    if isinstance(training, dict):
        for key in keys:
            if isinstance(training.get(key), str):
                return str(training[key])
    return ""


def _package_files(folder: Path) -> dict[str, Path]:
    """Files of the package: name below the folder, with `/` -> path.

    Raises:
        OSError: A file or folder cannot be read.
        PackageError: A name is not UTF-8.
    """
    top = folder.resolve(strict=True)
    rules = IgnoreRules.for_folder(top)
    if rules is None:
        return {}
    files: dict[str, Path] = {}
    links: dict[str, Path] = {}
    folders = [(top, rules)]
    while folders:
        parent, rules = folders.pop()
        for path in sorted(parent.iterdir()):
            is_link = path.is_symlink()
            # git treats a link as a file, even a link to a folder.
            is_folder = path.is_dir() and not is_link
            if is_left_out(path) or rules.is_ignored(path, is_folder=is_folder):
                continue
            if is_link:
                links[_name_of(path, top)] = path
            elif is_folder:
                folders.append((path, rules.within(path)))
            elif path.is_file():  # skips pipes and sockets
                files[_name_of(path, top)] = path
    packed = set(files.values())
    files.update((name, path) for name, path in links.items() if _target(path) in packed)
    return files


def is_left_out(path: Path) -> bool:
    """Return whether a file or folder is never pushed: hidden, a cache, or a file of tokens and keys."""
    name = path.name
    if name.startswith(".") or name in _CACHES or path.suffix in {".pyc", ".pyo"}:
        return True
    return any(fnmatchcase(name.lower(), glob) for glob in _SECRET_FILES)


def _target(link: Path) -> Path | None:
    """Target of a link; None if it does not exist.

    Raises:
        OSError: The link leads to itself.
    """
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
        raise PackageError(f"{shown(path)}: the name is not UTF-8, as names in a zip have to be: rename it") from None
    return name
