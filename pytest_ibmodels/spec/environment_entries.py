"""Pydantic models of the entries of `environments.yaml`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from pytest_ibmodels.spec import values
from pytest_ibmodels.spec.entries import Entry, Seconds


class LimitsEntry(Entry):
    """Timeouts of this environment in seconds, instead of those of pytest's settings."""

    upload: Annotated[Seconds | None, Field(examples=[300])] = None
    """Timeout for unpacking the uploaded code, in seconds."""

    queue: Annotated[Seconds | None, Field(examples=[3600])] = None
    """Timeout for a training to leave the queue of the environment, in seconds."""

    inference: Annotated[Seconds | None, Field(examples=[300])] = None
    """Timeout for the inference of one model test, in seconds."""


def _limits(value: Any) -> dict[str, float]:
    return LimitsEntry.model_validate(value).model_dump(exclude_none=True)


class EnvironmentEntry(Entry):
    """An Instabase to publish to and train on, or the embedded sandbox. Any text may contain `${VARIABLE}`."""

    host: Annotated[str, Field(examples=["https://dogfood.instabase.com", "sandbox", "${IB_HOST:-sandbox}"])]
    """Address of the Instabase, http(s)://…, or `sandbox` for the embedded one."""

    path: Annotated[str | None, Field(examples=["me/my-repo/fs/Instabase Drive/model-tests"])] = None
    """Drive folder for test files, OWNER/REPO/fs/DRIVE/…, where the token may write and delete. The embedded sandbox
    has a default."""

    token: Annotated[SecretStr | None, Field(examples=["${DOGFOOD_TOKEN}"])] = None
    """API token. Keep it out of the file: `${VARIABLE}`."""

    mounts: Annotated[
        dict[str, str] | None,
        Field(
            examples=[
                {"me/data/fs/Drive/receipts": "../receipts", "me/data/fs/Drive/licenses": "sample:drivers-licenses"}
            ]
        ),
    ] = None
    """Embedded sandbox only. Drive folder -> its content: a local folder, relative to this file, or a built-in
    sample."""

    max_parallel: Annotated[
        int | str | None,
        BeforeValidator(
            values.max_parallel,
            json_schema_input_type=Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=values.VARIABLE_PATTERN)],
        ),
        Field(examples=[2]),
    ] = None
    """Maximum number of trainings at the same time. Default: no maximum; on the embedded sandbox half the processor's
    cores (at least 1), because trainings on one machine share its cores."""

    data: Annotated[str | None, Field(examples=[".sandbox"])] = None
    """Embedded sandbox only. Folder for its files, relative to this file. Default: a temporary one."""

    database: Annotated[
        SecretStr | None,
        Field(examples=["postgresql+psycopg://me:${REVIEWS_PASSWORD}@db.example.com/reviews", "sample:reviews"]),
    ] = None
    """Database of model tests with a `table`: its SQLAlchemy URL as seen from the environment, or a built-in sample.
    Keep passwords out of the file: `${VARIABLE}`."""

    ca_bundle: Annotated[str | None, Field(examples=["certificates/company.pem"])] = None
    """PEM file of the certificates to verify the host with, instead of the public ones; relative to this file."""

    verify: bool = True
    """false: the certificate of the host is not verified, and anybody in between can read the token."""

    limits: Annotated[dict[str, float], BeforeValidator(_limits, json_schema_input_type=LimitsEntry)] = {}  # noqa: RUF012 - pydantic copies it
    """Timeouts of this environment in seconds, instead of those of pytest's settings."""
