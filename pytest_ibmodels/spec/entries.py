"""The YAML files' entries as pydantic models: what may be written, key by key. The JSON Schemas are made from these.

Descriptions are shown by editors while the files are written.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

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

from pytest_ibmodels.spec import values
from pytest_ibmodels.verdicts.metrics import METRICS


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


_NOT_GIVEN: Any = None


def _either_form(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of bounds take the short form too."""
    number = {"type": "number", "minimum": 0}
    long_form = {key: schema.pop(key) for key in ("type", "properties", "additionalProperties")}
    schema.update(examples=[0.9, {"min": 0.9}, {"max": 0.4}], anyOf=[number, {**long_form, "minProperties": 1}])


class BoundsEntry(_Entry):
    """The values of this metric that pass for this field: a minimum, or `min` and `max`, one of them or both."""

    model_config = ConfigDict(json_schema_extra=_either_form)

    min: Annotated[float, Field(ge=0, description="The smallest value that still passes.")] = _NOT_GIVEN
    max: Annotated[
        float, Field(ge=0, description="The largest value that still passes, of a metric that should be low.")
    ] = _NOT_GIVEN

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"min": value}

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        values.check_bounds(self.min, self.max)
        return self


def _name_metrics(schema: dict[str, Any]) -> None:
    """Let editors offer the metrics' names."""
    schema["properties"] = dict.fromkeys(METRICS, schema["additionalProperties"])
    number = {"type": "number", "minimum": 0}
    schema["properties"]["accuracy"] = {"anyOf": [number, schema["additionalProperties"]]}
    schema["propertyNames"] = {"pattern": values.NAME_PATTERN}


class InferenceEntry(_Entry):
    """How the trained model is tried out."""

    documents: Annotated[
        Literal["first", "all"] | int,
        BeforeValidator(values.documents),
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
        Field(
            ge=0,
            lt=1,
            description=(
                "By so much the F1 (weighted avg) may be lower than that of the model in use: 0.01 is one point of 100."
            ),
        ),
    ] = 0.0
    undecided: Annotated[
        Literal["pass", "fail"],
        Field(
            description=(
                "What it means where the rows are too few to tell: `pass` (the default) passes with a warning that "
                "says how many rows would decide it, `fail` fails."
            )
        ),
    ] = "pass"


_MARK_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": values.MARK_PATTERN,
    "not": {"enum": sorted(values.NO_MARKS)},
}


class ModelTestEntry(_Entry):
    """One model test: a training that has to keep working, and how good it has to be."""

    env: Annotated[
        tuple[str, ...],
        BeforeValidator(values.environment_names),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": values.NAME_PATTERN},
                    {
                        "type": "array",
                        "items": {"type": "string", "pattern": values.NAME_PATTERN},
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
        BeforeValidator(values.not_empty, json_schema_input_type=str),
        AfterValidator(values.in_project),
        Field(
            description="Drive path of the Annotator project to train on, readable with the environment's token.",
            examples=["ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator"],
            json_schema_extra={"pattern": r"^/?[^/]+/[^/]+/fs/[^/]+(/[^/]+)*/[^/]+\.ibannotator$"},
        ),
    ] = None
    table: Annotated[
        str | None,
        BeforeValidator(values.not_empty, json_schema_input_type=str),
        AfterValidator(lambda value: None if value is None else values.table(value)),
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
        BeforeValidator(values.columns),
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
        BeforeValidator(values.limit, json_schema_input_type=int),
        WithJsonSchema({"type": "integer", "minimum": 2}),
        Field(description="With `table`: most rows that are read. Default: all.", examples=[2000]),
    ] = None
    p_of_train: Annotated[
        float | None,
        BeforeValidator(values.share, json_schema_input_type=float),
        WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        Field(
            description=(
                "With `table`: the share of the rows that is learned from, in the mean; the others test. Default: 0.8."
            ),
            examples=[0.8],
        ),
    ] = None
    group_column: Annotated[
        str | None,
        BeforeValidator(values.column, json_schema_input_type=str),
        Field(
            description=(
                "With `table`: the column that decides, in place of the text, whether a row is learned from or tests, "
                "so that all rows of an author or a customer are on one side."
            ),
            examples=["Author"],
            json_schema_extra={"pattern": values.TABLE_NAME_PATTERN},
        ),
    ] = None
    split_column: Annotated[
        str | None,
        BeforeValidator(values.column, json_schema_input_type=str),
        Field(
            description=(
                "With `table`: the column that says of each row whether it is learned from or tests, `train` or `test`."
            ),
            examples=["Part"],
            json_schema_extra={"pattern": values.TABLE_NAME_PATTERN},
        ),
    ] = None
    better_than_current: Annotated[
        BetterEntry | None,
        BeforeValidator(values.better),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "boolean"},
                    {
                        "type": "object",
                        "properties": {
                            "max_drop": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                            "undecided": {"enum": ["pass", "fail"]},
                        },
                        "additionalProperties": False,
                    },
                ]
            }
        ),
        Field(
            description=(
                "With `table`: the new model's F1 (weighted avg) must be as good as that of the model in use on the "
                "same rows, or lower by `max_drop` at most, as far as these rows can tell."
            ),
            examples=[True, {"max_drop": 0.01}, {"max_drop": 0.01, "undecided": "fail"}],
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
        dict[str, dict[str, BoundsEntry]],
        BeforeValidator(values.one_value_for_all),
        Field(
            description=(
                "Metric -> field -> minimum, or bounds: `{min: 0.9}`, `{max: 0.4}`. The metrics are exact_match, "
                "precision, recall and f1, and whatever else the training reports. Not every metric and not every "
                "field has to be there. With `table`, fields are labels, `macro avg` and `weighted avg`; accuracy is "
                "one number. Of a metric of your own that is one number, the bounds stand below its name."
            ),
            examples=[{"f1": {"DL Number": 0.9}}, {"loss": {"max": 0.4}}],
            json_schema_extra=_name_metrics,
        ),
    ] = {}
    inference: Annotated[InferenceEntry, Field(description="How the trained model is tried out.")] = InferenceEntry()
    marks: Annotated[
        tuple[str, ...],
        BeforeValidator(values.marks),
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
        BeforeValidator(values.reason, json_schema_input_type=str),
        Field(description="Why this model test is not run at present.", examples=["The data set is being relabelled"]),
    ] = None
    xfail: Annotated[
        str | None,
        BeforeValidator(values.reason, json_schema_input_type=str),
        Field(
            description="Why this model test is expected to fail; it runs, and its failure does not fail the session.",
            examples=["Known to lose addresses since 1.4"],
        ),
    ] = None
    package: Annotated[
        str | None,
        BeforeValidator(values.folder, json_schema_input_type=str),
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
        BeforeValidator(values.not_empty, json_schema_input_type=float),
        Field(gt=0, description="Seconds that unpacking the pushed code may take.", examples=[300]),
    ] = None
    queue: Annotated[
        float | None,
        BeforeValidator(values.not_empty, json_schema_input_type=float),
        Field(gt=0, description="Seconds that a training may wait until the environment begins it.", examples=[3600]),
    ] = None
    inference: Annotated[
        float | None,
        BeforeValidator(values.not_empty, json_schema_input_type=float),
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
        BeforeValidator(values.not_empty, json_schema_input_type=str),
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
        BeforeValidator(values.not_empty, json_schema_input_type=str),
        Field(description="API token. Keep it out of the file: `${VARIABLE}`.", examples=["${DOGFOOD_TOKEN}"]),
    ] = None
    mounts: Annotated[
        dict[str, str] | None,
        BeforeValidator(values.not_empty, json_schema_input_type=dict[str, str]),
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
        BeforeValidator(values.max_parallel),
        WithJsonSchema(
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": values.VARIABLE_PATTERN}]}
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
        BeforeValidator(values.not_empty, json_schema_input_type=str),
        Field(
            description="Embedded sandbox only. Folder for its files, relative to this one. Default: a temporary one.",
            examples=[".sandbox"],
        ),
    ] = None
    database: Annotated[
        SecretStr | None,
        BeforeValidator(values.not_empty, json_schema_input_type=str),
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
        BeforeValidator(values.not_empty, json_schema_input_type=str),
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
