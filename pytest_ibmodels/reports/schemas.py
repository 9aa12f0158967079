"""JSON Schema of ``--model-report FILE.json``.

`python -m pytest_ibmodels.reports.schemas [--check] [FOLDER]` writes the schema, or checks that it is current.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.reports.record import ModelReport
from pytest_ibmodels.spec.schemas import PlainSchema, write_or_check

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL_REPORT = "model_report.schema.json"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> JSON Schema (draft 2020-12)."""
    made = ModelReport.model_json_schema(mode="serialization", schema_generator=PlainSchema)
    return {MODEL_REPORT: {"$schema": PlainSchema.schema_dialect, "title": "A model report", **made}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schema into a folder; with `--check`, return 1 if the schema in the folder is outdated."""
    return write_or_check(
        schemas(), "pytest_ibmodels.reports.schemas", "JSON Schema of a model report in JSON.", arguments
    )


if __name__ == "__main__":
    sys.exit(main())
