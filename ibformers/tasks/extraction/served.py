"""Model class that a model service loads; `model.py` of the package defines a subclass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.documents.ocr import parse_document
from ibformers.tasks.extraction.model import ExtractionModel
from ibformers.trainer.hardware import map_in_threads
from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ServedModel:
    """An extraction model for a model service: `load` once, `run` any number of times, `cleanup` at the end.

    Args:
        model_data_path: folder `model_data` of the model package.
        ibsdk: client of the drive with `read_file(path) -> bytes`; needed only for requests without a document.
    """

    def __init__(self, model_data_path: str | Path, ibsdk: Any = None) -> None:
        self.model_data_path = Path(model_data_path)
        self.ibsdk = ibsdk
        self._model: ExtractionModel | None = None

    def load(self) -> None:
        """Load the model. Raises OSError or ValueError if the package is damaged."""
        let_waiting_threads_sleep()
        self._model = ExtractionModel.load(self.model_data_path)

    def run(self, request: Any) -> dict[str, Any]:
        """Find the fields of one document.

        Args:
            request: object with `input_path`, the path of the document, and `input_raw_data`: either an object with
                `type` "ibdoc" and `data`, the JSON list of records, or None to read the document from its path.

        Returns:
            `{"ner_result": {"entities": [...]}}`: one entity for every word of a field, with `content`, `label`,
            `score`, and `start_index` and `end_index` into the text of the record (of several records, into their texts
            joined by a line break).

        Raises:
            DocumentError: The document is malformed.
        """
        if self._model is None:
            self.load()
        assert self._model is not None  # noqa: S101 - load either sets it or raises
        path = str(getattr(request, "input_path", None) or "document")
        document = parse_document(self._document_bytes(request, path), path)
        return {"ner_result": {"entities": self._model.entities(document)}}

    def run_many(self, requests: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Find the fields of several documents, several at once; yield what `run` returns for each, in order.

        Raises:
            DocumentError: The next document is malformed.
        """
        if self._model is None:
            self.load()
        yield from map_in_threads(self.run, requests)

    def cleanup(self) -> None:
        """Free the memory of the model; a later `run` loads it again."""
        self._model = None

    def _document_bytes(self, request: Any, path: str) -> bytes | str:
        raw = getattr(request, "input_raw_data", None)
        if raw is not None:
            if raw.type != "ibdoc":
                raise ValueError(f"{path}: the input is of type {raw.type!r}, but this model reads 'ibdoc'.")
            data: bytes | str = raw.data
            return data
        if self.ibsdk is None:
            raise ValueError(f"{path}: the request carries no document, and the model was given no way to read files.")
        read: bytes = self.ibsdk.read_file(path)
        return read
