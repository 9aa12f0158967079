"""OpenAPI description of what FastAPI cannot derive from the signatures of the routes."""

from typing import Any, Literal

from fastapi import FastAPI

from pytest_ibmodels.instabase.wire import DRIVE_ARGS_HEADER, CopyRequest, DriveArgs, UnzipRequest, WireModel


class Refusal(WireModel):
    """Error envelope of a request that cannot be served; its HTTP status is 200 in most cases."""

    status: Literal["ERROR"]
    msg: str


BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "The token is missing or wrong."},
    404: {"model": Refusal, "description": "No endpoint has this path."},
    413: {"model": Refusal, "description": "The body is larger than the sandbox allows."},
    503: {"model": Refusal, "description": "The sandbox cannot do this at present; retry the request."},
}
"""``responses`` of every route."""
BUSY: dict[int | str, dict[str, Any]] = {
    429: {
        "model": Refusal,
        "description": "Too many calls of this token wait for models; Retry-After says when to retry.",
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    }
}
"""``responses`` of a route that waits for a model."""
FILE_ANSWER: dict[int | str, dict[str, Any]] = {
    206: {"description": "The part that the header Range asks for.", "content": BINARY},
    416: {"model": Refusal, "description": "The file does not have what the header Range asks for."},
}
"""``responses`` of a route that answers a file, or a part of it, beside the JSON of status 200."""
DRIVE_ARGS: dict[str, Any] = {
    "parameters": [
        {
            "name": DRIVE_ARGS_HEADER,
            "in": "header",
            "required": False,
            "content": {"application/json": {"schema": DriveArgs.model_json_schema()}},
        }
    ]
}
"""``openapi_extra`` of a drive call: its arguments are JSON in a header."""
FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"anyOf": [m.model_json_schema() for m in (CopyRequest, UnzipRequest)]}},
            **BINARY,
        }
    }
}
"""``openapi_extra`` of a route whose body is a file, or the JSON of a copy, move or unzip."""


class DescribedApp(FastAPI):
    """FastAPI application whose description has the token, and the error envelope in every answer."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def _complete(schema: dict[str, Any]) -> None:
    for calls in schema["paths"].values():
        for call in calls.values():
            # FastAPI documents 422; this application answers an invalid request with 200 and the envelope.
            call["responses"].pop("422", None)
            answer = call["responses"]["200"]["content"]["application/json"]
            answer["schema"] = {"anyOf": [answer["schema"], {"$ref": "#/components/schemas/Refusal"}]}
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
