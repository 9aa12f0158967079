"""The command `ibmodels init`: write a project that works, from the templates beside this module."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import shlex
import sqlite3
import subprocess
import sys
from enum import StrEnum
from io import StringIO
from pathlib import Path

import pytest

from pytest_ibmodels.cli.from_script import ScriptError, trainer_patch
from pytest_ibmodels.cli.output import tell, write_lines
from pytest_ibmodels.spec.schemas import schemas

TEMPLATES = Path(__file__).parent / "templates"
"""One folder per kind of project, and `common`. A name that begins with `dot-` begins with a dot in the project."""
ROWS = 200
"""Generated reviews."""

_REVIEWS = "pytest_ibmodels.sandbox.samples.reviews"
"""Module that writes generated reviews as CSV. It is run, since the plugin does not import the sandbox."""
_SANDBOX = ("fastapi", "uvicorn", "sqlalchemy", "psutil", "faker")
_PURPOSES = {
    "model_tests.yaml": "what must keep working, and how good it must be",
    "environments.yaml": "where: the built-in sandbox",
    "mytrainer/__init__.py": "the training code",
    "tests/test_mytrainer.py": "its tests, without an environment",
    "reviews.csv": "data: generated reviews, to be replaced by yours",
    "reviews.db": "data: generated reviews in SQLite, to be replaced by yours",
    "requirements.txt": "what to install",
    "pyproject.toml": "settings of pytest",
    ".github/workflows/model-tests.yml": "the same on GitHub",
    ".vscode/settings.json": "help with both YAML files in VS Code",
}


class Kind(StrEnum):
    """Kind of a project: what its model test trains on."""

    SCRIPT = "script"
    TABLE = "table"
    DOCUMENTS = "documents"


_IMPORTED = {
    Kind.SCRIPT: (*_SANDBOX, "sklearn"),
    Kind.TABLE: (*_SANDBOX, "torch", "transformers"),
    Kind.DOCUMENTS: (*_SANDBOX, "torch", "transformers"),
}
"""Modules that a project of this kind needs when pytest runs."""


def init(folder: Path, kind: Kind) -> pytest.ExitCode:
    """Write a project into a folder, which is created if it does not exist; say what was written, and what to do next.

    Raises:
        pytest.UsageError: a file of the project exists already, or the folder cannot be used. Nothing is written then.
    """
    files = project_files(kind)
    _refuse_existing(folder, files)
    _write(folder, files)
    width = max(map(len, _PURPOSES))
    lines = [f"  {name:{width}}  {_PURPOSES.get(name, '')}".rstrip() for name in files]
    write_lines([f"wrote {len(files)} files into {folder}:", *lines, "next:", *_next_steps(folder, kind)])
    return pytest.ExitCode.OK


def patch(script: Path, file: Path | None) -> pytest.ExitCode:
    """Write a diff that turns a script with argparse into a trainer; None writes to stdout.

    Raises:
        pytest.UsageError: the script cannot be read or is no script that trains, or the file exists already.
    """
    try:
        source = script.read_bytes().decode("utf-8-sig")
        text = trainer_patch(source, Path(os.path.relpath(script)) if script.is_absolute() else script)
    except UnicodeDecodeError as error:
        raise pytest.UsageError(f"{script}: the script is not in UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise pytest.UsageError(f"{script}: cannot be read: {error.strerror or error}") from None
    except ScriptError as error:
        raise pytest.UsageError(str(error)) from None
    if file is None:
        # Unchanged, since it is to be applied.
        sys.stdout.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode())
        return pytest.ExitCode.OK
    try:
        with file.open("x", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        reason = "exists already; name another file" if isinstance(error, FileExistsError) else error.strerror
        raise pytest.UsageError(f"{file}: {reason}") from None
    write_lines([f"wrote {file}; next: look at each TODO in it, then: patch -p1 < {shlex.quote(str(file))}"])
    return pytest.ExitCode.OK


def project_files(kind: Kind) -> dict[str, bytes]:
    """Files of a project of this kind: name, with `/` -> content."""
    found: dict[str, bytes] = {}
    for top in (TEMPLATES / kind, TEMPLATES / "common"):
        for path in sorted(top.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                parts = path.relative_to(top).parts
                name = "/".join(f".{part.removeprefix('dot-')}" if part.startswith("dot-") else part for part in parts)
                found[name] = path.read_bytes()
    if kind is Kind.SCRIPT:
        found["reviews.csv"] = _reviews().encode()
    elif kind is Kind.TABLE:
        found["reviews.db"] = _database(_reviews())
    for name, schema in schemas().items():
        found[f"schemas/{name}"] = f"{json.dumps(schema, indent=2, ensure_ascii=False)}\n".encode()
    order = {name: number for number, name in enumerate(_PURPOSES)}
    return {name: found[name] for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))}


def _reviews() -> str:
    command = [sys.executable, "-P", "-m", _REVIEWS, str(ROWS)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _database(reviews: str) -> bytes:
    """Return a SQLite file with the table `Review`."""
    rows = [(int(row["ReviewLabel"]), row["ReviewText"]) for row in csv.DictReader(StringIO(reviews))]
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE Review (ID INTEGER PRIMARY KEY, ReviewLabel INTEGER, ReviewText TEXT)")
        database.executemany("INSERT INTO Review (ReviewLabel, ReviewText) VALUES (?, ?)", rows)
        database.commit()
        return database.serialize()


def _refuse_existing(folder: Path, files: dict[str, bytes]) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise pytest.UsageError(f"{folder}: this is not a folder; name another one")
    existing = [name for name in files if os.path.lexists(folder / name)]
    # A file where the project has a folder.
    parents = {str(parent) for name in files for parent in Path(name).parents if parent.name}
    existing += sorted(name for name in parents if os.path.lexists(folder / name) and not (folder / name).is_dir())
    if existing:
        raise pytest.UsageError(
            f"{folder}: nothing was written, because these files exist: {', '.join(existing)}; move them away, or name "
            "another folder and copy what you need: ibmodels init FOLDER"
        )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none."""
    made: list[Path] = []
    try:
        for name, content in files.items():
            path = folder / name
            missing = [parent for parent in reversed(path.parents) if not parent.exists()]
            for parent in missing:
                parent.mkdir()
                made.append(parent)
            with path.open("xb") as file:
                made.append(path)
                file.write(content)
    except OSError as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise pytest.UsageError(
            f"{error.filename or folder}: cannot be written: {error.strerror or error}; nothing was written"
        ) from None


def _next_steps(folder: Path, kind: Kind) -> list[str]:
    missing = [name for name in _IMPORTED[kind] if importlib.util.find_spec(name) is None]
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    if missing:
        tell(f"not installed here: {', '.join(missing)}")
        steps.append("pip install -r requirements.txt")
    return [f"  {step}" for step in (*steps, "pytest")]
