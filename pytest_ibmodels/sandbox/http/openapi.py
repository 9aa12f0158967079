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
_REFUSAL = "Refusal"
_REFUSED = {"$ref": _COMPONENTS.format(model=_REFUSAL)}
_REFUSAL_SCHEMA = {
    "title": _REFUSAL,
    "description": "The error envelope: a request that cannot be served, under HTTP 200 in most cases.",
    "type": "object",
    "properties": {"status": {"const": "ERROR"}, "msg": {"type": "string"}},
    "required": ["status", "msg"],
}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_STATUSES = {
    "401": "There is no token, or it is wrong.",
    "404": "The path belongs to no call.",
    "413": "The body is larger than the sandbox allows.",
    "503": "The sandbox cannot do this at present; the same request may be sent again.",
}
"""What any call may answer instead of 200."""


def takes(*models: type[WireModel], required: bool = True) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is JSON of one of ``models``."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": _any_of(models)}}}}


def drive_call(body: dict[str, Any] | None = None) -> dict[str, Any]:
    """``openapi_extra`` of a drive call: its arguments stand in a header."""
    content = {"application/json": {"schema": _any_of((DriveArgs,))}}
    header = {"name": DRIVE_ARGS_HEADER, "in": "header", "required": False, "content": content}
    return {"parameters": [header], **(body or {})}


def answers(*models: type[WireModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route that answers JSON of one of ``models``."""
    content = {"application/json": {"schema": _any_of(models)}}
    return {"responses": {"200": {"description": "Successful Response", "content": content}}}


def answers_file(*models: type[WireModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route that answers a file, of which a part may be asked for, or JSON of ``models``."""
    extra = answers(*models)
    extra["responses"]["200"]["content"] |= _BINARY
    extra["responses"]["206"] = {"description": "The part that the header Range asks for.", "content": _BINARY}
    extra["responses"]["416"] = _refused("The file does not have what the header Range asks for.")
    return extra


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
            schemas = components.setdefault("schemas", {})
            for calls in schema["paths"].values():
                for call in calls.values():
                    _tell_refusals(call["responses"])
            _hoist(schema["paths"], schemas)
            schemas[_REFUSAL] = _REFUSAL_SCHEMA
            # FastAPI's own, of the status that this application does not send.
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _tell_refusals(responses: dict[str, Any]) -> None:
    """Add what each call may answer when it refuses."""
    responses.pop("422", None)
    answer = responses["200"]["content"]["application/json"]
    answer["schema"] = {"anyOf": [answer["schema"], _REFUSED]}
    for status, description in _STATUSES.items():
        responses[status] = _refused(description)


def _refused(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _REFUSED}}}


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
