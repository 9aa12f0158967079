"""Links between the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(document: Path) -> str:
    return FENCED.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """The anchors that the headings get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(document: Path) -> list[str]:
    found = []
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    assert dead(document) == []


def test_dead_links_are_seen(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# The `one` thing\n[a](a.md#the-one-thing) [b](#the-one-thing) [c](b.md) [d](#two) [e](https://x.org/y)\n"
        "```\n[f](in-code.md)\n```\n",
        encoding="utf-8",
    )
    assert dead(document) == ["b.md", "#two"]


def test_every_document_is_linked_from_the_readme() -> None:
    links = {*LINK.findall(prose(ROOT / "README.md")), "README.md"}
    assert [document.name for document in DOCUMENTS if str(document.relative_to(ROOT)) not in links] == []
