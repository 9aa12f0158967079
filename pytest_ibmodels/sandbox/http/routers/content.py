"""Answers with a file, or a byte range of it."""

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
"""Header with the JSON answer to a read, whose body is the file; some clients parse it."""
_CHUNK = 2**18
# Never JSON: clients tell an error envelope from a file by the content type.
CONTENT_TYPE = "application/octet-stream"
# The end -1 means the end of the file (Instabase protocol, "Drives").
_RANGE = re.compile(r"bytes=([0-9]+)-(-1|[0-9]*)")
_HTTP_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.IGNORECASE)
_MAX_DIGITS = 18


def file_answer(drive: Drive, path: DrivePath, wanted: str | None, request: Request) -> Response:
    """Answer with a file of the drive.

    Args:
        drive: the drive that has the file.
        path: the file.
        wanted: the ``range`` of the call's arguments; None or blank means all.
        request: its header ``Range`` applies if ``wanted`` means all.

    Raises:
        SandboxError: the file does not exist, or ``wanted`` is not a range.
    """
    file = drive.open(path)
    try:
        size = file.seek(0, 2)
        part = _of_arguments(wanted, size) if wanted and wanted.strip() else None
        asked = None if part is not None else _of_header(request, size)
        if asked is not None and asked[0] > asked[1]:
            file.close()
            msg = f"'{path}' has {size} bytes; the header Range asks for bytes beyond them"
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
        raise SandboxError(f"the range {wanted[:300]!r} is not of the form 'bytes=FIRST-LAST'")
    last = size if match[2] in {"", "-1"} else _number(match[2], size)
    return _number(match[1], size), min(last, size - 1)


def _of_header(request: Request, size: int) -> tuple[int, int] | None:
    """First and last byte of the header ``Range``, last before first if no byte matches; None means the whole file.

    RFC 9110 allows the whole file as answer to several ranges, to an invalid range, and to ``If-Range``, for which the
    sandbox has no ETags.
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
    """Number of any count of digits, at most ``most``."""
    digits = digits.lstrip("0") or "0"
    return most if len(digits) > _MAX_DIGITS else min(int(digits), most)


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
