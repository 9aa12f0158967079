"""Wire models of the marketplace and of solutions (Instabase protocol, "Marketplace" and "Packages")."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from pytest_ibmodels.instabase.wire import Envelope, IbPath, WireModel


def _async_flag(value: object) -> object:
    # The protocol's flag is the text "true"; other clients may send a JSON boolean instead.
    return ("true" if value else None) if isinstance(value, bool) else value


class MaybeAsync(WireModel):
    """Request that is answered at once, or with ``async_="true"`` by a job; the flag is text or absent."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    async_: Annotated[Literal["true"] | None, BeforeValidator(_async_flag)] = Field(
        default=None, alias="async", exclude_if=lambda flag: flag is None
    )


class MarketplaceApp(WireModel):
    """One published package; versions in semantic order, ``src_paths`` with the drive paths of their archives."""

    name: str
    available_versions: list[str] = Field(default_factory=list)
    installed_versions: list[str] = Field(default_factory=list)
    open_urls: dict[str, str | None] = Field(default_factory=dict)
    src_paths: dict[str, str | None] = Field(default_factory=dict)


class MarketplaceListing(Envelope):
    """Answer of ``marketplace/list``, with one entry for each name."""

    apps: list[MarketplaceApp] = Field(default_factory=list)


class PublishRequest(MaybeAsync):
    """Body of ``marketplace/publish``; the archive's ``package.json`` contains name and version."""

    ibsolution_path: IbPath


class PublishAnswer(Envelope):
    """Answer of ``marketplace/publish``: ``status`` OK, or the ``job_id`` of the job that publishes."""

    job_id: str | None = None


class UnpublishRequest(WireModel):
    """Body of ``marketplace/unpublish``."""

    name: str
    version: str


class InstallRequest(WireModel):
    """Body of ``marketplace/install``."""

    name: str
    version: str


class CreateSolutionRequest(MaybeAsync):
    """Body of ``solution/create``, which packs ``content_folder`` as ``OUTPUT_FOLDER/NAME-VERSION.ibsolution``."""

    content_folder: IbPath
    output_folder: IbPath


class SolutionAnswer(Envelope):
    """Answer of ``solution/create``: ``solution_path``, or the ``job_id`` whose ``results[0]`` contains it."""

    job_id: str | None = None
    solution_path: IbPath | None = None
