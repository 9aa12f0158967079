"""The YAML files' entries as pydantic models: what may be written, key by key. The JSON Schemas are made from these.

Descriptions are shown by editors while the files are written.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pytest_ibmodels.spec.drive_paths import project_path
from pytest_ibmodels.spec.variables import has_variables
from pytest_ibmodels.spec.wording import is_a, quoted

NAME_PATTERN = r"^[A-Za-z0-9_.-]+$"
ENTRY_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
HIDDEN_PATTERN = r"^\."
"""Top-level keys that are no entries: places for anchors."""

METRICS = ("exact_match", "precision", "recall", "f1", "accuracy")
"""The metrics that trainings of ours report. Others may be named too."""

ALL_ROWS = "all"
"""The field of a metric that has one value for everything, as accuracy has."""

OF_TABLES = ("columns", "limit", "p_of_train", "better_than_current")
"""Keys of a model test that belong to `table`."""

TABLE_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

MARK_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_NO_MARKS = {
    "skip": "write `skip: REASON` beside `marks`",
    "xfail": "write `xfail: REASON` beside `marks`",
    "training": "every training item has it",
    "inference": "every inference item has it",
    "timeout": "`time_limit` bounds the training",
    **dict.fromkeys(
        ("filterwarnings", "parametrize", "skipif", "usefixtures"), "it needs arguments, which only Python can give"
    ),
}
"""Marks that mean something else on a model test, or nothing -> what to do."""

_VARIABLE_PATTERN = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"


def refused(message: str) -> PydanticCustomError:
    """An error whose message is already the one to show."""
    return PydanticCustomError("spec", "{message}", {"message": message})


def _project_path(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return project_path(text)
    except ValueError as error:
        raise refused(str(error)) from None


def _environment_names(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        found = "is an empty list" if names == [] else is_a(value) + _word_hint(value)
        raise refused(f"has to be the name of an environment or a list of names, but {found}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise refused(f"has to be a list of names, but its item {index + 1} {is_a(name)}{_word_hint(name)}")
        if name in names[:index]:
            raise refused(f"names the environment `{name}` twice: keep one of them")
    return tuple(names)


def _word_hint(value: Any) -> str:
    return ": put it in quotes" if isinstance(value, bool | int | float) else ""


def _columns(value: Any) -> Any:
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise refused(f"has to be two columns, first the label, second the text, as [Stars, Text], but {is_a(value)}")
    for name in names:
        if not re.fullmatch(TABLE_NAME_PATTERN, name):
            raise refused(f'has to be plain names, of letters, digits and "_", but {quoted(name)} is none')
    if names[0] == names[1]:
        raise refused(f"names {quoted(names[0])} twice: first the label, second the text")
    return tuple(names)


def _table(value: str) -> str:
    parts = value.split(".")
    if len(parts) > 2 or not all(re.fullmatch(TABLE_NAME_PATTERN, part) for part in parts):
        raise refused(
            f'has to be a plain name, TABLE or SCHEMA.TABLE, of letters, digits and "_", but is {quoted(value)}'
        )
    return value


def _limit(value: Any) -> Any:
    if type(value) is int and value >= 2:
        return value
    raise refused(f"has to be a whole number of rows from 2, but {is_a(value)}")


def _share(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise refused(f"has to be a number between 0 and 1, the share that is learned from, but {is_a(value)}")


def _better(value: Any) -> Any:
    if isinstance(value, bool):
        return {"max_drop": 0.0} if value else None
    if isinstance(value, dict):
        return value
    raise refused(f"has to be true, false, or {{max_drop: NUMBER}}, but {is_a(value)}")


def _one_value_for_all(metrics: Any) -> Any:
    """`accuracy: 0.9` is short for `accuracy: {all: 0.9}`: it has one value, not one per label."""
    if not isinstance(metrics, dict):
        return metrics
    accuracy = metrics.get("accuracy")
    short = isinstance(accuracy, int | float) and not isinstance(accuracy, bool)
    return {**metrics, "accuracy": {ALL_ROWS: accuracy}} if short else metrics


def _not_empty(value: Any) -> Any:
    if value is None:
        raise refused("is empty: give it a value, or remove the key")
    return value


def _documents(value: Any) -> Any:
    if value in {"first", "all"} if isinstance(value, str) else type(value) is int and value >= 1:
        return value
    raise refused(f"has to be first, all, or a number of documents from 1, but {is_a(value)}")


def _marks(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        found = "is an empty list" if names == [] else is_a(value)
        raise refused(f"has to be the name of a mark or a list of names, but {found}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise refused(f"has to be a list of names, but its item {index + 1} {is_a(name)}")
        if not re.fullmatch(MARK_PATTERN, name):
            raise refused(f'has to be names of marks, of letters, digits and "_", but {quoted(name)} is none')
        if name in _NO_MARKS:
            raise refused(f"cannot have `{name}`: {_NO_MARKS[name]}")
        if name in names[:index]:
            raise refused(f"has `{name}` twice: keep one of them")
    return tuple(names)


def _reason(value: Any) -> Any:
    return _some_text(value, "the reason")


def _folder(value: Any) -> Any:
    return _some_text(value, "a folder")


def _some_text(value: Any, what: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    found = "is empty text" if isinstance(value, str) else is_a(value)
    raise refused(f"has to be {what}, as text, but {found}{_word_hint(value)}")


def _max_parallel(value: Any) -> Any:
    if (isinstance(value, str) and has_variables(value)) or (type(value) is int and value >= 1):
        return value
    raise refused(f"has to be a whole number from 1, but {is_a(value)}")


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def _either_form(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a minimum take the short form too."""
    number = {"type": "number", "minimum": 0}
    long_form = {key: schema.pop(key) for key in ("type", "properties", "required", "additionalProperties")}
    schema.update(examples=[0.9, {"min": 0.9}], anyOf=[number, long_form])


class MinimumEntry(_Entry):
    """The smallest value of this metric that still passes for this field; higher is better."""

    model_config = ConfigDict(json_schema_extra=_either_form)

    min: Annotated[float, Field(ge=0, description="The smallest value that still passes.")]

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"min": value}


def _name_metrics(schema: dict[str, Any]) -> None:
    """Let editors offer the metrics' names."""
    schema["properties"] = dict.fromkeys(METRICS, schema["additionalProperties"])
    number = {"type": "number", "minimum": 0}
    schema["properties"]["accuracy"] = {"anyOf": [number, schema["additionalProperties"]]}
    schema["propertyNames"] = {"pattern": NAME_PATTERN}


class InferenceEntry(_Entry):
    """How the trained model is tried out."""

    documents: Annotated[
        Literal["first", "all"] | int,
        BeforeValidator(_documents),
        WithJsonSchema({"anyOf": [{"enum": ["first", "all"]}, {"type": "integer", "minimum": 1}]}),
        Field(
            description=(
                "Which of the documents that training wrote predictions for are served and compared: "
                "the first, all, or the first N."
            ),
            examples=["first", "all", 10],
        ),
    ] = "first"


class BetterEntry(_Entry):
    """How far the new model may fall behind the one in use."""

    max_drop: Annotated[
        float,
        Field(ge=0, description="By so much the F1 (weighted avg) may be lower than that of the model in use."),
    ]


_MARK_SCHEMA: dict[str, Any] = {"type": "string", "pattern": MARK_PATTERN, "not": {"enum": sorted(_NO_MARKS)}}


class ModelTestEntry(_Entry):
    """One model test: a training that has to keep working, and how good it has to be."""

    env: Annotated[
        tuple[str, ...],
        BeforeValidator(_environment_names),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": NAME_PATTERN},
                    {
                        "type": "array",
                        "items": {"type": "string", "pattern": NAME_PATTERN},
                        "minItems": 1,
                        "uniqueItems": True,
                    },
                ]
            }
        ),
        Field(
            description=(
                "The environment to train on, by its name in environments.yaml, or a list of them. "
                "There is always `sandbox`."
            ),
            examples=["sandbox", ["dogfood", "sandbox"]],
        ),
    ]
    ibannotator: Annotated[
        str | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        AfterValidator(_project_path),
        Field(
            description="Drive path of the Annotator project to train on, readable with the environment's token.",
            examples=["ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator"],
            json_schema_extra={"pattern": r"^/?[^/]+/[^/]+/fs/[^/]+(/[^/]+)*/[^/]+\.ibannotator$"},
        ),
    ] = None
    table: Annotated[
        str | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        AfterValidator(lambda value: None if value is None else _table(value)),
        Field(
            description=(
                "In place of `ibannotator`: the table of the environment's `database` whose labelled texts are to be "
                "learned, TABLE or SCHEMA.TABLE."
            ),
            examples=["Review", "iris.Review"],
            json_schema_extra={"pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$"},
        ),
    ] = None
    columns: Annotated[
        tuple[str, str] | None,
        BeforeValidator(_columns),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": r"^[^,]+,[^,]+$"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2, "uniqueItems": True},
                ]
            }
        ),
        Field(
            description="With `table`: first the column of the label, second that of the text.",
            examples=[["ReviewLabel", "ReviewText"], "ReviewLabel,ReviewText"],
        ),
    ] = None
    limit: Annotated[
        int | None,
        BeforeValidator(_limit, json_schema_input_type=int),
        WithJsonSchema({"type": "integer", "minimum": 2}),
        Field(description="With `table`: most rows that are read. Default: all.", examples=[2000]),
    ] = None
    p_of_train: Annotated[
        float | None,
        BeforeValidator(_share, json_schema_input_type=float),
        WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        Field(
            description="With `table`: the share of the rows that is learned from; the others test. Default: 0.8.",
            examples=[0.8],
        ),
    ] = None
    better_than_current: Annotated[
        BetterEntry | None,
        BeforeValidator(_better),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "boolean"},
                    {
                        "type": "object",
                        "properties": {"max_drop": {"type": "number", "minimum": 0}},
                        "required": ["max_drop"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
        Field(
            description=(
                "With `table`: the new model's F1 (weighted avg) must be at least that of the model in use on the same "
                "rows, or lower by `max_drop` at most."
            ),
            examples=[True, {"max_drop": 0.01}],
        ),
    ] = None
    time_limit: Annotated[
        float,
        Field(
            gt=0,
            description=(
                "Seconds that the training may take, from the moment the environment begins it. "
                "Past them the job is cancelled."
            ),
            examples=[1200],
        ),
    ]
    config: Annotated[
        dict[str, Any],
        Field(
            description="Hyperparameters, passed on to the training as they are; for others the training has defaults.",
            examples=[{"batch_size": 2, "learning_rate": 5.0e-5, "epochs": 3, "upload": False}],
        ),
    ] = {}
    metrics: Annotated[
        dict[str, dict[str, MinimumEntry]],
        BeforeValidator(_one_value_for_all),
        Field(
            description=(
                "Metric -> field -> minimum. The metrics are exact_match, precision, recall and f1, and whatever else "
                "the training reports per field. Not every metric and not every field has to be there. With `table`, "
                "fields are labels, `macro avg` and `weighted avg`; accuracy is one number."
            ),
            examples=[{"f1": {"DL Number": 0.9}}],
            json_schema_extra=_name_metrics,
        ),
    ] = {}
    inference: Annotated[InferenceEntry, Field(description="How the trained model is tried out.")] = InferenceEntry()
    marks: Annotated[
        tuple[str, ...],
        BeforeValidator(_marks),
        WithJsonSchema(
            {
                "anyOf": [
                    _MARK_SCHEMA,
                    {"type": "array", "items": _MARK_SCHEMA, "minItems": 1, "uniqueItems": True},
                ]
            }
        ),
        Field(
            description="Marks of pytest for both items, one name or a list, to select by with -m.",
            examples=["nightly", ["nightly", "licenses"]],
        ),
    ] = ()
    skip: Annotated[
        str | None,
        BeforeValidator(_reason, json_schema_input_type=str),
        Field(description="Why this model test is not run at present.", examples=["The data set is being relabelled"]),
    ] = None
    xfail: Annotated[
        str | None,
        BeforeValidator(_reason, json_schema_input_type=str),
        Field(
            description="Why this model test is expected to fail; it runs, and its failure does not fail the session.",
            examples=["Known to lose addresses since 1.4"],
        ),
    ] = None
    package: Annotated[
        str | None,
        BeforeValidator(_folder, json_schema_input_type=str),
        Field(
            description=(
                "Folder of the training code to push for this model test, from pytest's root folder. "
                "Default: the one that the setting ibmodels_package names."
            ),
            examples=["ibformers_next"],
        ),
    ] = None


class LimitsEntry(_Entry):
    """Seconds that something may take in this environment, in place of pytest's settings."""

    upload: Annotated[
        float | None,
        BeforeValidator(_not_empty, json_schema_input_type=float),
        Field(gt=0, description="Seconds that unpacking the pushed code may take.", examples=[300]),
    ] = None
    queue: Annotated[
        float | None,
        BeforeValidator(_not_empty, json_schema_input_type=float),
        Field(gt=0, description="Seconds that a training may wait until the environment begins it.", examples=[3600]),
    ] = None
    inference: Annotated[
        float | None,
        BeforeValidator(_not_empty, json_schema_input_type=float),
        Field(gt=0, description="Seconds that inference of one model test may take.", examples=[300]),
    ] = None


class EnvironmentEntry(_Entry):
    """An Instabase to publish to and train on, or the embedded sandbox. Texts may hold `${VARIABLE}`."""

    host: Annotated[
        str,
        Field(
            description="Address of the Instabase, http(s)://…, or `sandbox` for the embedded one.",
            examples=["https://dogfood.instabase.com", "sandbox", "${IB_HOST:-sandbox}"],
        ),
    ]
    path: Annotated[
        str | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        Field(
            description=(
                "Drive folder for test files, OWNER/REPO/fs/DRIVE/…: a place where things can be saved and deleted. "
                "The embedded sandbox has a default."
            ),
            examples=["me/my-repo/fs/Instabase Drive/model-tests"],
        ),
    ] = None
    token: Annotated[
        SecretStr | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        Field(description="API token. Keep it out of the file: `${VARIABLE}`.", examples=["${DOGFOOD_TOKEN}"]),
    ] = None
    mounts: Annotated[
        dict[str, str] | None,
        BeforeValidator(_not_empty, json_schema_input_type=dict[str, str]),
        Field(
            description=(
                "Embedded sandbox only. Drive folder -> what is to be seen there: a local folder, "
                "relative to this file, or a built-in sample."
            ),
            examples=[
                {"me/data/fs/Drive/receipts": "../receipts", "me/data/fs/Drive/licenses": "sample:drivers-licenses"}
            ],
        ),
    ] = None
    max_parallel: Annotated[
        int | str | None,
        BeforeValidator(_max_parallel),
        WithJsonSchema(
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _VARIABLE_PATTERN}]}
        ),
        Field(
            description=(
                "How many trainings may run at once. Default: as many as are selected; on the embedded sandbox, half "
                "the processor's cores (at least 1), since trainings on one machine take the cores from each other."
            ),
            examples=[2],
        ),
    ] = None
    data: Annotated[
        str | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        Field(
            description="Embedded sandbox only. Folder for its files, relative to this one. Default: a temporary one.",
            examples=[".sandbox"],
        ),
    ] = None
    database: Annotated[
        SecretStr | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        Field(
            description=(
                "The database of model tests with a `table`: a URL of SQLAlchemy as the environment reaches it, or a "
                "built-in sample. Keep passwords out of the file: `${VARIABLE}`."
            ),
            examples=["postgresql+psycopg://me:${REVIEWS_PASSWORD}@db.example.com/reviews", "sample:reviews"],
        ),
    ] = None
    ca_bundle: Annotated[
        str | None,
        BeforeValidator(_not_empty, json_schema_input_type=str),
        Field(
            description=(
                "File of the certificates (PEM) that the host's own is verified with, in place of the public ones; "
                "relative to this file."
            ),
            examples=["certificates/company.pem"],
        ),
    ] = None
    verify: Annotated[
        bool,
        Field(description="false: the host's certificate is not verified, and whoever is in between reads the token."),
    ] = True
    limits: Annotated[LimitsEntry, Field(description="Seconds that something may take, where it differs here.")] = (
        LimitsEntry()
    )


def wrong_character(name: str) -> str | None:
    """The first character that no name may have; "" for an empty name, None for one that is fine."""
    match = re.search(r"[^A-Za-z0-9_.-]", name)
    return match.group() if match else None if name else ""
