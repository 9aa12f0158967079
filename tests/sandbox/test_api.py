"""The whole API against its own description: no 5xx, nothing outside of the drive, nothing without the token."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pytest_ibmodels.sandbox.http.app import ROUTERS, create_app
from pytest_ibmodels.sandbox.http.tokens import ONLY, Tokens
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from tests.sandbox.running import TOKEN, zipped

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SECRET = "what lies outside of the drive"
DRIVE = "a/b/fs/c"
OPERATIONS = [
    f"{method} {route.path_format}"
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
]
# Some are there, some lead out, some are none.
PATHS = st.sampled_from([
    f"{DRIVE}/file", f"/{DRIVE}/file", f"{DRIVE}/folder", f"{DRIVE}/folder/inside", f"{DRIVE}/new", f"{DRIVE}/z.zip",
    f"{DRIVE}/out.zip", DRIVE, "a/b/fs", "a", "", "/", f"{DRIVE}/file/copy", f"{DRIVE}/file/move", f"{DRIVE}/unzip",
    f"{DRIVE}/link", f"{DRIVE}/link/secret", f"{DRIVE}/link/new", f"{DRIVE}/../../../../../secret", "../secret",
    f"{DRIVE}/..%2f..%2f..%2f..%2f..%2fsecret", "OUTSIDE/secret", "//OUTSIDE/secret", f"{DRIVE}/a\\..\\secret",
    f"{DRIVE}/nul\0", "system/global/fs/Instabase Drive/Applications/Marketplace/All", f"{DRIVE}/" + "x" * 300,
    f"{DRIVE}/file-0", f"{DRIVE}/link/secret-0",
])  # fmt: skip
PATH_KEYS = {
    "new_full_path", "new_name", "zip_file", "destination", "script_packages", "input_path", "model_fs_path",
    "model_path", "dev_input_folder", "refiner_path", "annotator_dir", "program_path", "input_record_keys",
    "ibsolution_path", "content_folder", "output_folder",
}  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """The application in this process, in a folder where it has no business but in ``data``."""

    folder: Path
    app: FastAPI
    operations: dict[str, Any]

    async def without_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        """The application as it is called; its start and end concern a process of its own."""
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
        else:
            await self.app(scope, receive, send)

    def outside(self) -> dict[str, str]:
        """All files outside of the data folder, with what they hold."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and "data" not in path.parts]
        return {str(path.relative_to(self.folder)): path.read_text() for path in files}


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    folder = tmp_path_factory.mktemp("surroundings")
    (folder / "secret").write_text(SECRET)
    app = create_app(Settings(folder / "data", max_body=2**20), Tokens({ONLY: TOKEN}))
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    operations = {operation.label: operation for operation in found}
    yield Surroundings(folder, app, operations)
    sandbox = app.state.tenants.get(ONLY)
    # What is under way ends before the folder goes.
    for pool in sandbox.tasks._pools.values():
        pool.shutdown(wait=True)
    sandbox.store.close()
    app.state.tenants._folder.close()


@pytest.fixture
def furnished(surroundings: Surroundings) -> Surroundings:
    """With files to find, a link that a job might have made, and a zip that reaches out."""
    drive = surroundings.app.state.tenants.get(ONLY).drive
    files = {"file": b"[]", "folder/inside": b"x", "z.zip": zipped({"a": "1"}), "out.zip": zipped({"../../secret": ""})}
    for name, content in files.items():
        path = DrivePath.parse(f"{DRIVE}/{name}")
        if (info := drive.info(path)) and info.type == "folder":
            drive.delete(path, force=True)
        drive.write(path, content)
    link = drive.root / DRIVE / "link"
    if not link.is_symlink():
        link.symlink_to(surroundings.folder)
    return surroundings


def test_every_call_is_described(surroundings: Surroundings) -> None:
    assert sorted(surroundings.operations) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_sent(furnished: Surroundings, label: str) -> None:
    operation, before = furnished.operations[label], furnished.outside()
    answered: set[str] = set()

    # Shrinking would take minutes, and what was sent is shown anyway.
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def send(case: Any, data: st.DataObject) -> None:
        paths = PATHS.map(lambda path: path.replace("OUTSIDE", str(furnished.folder)))
        if "path" in case.path_parameters:
            case.path_parameters["path"] = data.draw(paths)
        for key in PATH_KEYS & set(case.body if isinstance(case.body, dict) else ()):
            value = data.draw(st.none() | paths)
            if value is not None:
                case.body[key] = [value] if isinstance(case.body[key], list) else value
        response = case.call(app=furnished.without_lifespan, headers=AUTHORIZED)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code != 401
        assert SECRET.encode() not in response.content
        answered.update(response.headers["content-type"])

    send()
    assert "application/json" in answered
    assert furnished.outside() == before


def test_nothing_without_the_token(furnished: Surroundings) -> None:
    async def ask() -> dict[str, int]:
        transport = httpx.ASGITransport(furnished.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            found = {}
            for label in [*OPERATIONS, "GET /openapi.json", "GET /docs", "GET /", "GET /nothing"]:
                method, path = label.split(" ")
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    answer = await client.request(method, path, headers=headers, content=b"{}")
                    found[f"{label} {headers}"] = answer.status_code
            return found

    answers = asyncio.run(ask())
    assert len(answers) == 2 * (len(OPERATIONS) + 4)
    assert set(answers.values()) == {401}, answers
