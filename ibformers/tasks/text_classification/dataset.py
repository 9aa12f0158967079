"""Tokenised rows: texts in a temporary file, tokens in flat arrays."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ibformers.errors import RequestRefused, TuningError
from ibformers.tasks.text_classification.keys import text_key
from ibformers.tasks.text_classification.labels import MAX_LABELS, label_name
from ibformers.tasks.text_classification.texts import TextReader
from ibformers.unicode import clean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from ibformers.databases.rows import Row, RowSource
    from ibformers.tasks.text_classification.keys import Keys
    from ibformers.tasks.text_classification.requests import TrainRequest
    from ibformers.tasks.text_classification.split import SplitRule

BATCH = 1000
"""Rows tokenised at a time, which share an array."""

PROGRESS_ROWS = 50_000
"""Rows between two lines of progress in the log."""

logger = logging.getLogger("ibformers.tuning")


class TokenisedRows:
    """Tokens, labels and keys of rows, with two bytes per token if the vocabulary allows it.

    Call `fill`, then `tokenise`: the database is read first, so it does not wait for the tokenizer.

    Args:
        tokenizer: tokenizer of the model.
        max_tokens: maximum number of tokens; longer texts are truncated.
        columns: names of the columns, for messages.
        texts: file for the texts.
        rule: rule of the split; receives each row that is kept.

    Attributes:
        names: labels in the order of their first rows.
        codes: index into `names` for each row.
        rule: rule of the split.
        read: number of rows read.
        skipped: number of rows without a label or a text.
        truncated: number of truncated rows.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        columns: tuple[str, str],
        texts: TextFile,
        rule: SplitRule,
    ) -> None:
        self._reader = TextReader(tokenizer, max_tokens)
        self._label_column, self._text_column = columns
        self._texts = texts
        self.rule = rule
        self._type = np.uint16 if len(tokenizer) <= np.iinfo(np.uint16).max else np.int32
        self._tokens: list[NDArray[Any]] = []
        self._ends: list[NDArray[np.int64]] = []
        self._keys = array("Q")
        self._numbers: dict[str, int] = {}
        self.codes = array("i")
        self.read = 0
        self.skipped = 0
        self.truncated = 0

    @property
    def names(self) -> list[str]:
        return list(self._numbers)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def keys(self) -> Keys:
        """The key of each row's text."""
        return np.array(self._keys, dtype=np.uint64)

    def tokens(self, index: int) -> NDArray[Any]:
        """Return the token ids of a row."""
        batch, place = divmod(index, BATCH)
        ends = self._ends[batch]
        return self._tokens[batch][ends[place - 1] if place else 0 : ends[place]]

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each row."""
        return np.concatenate([np.diff(ends, prepend=0) for ends in self._ends])

    def fill(self, rows: Iterable[Row]) -> None:
        """Read rows, without tokenising them.

        Raises:
            RequestRefused: a value is no label, text or side of the split, or there are too many labels.
            TuningError: the temporary folder is full.
        """
        for label, text, *further in rows:
            self.read += 1
            if self.read % PROGRESS_ROWS == 0:
                logger.info("%d rows read", self.read)
            if label is None or text is None or text == "" or (isinstance(label, str) and not label.strip()):
                self.skipped += 1
                continue
            self._texts.append(self._checked(text))
            self.codes.append(self._number(label))
            self.rule.add(further)
        self._texts.flush()

    def tokenise(self) -> None:
        """Compute tokens and keys of the texts."""
        for start in range(0, len(self), BATCH):
            texts = self._texts.between(start, min(start + BATCH, len(self)))
            self._keys.extend(map(text_key, texts))
            self._add(texts)
            if len(self._keys) % PROGRESS_ROWS == 0:
                logger.info("%d of %d rows tokenised", len(self._keys), len(self))

    def _checked(self, text: Any) -> str:
        if not isinstance(text, str):
            raise RequestRefused(
                f"Column {self._text_column} holds {text!r}, which is not a text "
                "(columns are first the label, second the text).",
                "columns",
            )
        return clean(text)

    def _number(self, label: Any) -> int:
        number = self._numbers.setdefault(label_name(label, self._label_column), len(self._numbers))
        if number >= MAX_LABELS:
            raise RequestRefused(
                f"Column {self._label_column} has more than {MAX_LABELS} different labels in {self.read} rows "
                "(columns are first the label, second the text).",
                "columns",
            )
        return number

    def _add(self, texts: list[str]) -> None:
        found = self._reader.read(texts)
        self.truncated += int(found.cut.sum())
        self._tokens.append(found.tokens.astype(self._type))
        self._ends.append(np.cumsum(found.lengths))


class TextFile:
    """Texts in an anonymous temporary file, which is removed at the end of the context."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ibformers-")  # noqa: SIM115 - closed by __exit__
        self._ends = array("q", [0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # `append` and `flush` have raised the error already.
        with contextlib.suppress(OSError):
            self._file.close()

    def append(self, text: str) -> None:
        """Append a text. Append all texts, and flush, before you read one.

        Raises:
            TuningError: the temporary folder is full.
        """
        content = text.encode()
        try:
            self._ends.append(self._ends[-1] + self._file.write(content))
        except OSError as error:
            raise _disk_full_error(error) from None

    def flush(self) -> None:
        """Write buffered texts. Raises TuningError like `append`."""
        try:
            self._file.flush()
        except OSError as error:
            raise _disk_full_error(error) from None

    def between(self, start: int, end: int) -> list[str]:
        """Return the texts with the indices `start` to `end - 1`."""
        self._file.seek(self._ends[start])
        content = self._file.read(self._ends[end] - self._ends[start])
        offsets = [end - self._ends[start] for end in self._ends[start : end + 1]]
        return [content[first:last].decode() for first, last in pairwise(offsets)]

    def __getitem__(self, index: int) -> str:
        return self.between(index, index + 1)[0]


def _disk_full_error(error: OSError) -> TuningError:
    return TuningError(
        f"The texts of the rows cannot be written to {tempfile.gettempdir()}: {error.strerror}. Make room there, or "
        "set the environment variable TMPDIR to another folder."
    )


class Examples(Sequence[dict[str, Any]]):
    """Training examples: `input_ids` and the index of the label.

    Args:
        rows: all rows.
        chosen: indices of the rows that become examples.
        numbers: the model's index of each label in `rows.names`.
    """

    def __init__(self, rows: TokenisedRows, chosen: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        self._rows = rows
        self._chosen = chosen
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        row = int(self._chosen[index])
        return {"input_ids": self._rows.tokens(row), "labels": int(self._numbers[self._rows.codes[row]])}

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each example."""
        return self._rows.lengths()[self._chosen]

    def labels(self) -> NDArray[np.int64]:
        """Return the label's index of each example."""
        return self._numbers[np.frombuffer(self._rows.codes, dtype=np.int32)[self._chosen]]


def read_rows(source: RowSource, request: TrainRequest, rows: TokenisedRows) -> None:
    """Read and tokenise the rows of a request.

    Raises:
        RequestRefused: the table or the columns cannot be used, or there are too few rows.
        DatabaseUnavailable: the database cannot be read.
        TuningError: the temporary folder is full.
    """
    further = [request.side_column] if request.side_column else []
    # SQLite blocks writers while rows are read, so the database is closed before the slow tokenisation.
    with source.read(request.table, request.columns, request.limit, *further) as stream:
        rows.fill(stream)
    logger.info("%d rows read from %s, %d of them skipped", rows.read, request.table, rows.skipped)
    _check_rows(request, rows)
    rows.tokenise()
    if rows.truncated:
        logger.info("%d rows have more tokens than the model reads, and are cut", rows.truncated)


def _check_rows(request: TrainRequest, rows: TokenisedRows) -> None:
    if len(rows) < 2:
        raise RequestRefused(
            f"Table {request.table} has {len(rows)} rows with a label and a text; there must be at least two: "
            "one to learn from, one to test.",
            "table",
        )
    if len(rows) > 2 and len(rows.names) == len(rows):
        raise RequestRefused(
            f"Column {request.columns[0]} has a different label in each of {len(rows)} rows "
            "(columns are first the label, second the text).",
            "columns",
        )
