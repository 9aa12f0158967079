"""Refiner programs and reports of jobs, over all that could be thrown at them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.child import as_json
from pytest_ibmodels.sandbox.services.programs import (
    Evaluation,
    ModelResult,
    ProgramField,
    parse_program,
    write_program,
)
from pytest_ibmodels.sandbox.services.programs import result_of_entities as texts

RESULT: ModelResult = {"Due Date": [["1", 0.5], ["May", 1.0]]}
# A program keeps the model's result under a name of its own, which no field can have beside it.
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: "model_result" not in name)
EXPRESSIONS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["get_field", "echo", "run_model", "INPUT_COL", "__model_result", "(", ")", ",", "'a'", "1", "."]
        )
    ).map("".join),
)


def run_model(name: str | None) -> ModelResult:
    if name == "none":
        message = "no such model"
        raise SandboxError(message)
    return RESULT


@given(NAMES, st.lists(NAMES, max_size=4, unique_by=lambda name: name.replace(" ", "_")))
def test_a_written_program_gives_each_field(model: str, names: list[str]) -> None:
    asked: list[str | None] = []

    def run(name: str | None) -> ModelResult:
        asked.append(name)
        return {name: [["a", 1.0], [name, 0.5]] for name in names}

    phrases = Evaluation(run).phrases(parse_program(write_program(model, names, "docs")))
    assert asked == [model]
    assert [phrase.error_msg for phrase in phrases] == [""] * len(phrases)
    assert [phrase.word for phrase in phrases[2::2]] == [f"a {name}" for name in names]
    assert [phrase.word for phrase in phrases[3::2]] == ["0.75"] * len(names)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=5))
def test_no_expression_breaks_the_evaluation(expressions: list[str]) -> None:
    fields = [ProgramField(f"F{number}", expression) for number, expression in enumerate(expressions)]
    phrases = Evaluation(run_model).phrases(
        [*fields, ProgramField("Last", "get_field(run_model(INPUT_COL), 'Due Date')")]
    )
    assert [phrase.label for phrase in phrases] == [*(field.label for field in fields), "Last"]
    assert (phrases[-1].word, phrases[-1].error_msg) == ("1 May", "")


@pytest.mark.parametrize(
    "expression", ["0x" + "f" * 9000, "-" * 5000 + "1", "(" * 300 + "1" + ")" * 300, "9" * 9999, "\0"]
)
def test_expressions_that_are_too_much(expression: str) -> None:
    (phrase,) = Evaluation(run_model).phrases([ProgramField("F", expression)])
    assert phrase.error_msg
    assert phrase.error_msg.startswith("field 'F': ")


def test_texts_are_slices_in_the_order_of_the_record() -> None:
    entities = [
        {"label": "A", "score": 1, "start_index": 6, "end_index": 8, "content": "ignored"},
        {"label": "O", "score": 1, "start_index": 3, "end_index": 5, "content": ""},
        {"label": "A", "score": 0.5, "start_index": 0, "end_index": 2, "content": ""},
    ]
    assert texts({"ner_result": {"entities": entities}}, "ab cd ef") == {"A": [["ab", 0.5], ["ef", 1.0]]}


@pytest.mark.parametrize("result", [{}, None, [], {"ner_result": {"entities": [{"label": "A"}]}}, {"ner_result": 3}])
def test_a_result_without_entities(result: Any) -> None:
    with pytest.raises(SandboxError, match=r"ner_result\.entities"):
        texts(result, "ab")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_a_job_reports_becomes_strict_json(value: Any) -> None:
    plain = json.loads(json.dumps(as_json(value, "metadata"), allow_nan=False))
    if isinstance(value, float):
        assert plain == (value if math.isfinite(value) else "NAN" if math.isnan(value) else f"{'-' * (value < 0)}INF")


@pytest.mark.parametrize(
    ("value", "named"),
    [({"a": [1, {"b": b""}]}, r"metadata\['a'\]\[1\]\['b'\]"), ({"a": {3: 1}}, r"metadata\['a'\] has the key 3")],
)
def test_what_is_not_json_is_named(value: Any, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        as_json(value, "metadata")
