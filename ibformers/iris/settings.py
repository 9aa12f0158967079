"""The settings of an operation, as `%settings` of the production gives them: lines of `name=value`."""

from __future__ import annotations

import json
import os
from typing import Any

from iop import BusinessOperation

from ibformers.databases.url import fill_variables
from ibformers.tasks.text_classification.requests import ModelSettings

DATABASE = "database"
"""URL of SQLAlchemy; without it, rows are those of the IRIS that this runs in. `${VARIABLE}` is filled in."""


def given_settings(operation: BusinessOperation) -> dict[str, str]:
    """Return what the production sets: IRIS makes an attribute, a text, of every line, and calls `on_init` then."""
    return {
        name.strip(): value.strip()
        for name, value in vars(operation).items()
        if isinstance(value, str)
        and value.strip()
        and not name.startswith("_")
        and not hasattr(BusinessOperation, name)
    }


def database_url(given: dict[str, str]) -> str | None:
    """Return the URL of the database, or None for the IRIS that this runs in.

    Raises:
        RequestRefused: a variable in it is not set.
    """
    return fill_variables(given[DATABASE], os.environ) if DATABASE in given else None


def model_settings(given: dict[str, str]) -> ModelSettings:
    """Return the settings of the model. Those that it does not know itself are read as JSON, else as text.

    Raises:
        RequestRefused: a setting is missing or wrong.
    """
    return ModelSettings.of(
        {
            name: value if name in ModelSettings.model_fields else _value(value)
            for name, value in given.items()
            if name != DATABASE
        }
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
