"""What publishing uploads stands in the journal before it is there, and until it is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.engine import publishing
from pytest_ibmodels.engine.publishing import State
from pytest_ibmodels.engine.sweep import SweepStatus, sweep
from pytest_ibmodels.journal.store import Journal
from tests.publishing.gateway import Call, Gateway, Reply

if TYPE_CHECKING:
    from pytest_ibmodels.journal.store import Entry
    from tests.publishing.conftest import Shop

LOCKED = Reply(200, '{"status": "ERROR", "msg": "locked"}')


@pytest.mark.usefixtures("uploads")
def test_an_uploaded_file_that_could_not_be_removed_is_swept(shop: Shop, gateway: Gateway) -> None:
    file = shop.folder / "cache" / "ibmodels" / "journal.sqlite"
    seen: list[list[Entry]] = []
    locked = [LOCKED]

    def meddle(call: Call) -> Reply | None:
        if call.what.startswith("POST drives/"):
            reader = Journal(file)
            seen.append(reader.in_use())  # when the file is on its way to the environment
            reader.close()
        return locked.pop() if call.what.startswith("DELETE") and locked else None

    gateway.meddle = meddle
    target = shop.environment(gateway.url)
    journal = Journal(file)
    outcome = asyncio.run(publishing.publish(target, shop.package(), journal=journal))
    journal.close()
    assert outcome.state is State.PUBLISHED
    later = Journal(file)
    (left,) = later.left()
    assert seen == [[left]]
    assert outcome.notes[0].startswith(f"left behind: {left.name} could not be removed")
    (swept,) = asyncio.run(sweep(target, [left], later))
    assert (swept.status, swept.entry.kind) == (SweepStatus.REMOVED, "file")
    assert later.left() == []
    later.close()
