"""Commands below `ibmodels documents`: projects of documents, converted and checked."""

import codecs
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
import typer

from pytest_ibmodels.cli.exits import end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.documents import Conversion, ProjectCheck, Settings

SHOWN = 20
"""Maximum number of missing values that are shown."""

documents_app = typer.Typer(
    help="Convert OCR and labels to projects of documents, and check such projects.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """Formats of sources; a test holds them to those of the reader."""

    AUTO = "auto"
    HOCR = "hocr"
    ALTO = "alto"
    TSV = "tsv"
    SROIE = "sroie"
    FUNSD = "funsd"
    CORD = "cord"
    LABEL_STUDIO = "label-studio"


@documents_app.command("convert")
def convert_documents(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of OCR files, or an export (*.json).")],
    project: Annotated[Path, typer.Argument(metavar="PROJECT.ibannotator", help="Project to write.")],
    kind: Annotated[Format, typer.Option("--format", help="Format of the source.")] = Format.AUTO,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="CSV or JSON file with document, field and text of each value."),
    ] = None,
    test: Annotated[
        float,
        typer.Option("--test", metavar="FRACTION", min=0, max=1, help="Fraction of the documents that test."),
    ] = 0.25,
    test_files: Annotated[
        Path | None,
        typer.Option("--test-files", metavar="FILE", help="List of the test documents, one a line, instead."),
    ] = None,
    similarity: Annotated[
        float,
        typer.Option("--similarity", metavar="FRACTION", min=0.5, max=1, help="Similarity at which a text is found."),
    ] = 1.0,
    encoding: Annotated[str, typer.Option("--encoding", metavar="NAME", help="Encoding of text files.")] = "utf-8",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a project of this name.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing if a text is not found.")] = False,
) -> None:
    """Convert documents of other tools to an Annotator project."""
    from pytest_ibmodels.documents import Settings

    def run() -> int:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise pytest.UsageError(f"--encoding {encoding}: Python knows no encoding of this name") from None
        chosen = None if kind is Format.AUTO else kind.value
        settings = Settings(chosen, labels, test, test_files, similarity, encoding, replace, strict)
        return _convert(source, project, settings)

    end(run)


@documents_app.command("check")
def check_documents(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PROJECT]...", help="Projects, or folders to search for them; by default this one."),
    ] = None,
) -> None:
    """Check Annotator projects: counts by field, leaks, duplicates, words that are not there, boxes.

    The exit code is 1 if something must be mended.
    """
    end(lambda: _check(paths or [Path()]))


def _convert(source: Path, project: Path, settings: "Settings") -> int:
    from pytest_ibmodels.cli.output import tell, write_lines
    from pytest_ibmodels.documents import DocumentsError, convert

    try:
        result = convert(source, project, settings)
    except DocumentsError as error:
        tell(str(error))
        return pytest.ExitCode.TESTS_FAILED
    for sentence in (*_cut(result.missing), *_cut(result.remarks)):
        tell(sentence)
    if not result.is_written:
        missing = "1 text that was" if len(result.missing) == 1 else f"{len(result.missing)} texts that were"
        tell(f"{project}: nothing is written, because of {missing} not found (--strict)")
        return pytest.ExitCode.TESTS_FAILED
    write_lines(_conversion_lines(project, result))
    return pytest.ExitCode.OK


def _conversion_lines(project: Path, result: "Conversion") -> list[str]:
    lines = [
        f"{project}: {_documents(result)} ({result.format}); fields: {', '.join(result.fields)}",
        f"{_count(result.found, 'value')} found, {len(result.missing)} not found",
    ]
    if result.repeated:
        lines.append(
            f"{_count(result.repeated, 'text')} found at several places: the one beside the field's name was taken, "
            "or else the first"
        )
    return [*lines, f"next: ibmodels documents check {project}"]


def _check(paths: "Sequence[Path]") -> int:
    from pytest_ibmodels.cli.output import tell, write_lines
    from pytest_ibmodels.documents import DocumentsError, check_project, find_projects

    is_right = True
    try:
        projects = [project for path in paths for project in find_projects(path)]
    except DocumentsError as error:
        raise pytest.UsageError(str(error)) from None
    for project in projects:
        try:
            result = check_project(project)
        except DocumentsError as error:
            tell(str(error))
            is_right = False
            continue
        write_lines(_check_lines(project, result))
        is_right = is_right and not result.errors
    return pytest.ExitCode.OK if is_right else pytest.ExitCode.TESTS_FAILED


def _check_lines(project: Path, result: "ProjectCheck") -> list[str]:
    from pytest_ibmodels.reports.tables import table

    rows = [
        (name, str(count.training), str(count.test), str(count.training_words), str(count.test_words))
        for name, count in result.fields.items()
    ]
    header = ("field", "training", "test", "training words", "test words")
    warnings = len(result.problems) - result.errors
    return [
        f"{project}: {_documents(result)}",
        *table(header, rows, right=frozenset(range(1, 5))),
        *result.lines(),
        f"{project}: {_count(result.errors, 'error')} to mend, {_count(warnings, 'warning')}",
    ]


def _documents(counts: "Conversion | ProjectCheck") -> str:
    training, test = _count(counts.training, "training document"), _count(counts.test, "test document")
    return f"{training}, {test}, {counts.unannotated} not annotated"


def _cut(sentences: "Sequence[str]") -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
