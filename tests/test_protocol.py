"""`docs/protocol.md` describes the calls that client and sandbox have, in forms that both accept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from pytest_ibmodels.instabase.policy import POLICIES
from pytest_ibmodels.instabase.wire import (
    ExportRequest,
    Listing,
    LogEntry,
    RefinerResult,
    TrainingStatus,
    TrainRequest,
)
from pytest_ibmodels.sandbox.http.app import ROUTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLES: Mapping[str, tuple[Any, ...]] = {
    "Drives": (Listing,),
    "Jobs": (list[LogEntry],),
    "Training jobs": (TrainRequest, TrainingStatus),
    "Refiner": (ExportRequest, RefinerResult),
}
"""The models that the JSON blocks of a section fit, in their order."""
CITED = re.compile(r'Instabase protocol, ((?:"[^"]+"(?:, | and )?)+)')


def test_every_call_of_the_client_is_described() -> None:
    calls = [policy.call.removesuffix("/JOB") for policy in POLICIES]
    assert [call for call in calls if call not in SECTIONS["Calls"]] == []


def test_every_call_of_the_sandbox_is_described() -> None:
    paths = [route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    calls = [path.removeprefix("/api/v1/").partition("{")[0] for path in paths]
    assert len(calls) > 20
    assert [call for call in calls if call not in SECTIONS["Calls"]] == []


@pytest.mark.parametrize("section", EXAMPLES)
def test_examples_fit_the_wire_models(section: str) -> None:
    blocks = re.findall(r"^```json\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    for block, model in zip(blocks, EXAMPLES[section], strict=True):
        TypeAdapter(model).validate_python(json.loads(block), strict=True)


def test_comments_cite_sections_that_are_there() -> None:
    files = [file for room in ("pytest_ibmodels", "ibformers") for file in (ROOT / room).rglob("*.py")]
    cited = [
        (file.name, title)
        for file in files
        for names in CITED.findall(" ".join(file.read_text(encoding="utf-8").split()))
        for title in re.findall(r'"([^"]+)"', names)
    ]
    titles = {title.lower() for title in SECTIONS}
    assert [citation for citation in cited if citation[1].lower() not in titles] == []
