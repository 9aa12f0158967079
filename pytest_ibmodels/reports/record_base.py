"""Base of all records."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(kept) for key, kept in value.items()}
    return [_encodable(kept) for kept in value] if isinstance(value, list | tuple) else value


class Record(BaseModel):
    """Values that do not change, all of which JSON can hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    @model_validator(mode="before")
    @classmethod
    def _encodable(cls, given: Any) -> Any:
        """Replace characters that UTF-8 cannot hold, which environments and models may return, by question marks."""
        return _encodable(given)
