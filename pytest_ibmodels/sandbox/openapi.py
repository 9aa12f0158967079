"""The description of the API: bodies, and one header, are read by hand, so what may be in them is told here."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pytest_ibmodels.instabase.wire import DRIVE_ARGS_HEADER, DriveArgs, Envelope, WireModel

BUSY: dict[int | str, dict[str, Any]] = {
    429: {
        "description": "As many calls of this token wait for models as may; Retry-After says when to try again.",
        "content": {"application/json": {"schema": Envelope.model_json_schema()}},
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    }
}
"""``responses`` of a route that waits for a model."""

_COMPONENTS = "#/components/schemas/{model}"


def takes(*models: type[WireModel], required: bool = True) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is JSON of one of ``models``."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": _any_of(models)}}}}


def drive_call(body: dict[str, Any] | None = None) -> dict[str, Any]:
    """``openapi_extra`` of a drive call: its arguments stand in a header."""
    content = {"application/json": {"schema": _any_of((DriveArgs,))}}
    header = {"name": DRIVE_ARGS_HEADER, "in": "header", "required": False, "content": content}
    return {"parameters": [header], **(body or {})}


def takes_file(*models: type[WireModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is a file, or JSON of one of ``models``."""
    extra = takes(*models, required=False)
    extra["requestBody"]["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return extra


def describe(app: FastAPI) -> None:
    """Let ``app`` answer ``/openapi.json`` with all that is told here."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {})
            _hoist(schema["paths"], components.setdefault("schemas", {}))
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _any_of(models: tuple[type[WireModel], ...]) -> dict[str, Any]:
    schemas = [model.model_json_schema(ref_template=_COMPONENTS) for model in models]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _hoist(node: object, schemas: dict[str, Any]) -> None:
    """Move definitions to where references look for them."""
    if isinstance(node, dict):
        for name, schema in node.pop("$defs", {}).items():
            schemas.setdefault(name, schema)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _hoist(child, schemas)
