"""Annotator projects without the app: converted from OCR and labels, and checked."""

from pytest_ibmodels.documents.check_result import ProjectCheck
from pytest_ibmodels.documents.checking import check_project, find_projects
from pytest_ibmodels.documents.conversion import Conversion, Settings, convert
from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.sources import FORMATS

__all__ = [
    "FORMATS",
    "Conversion",
    "DocumentsError",
    "ProjectCheck",
    "Settings",
    "check_project",
    "convert",
    "find_projects",
]
