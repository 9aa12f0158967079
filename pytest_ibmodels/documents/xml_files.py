"""XML files, read without entities of their own and without anything from elsewhere."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.text_files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEEPEST = 200
"""Maximum depth of elements."""


@dataclass(slots=True)
class Element:
    """An element: name and attributes without namespace, the line that it begins in, and its parent."""

    name: str
    attributes: dict[str, str]
    line: int
    parent: Element | None
    texts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Yield this element and all below it, in the order of the file."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))

    @property
    def classes(self) -> list[str]:
        """Names in the attribute `class`."""
        return self.attributes.get("class", "").split()


def read_xml(file: Path) -> Element:
    """Read an XML file; the text of an element includes that of the elements in it.

    Raises:
        DocumentsError: The file cannot be read, is not well-formed, or declares entities.
    """
    data = read_bytes(file)
    builder = _Builder(file)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "it is not well-formed")
        raise DocumentsError(
            f"the file is not valid XML (column {error.offset + 1}): {reason}; write it again", file, error.lineno
        ) from None
    except (LookupError, ValueError) as error:
        raise DocumentsError(f"the file's encoding is unknown ({error}); save it in UTF-8", file, 1) from None
    if builder.root is None:
        raise DocumentsError("the file has no XML element", file, 1)
    return builder.root


class _Builder:
    """Handlers of one parser."""

    def __init__(self, file: Path) -> None:
        self.root: Element | None = None
        self._file = file
        self._open: list[Element] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        # A declared entity may grow without bound, or read a file.
        self.parser.EntityDeclHandler = self._entity
        self.parser.SkippedEntityHandler = self._skipped

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) == DEEPEST:
            raise self._error(f"elements are nested more than {DEEPEST} deep")
        parent = self._open[-1] if self._open else None
        plain = {key.rpartition(":")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition(":")[2], plain, self.parser.CurrentLineNumber, parent)
        if parent is None:
            self.root = element
        else:
            parent.children.append(element)
        self._open.append(element)

    def _end(self, _name: str) -> None:
        closed = self._open.pop()
        if closed.parent is not None:
            closed.parent.texts.extend(closed.texts)

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].texts.append(text)

    def _skipped(self, name: str, is_parameter: bool) -> None:
        """Take an entity of HTML, such as `&nbsp;`, which a page's own DTD would declare."""
        if not is_parameter:
            self._characters(html.unescape(f"&{name};"))

    def _entity(self, name: str, *_: object) -> None:
        raise self._error(f"the entity {name!r} is declared, which is not allowed; remove the declaration")

    def _error(self, message: str) -> DocumentsError:
        return DocumentsError(message, self._file, self.parser.CurrentLineNumber)
