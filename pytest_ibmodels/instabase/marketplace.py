"""Marketplace of one environment: list, publish and unpublish packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.instabase import policy
from pytest_ibmodels.instabase.errors import ApiError, UnexpectedAnswer
from pytest_ibmodels.instabase.wire import Envelope
from pytest_ibmodels.instabase.wire_marketplace import (
    MarketplaceListing,
    PublishAnswer,
    PublishRequest,
    UnpublishRequest,
)

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.http import Transport


class Marketplace:
    """Published packages (Instabase protocol, "Marketplace")."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def versions(self, name: str) -> tuple[str, ...]:
        """List the published versions of a package in the environment's order; empty for an unknown name."""
        listing = await self._transport.call(MarketplaceListing, "GET", "marketplace/list", policy=policy.LIST)
        found = (version for app in listing.apps if app.name == name for version in app.available_versions)
        return tuple(dict.fromkeys(found))

    async def publish(self, path: str) -> str | None:
        """Publish the archive at the drive path ``path``; its ``package.json`` contains name and version.

        The request asks for a job. An environment without publishing jobs ignores that, and publishes at once.

        Returns:
            The id of the job; None if the package is already published.
        """
        request = PublishRequest(ibsolution_path=path, async_="true")
        answer = await self._transport.call(
            PublishAnswer, "POST", "marketplace/publish", body=request, policy=policy.PUBLISH
        )
        if answer.job_id:
            return answer.job_id
        self._expect_ok(answer, "POST marketplace/publish")
        return None

    async def unpublish(self, name: str, version: str) -> None:
        """Unpublish one version."""
        request = UnpublishRequest(name=name, version=version)
        answer = await self._transport.call(
            Envelope, "POST", "marketplace/unpublish", body=request, policy=policy.UNPUBLISH
        )
        self._expect_ok(answer, "POST marketplace/unpublish")

    def _expect_ok(self, answer: Envelope, call: str) -> None:
        # These two calls use other spellings of the status than the rest of the protocol.
        status = (answer.status or "").upper()
        if status == "OK":
            return
        if not status:
            raise UnexpectedAnswer(call, "the answer has neither `status` nor `job_id`")
        raise ApiError(call, self._transport.redact(answer.msg or f"status {status}; the environment gave no reason"))
