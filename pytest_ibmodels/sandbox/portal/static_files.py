"""Files that all pages share: a style sheet, two scripts and an icon, under names that change with their content."""

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_STATIC = files(__package__) / "static"
_TOKENS = files("pytest_ibmodels") / "styles" / "tokens.css"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class StaticFiles:
    """The files, in memory."""

    def __init__(self) -> None:
        style = _TOKENS.read_bytes() + (_STATIC / "portal.css").read_bytes()
        self._contents = {
            "portal.css": style,
            **{name: (_STATIC / name).read_bytes() for name in ("portal.js", "htmx.min.js", "icon.svg")},
        }
        self._hashes = {name: hashlib.sha256(text).hexdigest()[:12] for name, text in self._contents.items()}

    def url(self, name: str) -> str:
        """Return the path of a file, with the hash of its content."""
        return f"/portal/static/{self._hashes[name]}/{name}"

    async def respond(self, request: Request) -> Response:
        """Answer a request for a file."""
        name = request.path_params["name"]
        if self._hashes.get(name) != request.path_params["hash"]:
            return PlainTextResponse("there is no such file: reload the page", 404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(self._contents[name], headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
