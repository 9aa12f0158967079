"""Refiner programs: write, parse and evaluate them (Instabase protocol, "Refiner").

An expression is a call of a known function, a literal, or the name of an earlier field. Nothing else is evaluated.
"""

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ibmodels.instabase.wire import MODEL_RESULT_LABEL, RefinedPhrase
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.jsontext import loads

MODEL_NAME_LABEL = "__PUBLISHED_MODEL_NAME"
MODEL_VERSION_LABEL = "__PUBLISHED_MODEL_VERSION"
INPUT_NAME = "INPUT_COL"
NO_CONFIDENCES = "Error: no confidences obtained"
_MAX_EXPRESSION = 10_000

ModelResult = dict[str, list[list[Any]]]
"""``{FIELD: [[text, score], ...]}``, the JSON of the phrase ``__model_result``."""


@dataclass(frozen=True)
class ProgramField:
    label: str
    expression: str


def write_program(model_name: str, fields: Sequence[str], input_folder: str) -> str:
    """Write a program that runs ``model_name`` and returns ``fields`` of its result, with confidences."""
    expressions = [
        (MODEL_NAME_LABEL, f"echo({model_name!r})"),
        (MODEL_RESULT_LABEL, f"run_model({INPUT_NAME}, {MODEL_NAME_LABEL})"),
    ]
    for name in fields:
        label = name.replace(" ", "_")
        expressions.append((label, f"get_field({MODEL_RESULT_LABEL}, {name!r})"))
        expressions.append((f"__{label}_confidence", f"get_confidence({MODEL_RESULT_LABEL}, {name!r})"))
    program = {
        "fields": [
            {"desc": {"label": label}, "req": {"expression": expression, "type": "REFINER_FUNC"}}
            for label, expression in expressions
        ],
        "options": {"provenanceTracking": True, "scriptsPath": "scripts"},
        "devInput": {"inputPath": input_folder},
    }
    return json.dumps(program, indent=2, ensure_ascii=False) + "\n"


def parse_program(text: str) -> list[ProgramField]:
    """Parse the fields of a program, in order.

    Raises:
        SandboxError: The text is not a program.
    """
    try:
        program = loads(text)
    except ValueError as error:
        msg = f"the Refiner program is not JSON: {error}"
        raise SandboxError(msg) from None
    fields = program.get("fields") if isinstance(program, dict) else None
    if not isinstance(fields, list) or not fields:
        msg = "the Refiner program has no 'fields'; expected a list with at least one field"
        raise SandboxError(msg)
    return [_parse_field(number, field) for number, field in enumerate(fields)]


def _parse_field(number: int, field: Any) -> ProgramField:
    description, request = (field.get("desc"), field.get("req")) if isinstance(field, dict) else (None, None)
    label = description.get("label") if isinstance(description, dict) else None
    expression = request.get("expression") if isinstance(request, dict) else None
    if not isinstance(label, str) or not isinstance(expression, str):
        msg = f"field {number} of the Refiner program has no 'desc.label' and 'req.expression', both text"
        raise SandboxError(msg)
    return ProgramField(label, expression)


def result_of_entities(result: Any, text: str) -> ModelResult:
    """Texts and scores of each field in a model's ``ner_result``; the texts are slices of the record's ``text``.

    Raises:
        SandboxError: The result has no valid entities.
    """
    try:
        entities = sorted(result["ner_result"]["entities"], key=lambda entity: int(entity["start_index"]))
        found: ModelResult = {}
        for entity in entities:
            if entity["label"] != "O":
                piece = text[int(entity["start_index"]) : int(entity["end_index"])]
                found.setdefault(str(entity["label"]), []).append([piece, float(entity["score"])])
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            "the model's result has no 'ner_result.entities' with label, score, start_index and end_index "
            f"({type(error).__name__}: {error})"
        )
        raise SandboxError(msg) from None
    return found


class Evaluation:
    """Evaluation of a program on one record.

    ``run_model`` gets a model name, or None if the program names no model.
    """

    def __init__(self, run_model: Callable[[str | None], ModelResult]) -> None:
        self._run_model = run_model
        self._values: dict[str, Any] = {}
        self._failed: set[str] = set()

    def phrases(self, fields: Sequence[ProgramField]) -> list[RefinedPhrase]:
        """Evaluate each field to a phrase; a phrase has ``error_msg`` if its expression cannot be evaluated."""
        return [self._phrase(field) for field in fields]

    def _phrase(self, field: ProgramField) -> RefinedPhrase:
        is_result = field.label == MODEL_RESULT_LABEL
        try:
            value = self._evaluate(_parse(field.expression))
            word = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
        except (SandboxError, RecursionError, ValueError) as error:
            # ValueError: a number has more digits than Python converts to text.
            self._failed.add(field.label)
            reason = "the expression is too deep" if isinstance(error, RecursionError) else error
            return RefinedPhrase(
                label=field.label, word="{}" if is_result else "", error_msg=f"field '{field.label}': {reason}"
            )
        self._values[field.label] = value
        return RefinedPhrase(label=field.label, word=word, error_msg="")

    def _evaluate(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return node.value
        if isinstance(node, ast.Name):
            return self._lookup(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        msg = f"{ast.unparse(node)[:200]!r} is not supported; expected a call, a text, a number or an earlier field"
        raise SandboxError(msg)

    def _lookup(self, name: str) -> Any:
        if name == INPUT_NAME:
            return INPUT_NAME
        if name in self._values:
            return self._values[name]
        if name in self._failed:
            msg = f"'{name}' has no value, see its own error"
            raise SandboxError(msg)
        known = ", ".join([INPUT_NAME, *self._values])
        msg = f"unknown name '{name}'; known names: {known}"
        raise SandboxError(msg)

    def _call(self, name: str, arguments: list[ast.expr]) -> Any:
        functions: dict[str, Callable[[list[ast.expr]], Any]] = {
            "run_model": self._call_run_model,
            "get_field": self._call_get_field,
            "get_confidence": self._call_get_confidence,
            "echo": self._call_echo,
        }
        if name not in functions:
            msg = f"unknown function '{name}'; functions: {', '.join(functions)}"
            raise SandboxError(msg)
        return functions[name](arguments)

    def _call_run_model(self, arguments: list[ast.expr]) -> ModelResult:
        if not arguments or self._evaluate(arguments[0]) != INPUT_NAME:
            msg = f"run_model: its first argument must be {INPUT_NAME}"
            raise SandboxError(msg)
        # The platform's programs pass the version alone, or the name before it.
        named = [item for item in arguments[1:] if not (isinstance(item, ast.Name) and item.id == MODEL_VERSION_LABEL)]
        name = self._evaluate(named[0]) if named else self._values.get(MODEL_NAME_LABEL)
        if name is not None and not isinstance(name, str):
            msg = f"run_model: {name!r} is not a model name"
            raise SandboxError(msg)
        return self._run_model(name)

    def _call_get_field(self, arguments: list[ast.expr]) -> str:
        return " ".join(str(text) for text, _score in self._entries("get_field", arguments))

    def _call_get_confidence(self, arguments: list[ast.expr]) -> float | str:
        scores = [float(score) for _text, score in self._entries("get_confidence", arguments)]
        return sum(scores) / len(scores) if scores else NO_CONFIDENCES

    def _call_echo(self, arguments: list[ast.expr]) -> Any:
        if len(arguments) != 1:
            msg = f"echo: expected 1 argument, got {len(arguments)}"
            raise SandboxError(msg)
        return self._evaluate(arguments[0])

    def _entries(self, function: str, arguments: list[ast.expr]) -> list[list[Any]]:
        if len(arguments) != 2:
            msg = f"{function}: expected 2 arguments, a model's result and a field's name, got {len(arguments)}"
            raise SandboxError(msg)
        result, name = (self._evaluate(argument) for argument in arguments)
        if not isinstance(result, dict) or not isinstance(name, str):
            msg = f"{function}: expected a model's result and a field's name"
            raise SandboxError(msg)
        entries: list[list[Any]] = result.get(name, [])
        return entries


def models_of(fields: Sequence[ProgramField]) -> list[str | None]:
    """Return the names of the models that a program runs on a record, each once; None for the model of its folder."""
    names: dict[str | None, ModelResult] = {}
    Evaluation(lambda name: names.setdefault(name, {})).phrases(fields)
    return list(names)


def _parse(expression: str) -> ast.expr:
    if len(expression) > _MAX_EXPRESSION:
        msg = f"the expression is longer than {_MAX_EXPRESSION} characters"
        raise SandboxError(msg)
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        msg = f"the expression {expression[:200]!r} cannot be read: {error}"
        raise SandboxError(msg) from None
