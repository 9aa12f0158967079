"""Pydantic models of the entries of `model_tests.yaml`.

The JSON Schemas are generated from these models and those of `environment_entries`. Docstrings of fields become
descriptions, which editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pytest_ibmodels.spec import values
from pytest_ibmodels.verdicts.metrics import METRICS

UNIQUE: dict[str, Any] = {"uniqueItems": True}
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
EnvironmentName = Annotated[str, Field(pattern=values.NAME_PATTERN)]
MarkName = Annotated[
    str, Field(pattern=values.MARK_PATTERN, json_schema_extra={"not": {"enum": sorted(values.RESERVED_MARKS)}})
]
ColumnName = Annotated[str, Field(pattern=values.COLUMN_PATTERN)]
Seconds = Annotated[float, Field(gt=0)]

MAX_REPEATS = 20
"""Maximum number of trainings of one case."""

MAX_RESOURCES = 10_000
"""Maximum of `cpus` and of `gpus`."""

MAX_RETRIES = 10
"""Maximum of `retries`."""


class Entry(BaseModel):
    """Base of all entries: strict, without unknown keys and empty values."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_empty(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            optional = not cls.model_fields[str(info.field_name)].is_required()
            raise values.spec_error("is empty: give it a value" + (", or remove the key" if optional else ""))
        return value


def _add_short_form(schema: dict[str, Any]) -> None:
    """Allow a number in place of bounds in the JSON Schema."""
    number = {"type": "number", "minimum": 0}
    long_form = {key: schema.pop(key) for key in ("type", "properties", "additionalProperties")}
    schema.update(examples=[0.9, {"min": 0.9}, {"max": 0.4}], anyOf=[number, {**long_form, "minProperties": 1}])


class BoundsEntry(Entry):
    """Values of the metric that pass for this field: a minimum, or `min`, `max`, or both."""

    model_config = ConfigDict(json_schema_extra=_add_short_form)

    min: Annotated[float | None, Field(ge=0)] = None
    """Smallest value that passes."""

    max: Annotated[float | None, Field(ge=0)] = None
    """Largest value that passes, for a metric that should be low."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"min": value}

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise values.spec_error("has no bound: give it a `min`, a `max`, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise values.spec_error(f"has a `min` of {self.min:g} above its `max` of {self.max:g}: no value could pass")
        return self


def _name_metrics(schema: dict[str, Any]) -> None:
    """Let editors offer the names of the metrics."""
    schema["properties"] = dict.fromkeys(METRICS, schema["additionalProperties"])
    number = {"type": "number", "minimum": 0}
    schema["properties"]["accuracy"] = {"anyOf": [number, schema["additionalProperties"]]}
    schema["propertyNames"] = {"pattern": values.NAME_PATTERN}


class InferenceEntry(Entry):
    """How inference with the trained model is tested."""

    documents: Annotated[
        Literal["first", "all"] | int,
        BeforeValidator(values.documents, json_schema_input_type=Literal["first", "all"] | Annotated[int, Field(ge=1)]),
        Field(examples=["first", "all", 10]),
    ] = "first"
    """Documents to run inference on, of those that the training wrote predictions for: the first, all, or the first
    N."""


class BetterEntry(Entry):
    """How far the new model may fall behind the model in use."""

    max_drop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest drop of the F1 (weighted avg) below that of the model in use, as a fraction: 0.01 is one point of
    100."""

    undecided: Literal["pass", "fail"] = "pass"
    """Verdict if there are too few rows to decide: `pass` (the default) passes with a warning that says how many rows
    would decide, `fail` fails."""


class BaselineEntry(Entry):
    """Earlier runs that a new run is held to, and how far it may fall behind them."""

    branch: Annotated[Text | None, Field(examples=["main"])] = None
    """The newest passed run of this git branch."""

    tag: Annotated[Text | None, Field(examples=["v1.2"])] = None
    """The newest passed run of the commit that has this git tag."""

    previous: Annotated[Literal[True] | None, Field(examples=[True])] = None
    """The newest passed run, of any branch."""

    max_drop: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Largest drop of a metric below the baseline, as a fraction: 0.01 (the default) is one point of 100."""

    undecided: Literal["pass", "fail", "skip"] = "pass"
    """Verdict if there is no baseline, or too few documents or runs to decide: `pass` (the default) passes with a
    warning, `fail` fails, `skip` skips the training item."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if sum(given is not None for given in (self.branch, self.tag, self.previous)) != 1:
            raise values.spec_error("needs one of `branch: NAME`, `tag: NAME` and `previous: true`")
        return self


class ResourcesEntry(Entry):
    """Part of a machine that a sandbox of several machines keeps free for each training."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    cpus: Annotated[float, Field(gt=0, le=MAX_RESOURCES, examples=[2, 0.5])] = 1.0
    """Number of processor cores. Default: 1."""

    gpus: Annotated[int, Field(ge=0, le=MAX_RESOURCES, examples=[1])] = 0
    """Number of GPUs. Default: 0."""

    memory: Annotated[
        int | None,
        BeforeValidator(
            values.memory,
            json_schema_input_type=Annotated[int, Field(ge=values.LEAST_MEMORY)]
            | Annotated[str, Field(pattern=values.MEMORY_PATTERN)],
        ),
        Field(examples=["8 GiB", "512 MiB"]),
    ] = None
    """Memory, a number with MiB, GiB, TiB, MB, GB or TB, or a number of bytes. Default: none is kept free."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if not self.model_fields_set:
            raise values.spec_error("names nothing: give it `cpus`, `gpus` or `memory`, or remove it")
        return self


class ModelTestEntry(Entry):
    """One model test: a training that must keep working, and how good it must be."""

    env: Annotated[
        tuple[str, ...],
        BeforeValidator(
            values.environment_names,
            json_schema_input_type=EnvironmentName
            | Annotated[list[EnvironmentName], Field(min_length=1, json_schema_extra=UNIQUE)],
        ),
        Field(examples=["sandbox", ["dogfood", "sandbox"]]),
    ]
    """Environment to train on, by its name in environments.yaml, or a list of environments. `sandbox` always
    exists."""

    ibannotator: Annotated[
        str | None,
        AfterValidator(values.annotator_project),
        Field(
            examples=["ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator"],
            json_schema_extra={"pattern": r"^/?[^/]+/[^/]+/fs/[^/]+(/[^/]+)*/[^/]+\.ibannotator$"},
        ),
    ] = None
    """Drive path of the Annotator project to train on, readable with the environment's token."""

    table: Annotated[str | None, Field(pattern=values.TABLE_PATTERN, examples=["Review", "iris.Review"])] = None
    """Instead of `ibannotator`: table of the environment's `database` with the labelled texts to train on, TABLE or
    SCHEMA.TABLE."""

    function: Annotated[
        str | None,
        AfterValidator(values.function),
        Field(examples=["mytrainer.train"], json_schema_extra={"pattern": values.FUNCTION_PATTERN}),
    ] = None
    """Instead of `ibannotator` and `table`: dotted path of the function of your own that trains. Its first part is the
    folder of the code, beside pytest's settings, unless `package` names another place."""

    data: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(
            values.data_paths,
            json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1, json_schema_extra=UNIQUE)],
        ),
        Field(examples=["./train.csv", ["./train.csv", "me/data/fs/Prod Drive/images"]]),
    ] = None
    """With `function`: the data to train on, a local file or folder, relative to this file, a drive path, or a list of
    these. Local data is uploaded."""

    columns: Annotated[
        tuple[str, str] | None,
        BeforeValidator(
            values.columns,
            json_schema_input_type=Annotated[str, Field(pattern=r"^[^,]+,[^,]+$")]
            | Annotated[list[str], Field(min_length=2, max_length=2, json_schema_extra=UNIQUE)],
        ),
        Field(examples=[["ReviewLabel", "ReviewText"], "ReviewLabel,ReviewText"]),
    ] = None
    """With `table`: the column of the label, then the column of the text."""

    limit: Annotated[int | None, Field(ge=2, examples=[2000])] = None
    """With `table`: maximum number of rows to read. Default: all."""

    p_of_train: Annotated[float | None, Field(gt=0, lt=1, examples=[0.8])] = None
    """With `table`: expected fraction of the rows that are trained on; the other rows test. Default: 0.8."""

    group_column: Annotated[ColumnName | None, Field(examples=["Author"])] = None
    """With `table`: column that decides, instead of the text, whether a row trains or tests, so that all rows of an
    author or a customer are on one side."""

    split_column: Annotated[ColumnName | None, Field(examples=["Part"])] = None
    """With `table`: column that holds the side of each row, `train` or `test`."""

    better_than_current: Annotated[
        BetterEntry | None,
        BeforeValidator(values.better, json_schema_input_type=bool | BetterEntry),
        Field(examples=[True, {"max_drop": 0.01}, {"max_drop": 0.01, "undecided": "fail"}]),
    ] = None
    """With `table`: the F1 (weighted avg) of the new model must not be lower than that of the model in use on the
    same rows by more than `max_drop`, as far as these rows can tell."""

    time_limit: Annotated[Seconds, Field(examples=[1200])]
    """Maximum duration of the training in seconds, from the moment the environment starts it. A job that takes longer
    is cancelled."""

    config: Annotated[
        dict[str, Any], Field(examples=[{"batch_size": 2, "learning_rate": 5e-5, "epochs": 3, "upload": False}])
    ] = {}
    """Hyperparameters, passed to the training unchanged. The training has defaults for the others."""

    repeats: Annotated[int, Field(ge=1, le=MAX_REPEATS, examples=[3])] = 1
    """Number of trainings, with the seeds s, s + 1, ...; s is `seed` of `config`, or 42. The metrics are judged by
    their mean. Default: 1."""

    resources: Annotated[ResourcesEntry | None, Field(examples=[{"cpus": 2, "gpus": 1, "memory": "8 GiB"}])] = None
    """Part of a machine that a sandbox of several machines keeps free for each training: `cpus` (default: 1), `gpus`
    (default: 0) and `memory`. Default: one core."""

    retries: Annotated[int | None, Field(ge=0, le=MAX_RETRIES, examples=[2])] = None
    """How often a sandbox starts a training again after it lost the machine that ran it. Default: 1."""

    metrics: Annotated[
        dict[str, dict[str, BoundsEntry]],
        BeforeValidator(values.expand_single_values),
        Field(examples=[{"f1": {"DL Number": 0.9}}, {"loss": {"max": 0.4}}], json_schema_extra=_name_metrics),
    ] = {}
    """Metric -> field -> minimum, or bounds: `{min: 0.9}`, `{max: 0.4}`. The metrics are exact_match, precision,
    recall, f1, value_f1, and any other that the training reports. Metrics and fields may be left out. With `table`, the
    fields are the labels, `macro avg` and `weighted avg`, and accuracy is one number. The bounds of a metric of your
    own that is one number go right below its name."""

    baseline: Annotated[
        BaselineEntry | None,
        BeforeValidator(values.baseline, json_schema_input_type=Literal["previous"] | BaselineEntry),
        Field(examples=["previous", {"branch": "main", "max_drop": 0.01}, {"tag": "v1.2", "undecided": "fail"}]),
    ] = None
    """Earlier runs in the history that the metrics are held to, beside their bounds: `{branch: NAME}`, `{tag: NAME}` or
    `previous`. All metrics with bounds are compared; without any, f1, or else accuracy."""

    trend: Literal["warn", "fail"] = "warn"
    """Effect of a trend alert, that is, of metrics that get worse over the runs in the history: `warn` (the default)
    shows a warning, `fail` fails the training, too."""

    inference: Annotated[
        InferenceEntry | None,
        BeforeValidator(values.inference, json_schema_input_type=Literal[False] | InferenceEntry),
        Field(examples=[{"documents": "all"}, False]),
    ] = InferenceEntry()
    """How inference with the trained model is tested; `false` for a model that is not served."""

    marks: Annotated[
        tuple[str, ...],
        BeforeValidator(
            values.marks,
            json_schema_input_type=MarkName | Annotated[list[MarkName], Field(min_length=1, json_schema_extra=UNIQUE)],
        ),
        Field(examples=["nightly", ["nightly", "licenses"]]),
    ] = ()
    """Marks of pytest for both items, one name or a list, to select by with -m."""

    skip: Annotated[Text | None, Field(examples=["The data set is being relabelled"])] = None
    """Reason why this model test is not run at present."""

    xfail: Annotated[Text | None, Field(examples=["Known to lose addresses since 1.4"])] = None
    """Reason why this model test is expected to fail; it runs, but does not fail the session."""

    package: Annotated[Text | None, Field(examples=["ibformers_next"])] = None
    """Folder of the training code to upload for this model test, relative to pytest's root folder. Default: the first
    part of `function`, else the setting ibmodels_package."""
