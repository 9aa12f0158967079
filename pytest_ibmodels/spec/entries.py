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

METRICS = ("exact_match", "precision", "recall", "f1")
"""The metrics that every training of ours reports. Others may be named too."""

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


def _project_path(text: str) -> str:
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
        str,
        AfterValidator(_project_path),
        Field(
            description="Drive path of the Annotator project to train on, readable with the environment's token.",
            examples=["ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator"],
            json_schema_extra={"pattern": r"^/?[^/]+/[^/]+/fs/[^/]+(/[^/]+)*/[^/]+\.ibannotator$"},
        ),
    ]
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
        Field(
            description=(
                "Metric -> field -> minimum. The metrics are exact_match, precision, recall and f1, and whatever else "
                "the training reports per field. Not every metric and not every field has to be there."
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
