"""The answer that is a file: whole, or the part that was asked for."""

import json
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pytest_ibmodels.instabase.wire import NodeMetadata
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.http.auth import IS_HEAD
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.nodes import node_of
from pytest_ibmodels.sandbox.storage.paths import DrivePath

RESPONSE_HEADER = "Instabase-API-Resp"
"""The JSON answer to a read, whose body is the file; some clients look at it."""
_CHUNK = 2**18
# Never JSON by its type: an error envelope is told from a file's content by that.
CONTENT_TYPE = "application/octet-stream"
# In the arguments of a call; the end -1 is that of the file (protocol section 2.1).
_RANGE = re.compile(r"bytes=([0-9]+)-(-1|[0-9]*)")
_HTTP_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.IGNORECASE)
_MOST_DIGITS = 18


def file_answer(drive: Drive, path: DrivePath, wanted: str | None, request: Request) -> Response:
    """Answer with a file of the drive.

    Args:
        drive: where it lies.
        path: the file.
        wanted: the ``range`` of the call's arguments; None or blank is all.
        request: its header ``Range`` counts where ``wanted`` is all.

    Raises:
        SandboxError: there is no such file, or ``wanted`` is no range.
    """
    file = drive.open(path)
    try:
        size = file.seek(0, 2)
        part = _of_arguments(wanted, size) if wanted and wanted.strip() else None
        asked = None if part is not None else _of_header(request, size)
        if asked is not None and asked[0] > asked[1]:
            file.close()
            msg = f"'{path}' has {size} bytes, and none of those that the header Range asks for"
            return JSONResponse({"status": "ERROR", "msg": msg}, 416, {"Content-Range": f"bytes */{size}"})
        first, last = part or asked or (0, size - 1)
        length = max(0, last - first + 1)
        headers = {RESPONSE_HEADER: _envelope(file, path), "Accept-Ranges": "bytes", "Content-Length": str(length)}
        if asked is not None:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        status = 200 if asked is None else 206
        if length > _CHUNK and not request.scope.get(IS_HEAD):
            return StreamingResponse(_chunks(file, first, length), status, headers, CONTENT_TYPE)
        content = b"" if request.scope.get(IS_HEAD) else b"".join(_chunks(file, first, length))
        file.close()
        return Response(content, status, headers, CONTENT_TYPE)
    except BaseException:
        file.close()
        raise


def _of_arguments(wanted: str, size: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(wanted.strip())
    if match is None:
        msg = f"the range {wanted[:300]!r} is not of the form 'bytes=FIRST-LAST'"
        raise SandboxError(msg)
    last = size if match[2] in {"", "-1"} else _number(match[2], size)
    return _number(match[1], size), min(last, size - 1)


def _of_header(request: Request, size: int) -> tuple[int, int] | None:
    """First and last byte, the last before the first if there are none; None: the whole file, as if nothing was asked.

    Several ranges at once, and what is no range, may be answered by the whole file (RFC 9110), as is ``If-Range``: the
    sandbox gives no marks by which it could tell whether a file is still the same.
    """
    match = _HTTP_RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or "if-range" in request.headers:
        return None
    if match[3] is not None:
        count = _number(match[3], size)
        return size - count, size - 1
    if match[2] and _is_less(match[2], match[1]):
        return None
    first = _number(match[1], size)
    return first, min(_number(match[2], size), size - 1) if match[2] else size - 1


def _number(digits: str, most: int) -> int:
    """The number, or ``most`` if it is larger, however many digits it has."""
    digits = digits.lstrip("0") or "0"
    return most if len(digits) > _MOST_DIGITS else min(int(digits), most)


def _is_less(digits: str, other: str) -> bool:
    digits, other = digits.lstrip("0"), other.lstrip("0")
    return (len(digits), digits) < (len(other), other)


def _envelope(file: BinaryIO, path: DrivePath) -> str:
    info = node_of(path, os.fstat(file.fileno()))
    metadata = NodeMetadata(type=info.type, modified_timestamp=info.modified, size=info.size)
    return json.dumps({"status": "OK", "metadata": metadata.model_dump()})


def _chunks(file: BinaryIO, first: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        while length > 0:
            chunk = file.read(min(_CHUNK, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk
