"""OCR documents: JSON lists of records (Instabase protocol, "OCR documents")."""

from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath


def parse_key(key: str) -> tuple[DrivePath, int]:
    """Parse a record key, ``PATH-INDEX``.

    Raises:
        SandboxError: ``key`` has another form.
    """
    path, dash, index = key.rpartition("-")
    if not dash or not (index.isascii() and index.isdigit()):
        msg = f"the record key {key[:300]!r} is not of the form PATH-INDEX"
        raise SandboxError(msg)
    return DrivePath.parse(path), int(index)


def read_record(drive: Drive, path: DrivePath, index: int) -> dict[str, Any]:
    """Read record ``index`` of the document at ``path``.

    Raises:
        SandboxError: The document or record is missing or invalid.
    """
    return parse_record(drive.read(path), path, index)


def parse_record(content: bytes, path: DrivePath, index: int) -> dict[str, Any]:
    """Parse record ``index`` of a document's content; ``path`` is for error messages.

    Raises:
        SandboxError: As :func:`read_record`.
    """
    try:
        records = loads(content)
    except ValueError as error:
        msg = f"the document '{path}' is not JSON: {error}"
        raise SandboxError(msg) from None
    if not isinstance(records, list):
        msg = f"the document '{path}' is not a JSON list of records"
        raise SandboxError(msg)
    if index >= len(records):
        msg = f"the document '{path}' has {len(records)} record(s); there is no record {index}"
        raise SandboxError(msg)
    record = records[index]
    problem = record_problem(record)
    if problem is not None:
        msg = f"record {index} of the document '{path}' is not valid: {problem}"
        raise SandboxError(msg)
    assert isinstance(record, dict)  # noqa: S101 - record_problem checks it
    return record


def record_problem(record: object) -> str | None:
    """Reason why a record is invalid, or None: each line must contain its words, in order."""
    if (
        not isinstance(record, dict)
        or not isinstance(record.get("text"), str)
        or not isinstance(record.get("lines"), list)
    ):
        return "expected 'text' (a string) and 'lines' (a list)"
    texts, lines = record["text"].split("\n"), record["lines"]
    if len(texts) != len(lines):
        return f"its 'text' has {len(texts)} lines, its 'lines' has {len(lines)}"
    for number, (text, words) in enumerate(zip(texts, lines, strict=True)):
        position = 0
        for word in words if isinstance(words, list) else [None]:
            value = word.get("word") if isinstance(word, dict) else None
            if not isinstance(value, str) or not value.strip():
                return f"line {number} holds a word without text"
            position = text.find(value, position)
            if position < 0:
                return f"the word {value!r} is missing or out of order in line {number} of the text"
            position += len(value)
    return None
