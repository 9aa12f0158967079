"""Uploads: forms with files, which go to the drive's scratch folder as they arrive and are never held in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError, refusal
from pytest_ibmodels.sandbox.portal.forms import Form, check_origin, checked
from pytest_ibmodels.sandbox.portal.sessions import Session

_CHUNK = 2**20
_MAX_FIELD_BYTES = 2**16
_MAX_PARTS = 1000
_SKIP_BYTES = 2**30
_SKIP_SECONDS = 10.0
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""Characters that browsers escape in the name of a file (WHATWG, "multipart/form-data"); they leave ``%`` as it is."""


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        name: Its name on the person's machine.
        file: The local file that has its content; the receiver moves or deletes it.
    """

    name: str
    file: Path


@dataclass(frozen=True)
class UploadForm:
    """A form that was checked, and its files."""

    form: Form
    uploads: tuple[Upload, ...]

    def remove(self) -> None:
        """Delete the files that nobody has moved."""
        for upload in self.uploads:
            upload.file.unlink(missing_ok=True)


async def read_upload(request: Request, session: Session) -> UploadForm:
    """Read a form with files, and check that a page of this session sent it before any file is written.

    Raises:
        BodyTooLargeError: It is larger than a request of this sandbox may be.
        FormRefusedError: A page of another session or address sent it.
        SandboxError: It is no such form, or has too many parts.
    """
    drive, limit = session.tenant.drive, session.tenant.settings.max_body
    parts, stream = _Parts(session, drive.new_scratch), request.stream()
    try:
        check_origin(request)
        await _read(request, stream, parts, limit)
        return UploadForm(checked(parts.pairs, session), tuple(parts.uploads))
    except BaseException as error:
        parts.close()
        if isinstance(error, FormParserError):
            msg = f"the form cannot be read, nothing was stored: {error}"
            raise SandboxError(msg) from None
        if isinstance(error, OSError):
            raise refusal("the files could not be stored", error) from error
        if isinstance(error, SandboxError):
            await skip(stream)
        raise


async def skip(stream: AsyncIterator[bytes]) -> None:
    """Read the rest of a body that is refused: a browser that still sends would show a broken connection."""
    skipped = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_SKIP_SECONDS):
            async for chunk in stream:
                skipped += len(chunk)
                if skipped > _SKIP_BYTES:
                    break


async def _read(request: Request, stream: AsyncIterator[bytes], parts: "_Parts", limit: int) -> None:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        msg = f"a form with files has the content type multipart/form-data, not {kind[:100].decode('latin-1')!r}"
        raise SandboxError(msg)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:18]) > limit:
        raise BodyTooLargeError(limit)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": parts.begin,
            "on_header_field": parts.header_name,
            "on_header_value": parts.header_value,
            "on_header_end": parts.header_end,
            "on_headers_finished": parts.headers_end,
            "on_part_data": parts.data,
            "on_part_end": parts.end,
            "on_end": parts.all_end,
        },
    )
    pending, size = bytearray(), 0
    async for chunk in stream:
        pending += chunk
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError(limit)
        if len(pending) >= _CHUNK:
            # The parser writes files, which may block.
            await run_in_threadpool(parser.write, bytes(pending))
            pending.clear()
    await run_in_threadpool(parser.write, bytes(pending))
    if not parts.is_complete:
        msg = "the form ends in its midst, nothing was stored: send it again"
        raise SandboxError(msg)


class _Parts:
    """Parts of a form, as the parser finds them: fields in memory, files written to paths of ``new_file``."""

    def __init__(self, session: Session, new_file: Callable[[], Path]) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.uploads: list[Upload] = []
        self.is_complete = False
        self._session = session
        self._new_file = new_file
        self._count = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._field = ""
        self._value = bytearray()
        self._field_bytes = 0
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Delete all files."""
        if self._file is not None:
            self._file.close()
        for upload in self.uploads:
            upload.file.unlink(missing_ok=True)

    def begin(self) -> None:
        self._headers, self._header_name, self._header_value = {}, b"", b""
        self._value, self._field = bytearray(), ""
        self._count += 1
        if self._count > _MAX_PARTS:
            msg = f"the form has more than {_MAX_PARTS} fields and files, nothing was stored: send fewer at once"
            raise SandboxError(msg)

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def headers_end(self) -> None:
        _kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            return
        # The hidden fields come first, so that nothing of another site's page is written.
        checked(self.pairs, self._session)
        name = options[b"filename"].decode(errors="replace")
        for escape, character in _ESCAPES.items():
            name = name.replace(escape, character)
        upload = Upload(name, self._new_file())
        self._file = upload.file.open("wb")
        self.uploads.append(upload)

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > _MAX_FIELD_BYTES:
            msg = f"the form's fields are larger than {_MAX_FIELD_BYTES} bytes, nothing was stored"
            raise SandboxError(msg)
        self._value += data[start:end]

    def end(self) -> None:
        if self._file is None:
            self.pairs.append((self._field, self._value.decode(errors="replace")))
            return
        self._file.close()
        self._file = None
        # An input in which no file was chosen is sent as a file without a name.
        if not self.uploads[-1].name:
            self.uploads.pop().file.unlink()

    def all_end(self) -> None:
        self.is_complete = True
