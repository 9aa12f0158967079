"""Generate the JSON Schemas of both YAML files, for editors.

`python -m pytest_ibmodels.spec.schemas [--check] [FOLDER]` writes the schemas, or lists those that are not current.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from pytest_ibmodels.spec.entries import ModelTestEntry
from pytest_ibmodels.spec.environment_entries import EnvironmentEntry
from pytest_ibmodels.spec.environment_rules import SANDBOX
from pytest_ibmodels.spec.values import ENTRY_PATTERN, HIDDEN_PATTERN, SCRIPT_KEYS, TABLE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode
    from pydantic_core.core_schema import CoreSchema, ModelSchema, NullableSchema, WithDefaultSchema

MODEL_TESTS = "model_tests.schema.json"
ENVIRONMENTS = "environments.schema.json"


class PlainSchema(GenerateJsonSchema):
    """Schema without noise for an editor: no titles that repeat keys, no null for keys that are not given."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic's signature
        return False

    def default_schema(self, schema: WithDefaultSchema) -> dict[str, Any]:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made

    def model_schema(self, schema: ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        made.pop("title", None)
        return made


class EntrySchema(PlainSchema):
    """Schema of an entry: no key may be null, and each description is one line."""

    def nullable_schema(self, schema: NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> dict[str, Any]:
        return {key: _joined(key, value) for key, value in super().generate(schema, mode).items()}


def _joined(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _joined(name, item) for name, item in value.items()}
    return " ".join(value.split()) if key == "description" and isinstance(value, str) else value


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> JSON Schema (draft 2020-12)."""
    model_tests = _schema(
        ModelTestEntry,
        "model_tests.yaml",
        "Trainings that must keep working, and how good they must be: name -> model test.",
    )
    model_test = model_tests["$defs"][ModelTestEntry.__name__]
    model_test["if"] = {"required": ["table"]}
    model_test["then"] = {
        "required": ["columns"],
        "properties": {"ibannotator": False, "function": False, "data": False},
        "dependentSchemas": {"split_column": {"properties": {"group_column": False, "p_of_train": False}}},
    }
    script_only = {"ibannotator": False, **{key: False for key in TABLE_KEYS if key not in SCRIPT_KEYS}}
    model_test["else"] = {
        "if": {"required": ["function"]},
        "then": {"properties": script_only},
        "else": {"required": ["ibannotator"], "properties": dict.fromkeys((*TABLE_KEYS, *SCRIPT_KEYS), False)},
    }
    environments = _schema(EnvironmentEntry, "environments.yaml", "Where model tests run: name -> environment.")
    entry = environments["$defs"][EnvironmentEntry.__name__]
    # A host with a variable may be remote or embedded.
    entry["if"] = {"properties": {"host": {"pattern": "^https?://"}}, "required": ["host"]}
    entry["then"] = {"required": ["path", "token"], "properties": {"mounts": False, "data": False}}
    entry["properties"]["host"]["pattern"] = rf"^(https?://|{SANDBOX}$|.*\$\{{)"
    return {MODEL_TESTS: model_tests, ENVIRONMENTS: environments}


def _schema(model: type[BaseModel], title: str, description: str) -> dict[str, Any]:
    entry = model.model_json_schema(schema_generator=EntrySchema)
    definitions = entry.pop("$defs", {})
    definitions[model.__name__] = entry
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": title,
        "description": description,
        "type": "object",
        "patternProperties": {
            ENTRY_PATTERN: {"$ref": f"#/$defs/{model.__name__}"},
            HIDDEN_PATTERN: {"description": "Not an entry; holds an anchor."},
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schemas into a folder; with `--check` list those that are not current and return 1."""
    return write_or_check(schemas(), "pytest_ibmodels.spec.schemas", "JSON Schemas of the YAML files.", arguments)


def write_or_check(
    made: Mapping[str, Mapping[str, Any]], module: str, description: str, arguments: Sequence[str] | None
) -> int:
    """Command line of the module `module`, which generates the schemas `made`, by file name."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("schemas"), help="folder of the files (default: schemas)"
    )
    options = parser.parse_args(arguments)
    stale = []
    for name, schema in made.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        file = options.folder / name
        if not options.check:
            options.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file)
    for file in stale:
        sys.stderr.write(f"{file} is not current: run python -m {module} {options.folder}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
