"""Settings of an operation: the lines `name=value` of the production's `%settings`."""

from __future__ import annotations

import json
import os
from typing import Any

from iop import BusinessOperation

from ibformers.databases.url import fill_variables
from ibformers.tasks.text_classification.requests import ModelSettings

DATABASE = "database"
"""Setting with a SQLAlchemy URL; without it, rows come from the surrounding IRIS. `${VARIABLE}` is filled in."""


def given_settings(operation: BusinessOperation) -> dict[str, str]:
    """Return the settings of the production: IRIS sets a text attribute for each line before it calls `on_init`."""
    return {
        name.strip(): value.strip()
        for name, value in vars(operation).items()
        if isinstance(value, str)
        and value.strip()
        and not name.startswith("_")
        and not hasattr(BusinessOperation, name)
    }


def database_url(given: dict[str, str]) -> str | None:
    """Return the URL of the database; None is the surrounding IRIS.

    Raises:
        RequestRefused: a variable in it is not set.
    """
    return fill_variables(given[DATABASE], os.environ) if DATABASE in given else None


def model_settings(given: dict[str, str]) -> ModelSettings:
    """Return the settings of the model; values of further settings are parsed as JSON, or else are texts.

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
