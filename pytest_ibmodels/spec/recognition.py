"""Recognize model tests, because other tools may use the file name `model_tests.yaml`, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from pytest_ibmodels.spec.entries import ModelTestEntry
from pytest_ibmodels.spec.reader import PARSER

if TYPE_CHECKING:
    from pathlib import Path

_LINE_OF_AN_ENTRY = re.compile(r"^\s+(env|ibannotator)\s*:", re.MULTILINE)


def looks_like_model_tests(path: Path) -> bool:
    """Return whether an entry of the file has `ibannotator`, or `env` beside another key of a model test.

    In a file that is not YAML, one line with either key is enough. False for a file that cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return False
    try:
        documents: list[Any] = list(yaml.load_all(text, Loader=PARSER))
    except (yaml.YAMLError, ValueError, RecursionError):
        return _LINE_OF_AN_ENTRY.search(text) is not None
    entries = [entry for document in documents if isinstance(document, dict) for entry in document.values()]
    return any(_is_model_test(entry) for entry in entries)


def _is_model_test(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    known = {key for key in entry if isinstance(key, str)} & set(ModelTestEntry.model_fields)
    return "ibannotator" in known or ("env" in known and len(known) > 1)
