"""Every block of code in the documents runs as it stands, pasted into a folder that has what its page assumes.

`pip install` does nothing here, port 8000 and `/srv` are replaced; nothing else is. No block needs a network.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_ibmodels.packaging import build_package
from pytest_ibmodels.spec import load, load_environments
from tests.docs_blocks import CLONE, PAGES, PLACES, SHELLS, Bench, Block, blocks_of, is_code, serve
from tests.plugin.conftest import PROJECT, write_annotator_project
from tests.sandbox.running import RunningSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """Where a block runs, and what it prints then."""

    place: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Elsewhere:
    """A block that another file runs, or that cannot run here, and why."""

    reason: str
    file: str = ""


EXTENDING = Elsewhere("it is part of a conftest.py whose model tests run there", "tests/plugin/test_extending.py")
TRAINER = Elsewhere("it is part of a project that runs there", "tests/plugin/test_scripts.py")
CLUSTER = Elsewhere("it takes several machines; tests/cluster starts these commands with loopback addresses of one")
INIT = Elsewhere("it runs there, with the wheel in a new environment", "tests/test_distribution.py")
INSTALLS = Elsewhere("it installs everything and runs all tests: there, taken from the page", ".ci/run")
REPORTS = ("2 passed", "published")

TABLE: Mapping[str, Row | Elsewhere] = {
    "README.md: pytest-ibmodels": Elsewhere("it is compared with the page that runs", "tests/test_docs_blocks.py"),
    "README.md: See it work": INSTALLS,
    "README.md: See it work (2)": INSTALLS,
    "README.md: Use it": INIT,
    "README.md: Publish": Row(
        "clone beside a sandbox", ("would be published", "  published\n", "unpublished", "reachable")
    ),
    "README.md: In CI": Row("project", REPORTS),
    "README.md: The sandbox on its own": Row("server"),
    "ci.md: Other CI servers": Row("project", REPORTS),
    "documents.md: Convert documents of other tools": Elsewhere(
        "it needs scans, which that file makes", "tests/documents/test_documents_page.py"
    ),
    "extending.md: Add a check": EXTENDING,
    "extending.md: Follow the runs": EXTENDING,
    "extending.md: Push something else": EXTENDING,
    "extending.md: Skipping an environment by a condition": EXTENDING,
    "history.md: Keep a history": Row("project", ("2 passed", "change  minimum\n  Receipts ")),
    "history.md: Look at it": Row("project", ("  Receipts    dogfood      f1      Name      1  ",)),
    "history.md: Move runs between machines": Row(
        "project", ("exported 1 run\n", "imported 0 runs; 1 known already\n")
    ),
    "iris.md: Start it": Elsewhere("it builds an image with Docker, from images of the network"),
    "iris.md: Settings": Elsewhere("it runs in the container with IRIS, and asks the model hub"),
    "iris.md: Without Docker": Elsewhere("it needs an IRIS"),
    "mlflow.md: Send runs": Elsewhere("it needs a tracking server", "tests/history/test_mlflow.py"),
    "publishing.md: Publishing": Row("clone beside a sandbox", ("  published\n", "  already there\n")),
    "sandbox.md: A sandbox for a team": Row("server"),
    "sandbox.md: Several machines": CLUSTER,
    "scale.md: The database": Elsewhere("it makes a user and a database on a machine that has PostgreSQL"),
    "tuning.md: In five minutes": Row("clone", ("50 rows", '"previous"', '"score"')),
    "tuning.md: In five minutes (2)": Row("clone"),
    "tuning.md: Over HTTP": Row("published", ("'evaluation_intervals'", "is now version", "'score'")),
    "your-own-trainer.md: Twenty lines": TRAINER,
    "your-own-trainer.md: Twenty lines (2)": TRAINER,
    "your-own-trainer.md: Twenty lines (3)": TRAINER,
    "your-own-trainer.md: Test it without an environment": TRAINER,
    "yaml.md: Editors": Row("project"),
}
"""Name of the block -> where it runs. Blocks of a page with the same place run one after the other in one folder."""

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
CODE = {block.name: block for block in BLOCKS if is_code(block.language)}
TOGETHER = list(
    dict.fromkeys((name.partition(":")[0], row.place) for name, row in TABLE.items() if isinstance(row, Row))
)


def missing_rows(blocks: list[Block]) -> list[str]:
    return [
        f"{block.name}: no row of TABLE in tests/test_docs_blocks.py says where this {block.language} block runs: "
        "add one with a place of tests/docs_blocks.py, or with the reason why it cannot run in a test"
        for block in blocks
        if is_code(block.language) and block.name not in TABLE
    ]


def token_of(page: str) -> str:
    return f"token-of-{page}"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """A sandbox in which each page has a token, and so a root, of its own."""
    folder = tmp_path_factory.mktemp("docs")
    write_annotator_project(folder / "project")
    tokens = "".join(f"{name} {token_of(name)}\n" for name in [*(page.name for page in PAGES), "mistakes"])
    mount = f"{PROJECT.rpartition('/')[0]}={folder / 'project'}"
    running = RunningSandbox(folder / "data", "--mount", mount, tokens=tokens, preload=True)
    yield running
    running.close()


@pytest.fixture
def bench(sandbox: RunningSandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    page, place = request.param
    prepared = Bench(tmp_path / "here", sandbox.announced["url"], token_of(page))
    prepared.install_pip_shim()
    PLACES[place](prepared)
    return prepared


@pytest.mark.parametrize(("bench", "page", "place"), [(both, *both) for both in TOGETHER], indirect=["bench"])
def test_blocks_run_as_they_stand(bench: Bench, page: str, place: str) -> None:
    for name, row in TABLE.items():
        if not isinstance(row, Row) or (name.partition(":")[0], row.place) != (page, place):
            continue
        if place == "server":
            serve(CODE[name], bench)
            continue
        done = bench.run(CODE[name])
        assert done.returncode == 0, f"{name}: exit code {done.returncode}\n{done.stdout}"
        assert [text for text in row.shows if text not in done.stdout] == [], f"{name}\n{done.stdout}"


@pytest.mark.parametrize("bench", [("mistakes", "published")], indirect=True)
def test_a_training_that_fails_over_http_stops_with_its_message(bench: Bench) -> None:
    block = CODE["tuning.md: Over HTTP"]
    wrong = replace(block, text=block.text.replace('"table": "Review"', '"table": "Revue"'))
    assert wrong != block
    done = bench.run(wrong)
    assert done.returncode == 1
    assert done.stdout.startswith("Train request: table:")
    assert done.stdout.count("\n") == 1
    done = bench.run(replace(block, text=block.text.replace("sample:reviews", "sample:cats")))
    assert done.returncode == 1
    assert "sample databases: reviews" in done.stdout


def test_the_trainer_of_the_readme_is_the_one_that_runs() -> None:
    readme = [block for block in BLOCKS if block.page == "README.md"][:2]
    page = [block for block in BLOCKS if block.name.startswith("your-own-trainer.md: Twenty lines")]
    assert [(block.language, block.text) for block in readme] == [(block.language, block.text) for block in page[:2]]
    assert readme[0].text.count("\n") <= 25


def test_every_block_of_code_has_a_row() -> None:
    assert missing_rows(BLOCKS) == []
    assert [name for name in TABLE if name not in CODE] == [], "no document has these blocks any more"


def test_a_block_without_a_row_is_told(tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    page.write_text("# New\n```text\n# Out\n```\n## Next `one`\n- a\n  ```sh\n  # Run\n  x\n  ```\n~~~python\ny\n~~~\n")
    found = blocks_of(page)
    assert [(block.name, block.text) for block in found if is_code(block.language)] == [
        ("new.md: Next one", "# Run\nx\n"),
        ("new.md: Next one (2)", "y\n"),
    ]
    first, second = missing_rows(found)
    assert first.startswith("new.md: Next one: no row of TABLE in tests/test_docs_blocks.py says where this sh block")
    assert "this python block" in second


def test_what_runs_elsewhere_is_there_or_is_shell_at_least() -> None:
    for name, row in TABLE.items():
        if not isinstance(row, Elsewhere):
            continue
        block = CODE[name]
        if block.language in SHELLS:
            subprocess.run(["/bin/bash", "-n"], input=block.text, text=True, check=True)
        if row.file:
            assert block.page in (CLONE / row.file).read_text(encoding="utf-8")
        if row is INSTALLS:  # the pattern that .ci/run looks for
            assert re.fullmatch(r"pip install -c constraints.txt .* && pytest.*\n", block.text)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=lambda block: block.name)
def test_json_blocks_are_valid(block: Block) -> None:
    assert json.loads(block.text)


def test_the_package_of_the_readme_is_one(tmp_path: Path) -> None:
    (text,) = [block.text for block in BLOCKS if block.page == "README.md" and block.language == "json"]
    (tmp_path / "ibformers").mkdir()
    (tmp_path / "ibformers" / "package.json").write_text(text)
    (tmp_path / "ibformers" / "endpoints.py").write_text("")
    assert build_package(tmp_path / "ibformers").name == "ibformers"


YAML_PAGES = {block.page for block in BLOCKS if block.language == "yaml"} - {"yaml.md"}
"""Those of yaml.md are loaded by tests/spec/test_yaml_reference.py."""


@pytest.mark.parametrize("page", sorted(YAML_PAGES))
def test_yaml_blocks_are_right(page: str, tmp_path: Path) -> None:
    workflow = (CLONE / ".github" / "workflows" / "model-tests.yml").read_text(encoding="utf-8")
    blocks = [block for block in BLOCKS if block.page == page and block.language == "yaml"]
    files = {"model_tests": tmp_path / "model_tests.yaml", "environments": tmp_path / "environments.yaml"}
    kinds = [next((kind for kind in files if kind in block.text.partition("\n")[0]), "") for block in blocks]
    for block, kind in zip(blocks, kinds, strict=True):
        assert yaml.safe_load(block.text), block.name
        first = block.text.splitlines()[0]
        assert kind or first in workflow or first == "# compose.yaml", (
            f"{block.name}: begin this YAML block with a line that names its file, # model_tests.yaml, # compose.yaml "
            "or # environments.yaml, or, for part of .github/workflows/model-tests.yml, with a line of it"
        )
    for block, kind in zip(blocks, kinds, strict=True):  # first, as model tests name what is in it
        if kind == "environments":
            files[kind].write_text(block.text)
            assert load_environments(files[kind]).environments
    for block, kind in zip(blocks, kinds, strict=True):
        if kind == "model_tests":
            files[kind].write_text(block.text)
            assert load(files[kind], files["environments"])[0].tests
