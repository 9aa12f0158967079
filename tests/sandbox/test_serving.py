"""Trained models behind Refiner programs and the model service: real processes that load the packaged code."""

import base64
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_ibmodels.sandbox.execution.local_executor import LocalExecutor
from pytest_ibmodels.sandbox.services.serving import ModelPool
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath
from tests.sandbox.pushed import document, model_package
from tests.sandbox.running import RunningSandbox, all_gone

PROGRAM = "inference_test_refiner.ibrefiner"
UNLOADED = {"status": "OK", "message": "Model unloading initiated"}


class Exported:
    """A model that was exported, and documents beside it."""

    def __init__(self, sandbox: RunningSandbox, root: str, label: str = "Total Due", name: str | None = None) -> None:
        self.sandbox, self.root, self.name = sandbox, root, name or f"model of {root}"
        sandbox.push(f"{root}/save/saved_model", model_package(label))
        predictions = {"doc": {"Total Due": {"text": ""}, "Name": {"text": ""}}}
        sandbox.write(f"{root}/save/predictions.json", json.dumps(predictions))
        self.answer = self.export()
        sandbox.write(f"{root}/docs/a.ibocr", document("total 12 EUR", "Thanks"))

    def export(self, **changes: Any) -> dict[str, Any]:
        body = {
            "model_path": f"{self.root}/save/saved_model/",
            "dev_input_folder": f"{self.root}/docs/",
            "model_name": self.name,
            "extracted_fields": [],
            "refiner_path": f"{PROGRAM}/",
            "annotator_dir": f"/{self.root}/save/",
        }
        return self.sandbox.api("annotator/export_model", {**body, **changes})

    @property
    def program(self) -> str:
        return self.sandbox.read(f"{self.root}/save/{PROGRAM}").decode()

    def refine(self, *keys: str, program: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        """The phrases of each record, by label."""
        body = {
            "program": program or self.program,
            "program_path": f"{self.root}/save/{PROGRAM}",
            "use_json": True,
            "input_record_keys": [f"{self.root}/docs/{key}" for key in keys],
        }
        status = self.sandbox.wait(self.sandbox.api("refiner-v5/run", body)["job_id"])
        assert status["status"] == "OK", status
        (result,) = status["results"]
        return {
            key.removeprefix(f"{self.root}/docs/"): {phrase["label"]: phrase for phrase in record["refined_phrases"]}
            for key, record in result["results_by_record"].items()
        }

    def write(self, name: str, *lines: str) -> None:
        self.sandbox.write(f"{self.root}/docs/{name}", document(*lines))

    def run(self, name: str = "a.ibocr") -> dict[str, Any]:
        return self.sandbox.api(
            "model-service/run", {"model_name": self.name, "input_path": f"{self.root}/docs/{name}"}
        )


@pytest.fixture
def exported(sandbox: RunningSandbox, root: str) -> Exported:
    return Exported(sandbox, root)


def program_of(**fields: str) -> str:
    return json.dumps(
        {"fields": [{"desc": {"label": label}, "req": {"expression": text}} for label, text in fields.items()]}
    )


def test_the_program_that_is_written(exported: Exported) -> None:
    assert exported.answer == {"status": "OK", "refiner_path": f"{exported.root}/save/{PROGRAM}"}
    program = json.loads(exported.program)
    assert {field["desc"]["label"]: field["req"]["expression"] for field in program["fields"]} == {
        "__PUBLISHED_MODEL_NAME": f"echo({exported.name!r})",
        "__model_result": "run_model(INPUT_COL, __PUBLISHED_MODEL_NAME)",
        "Total_Due": "get_field(__model_result, 'Total Due')",
        "__Total_Due_confidence": "get_confidence(__model_result, 'Total Due')",
        "Name": "get_field(__model_result, 'Name')",
        "__Name_confidence": "get_confidence(__model_result, 'Name')",
    }
    assert program["devInput"] == {"inputPath": f"{exported.root}/docs"}


def test_fields_may_be_named_or_come_from_nested_predictions(exported: Exported) -> None:
    exported.export(extracted_fields=["Only"])
    assert '"label": "Only"' in exported.program
    nested = {"doc": {"is_test_file": True, "entities": {"Nested": {"text": "", "avg_confidence": float("nan")}}}}
    exported.sandbox.write(f"{exported.root}/save/predictions.json", json.dumps(nested))
    exported.export()
    assert '"label": "Nested"' in exported.program


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("saved_model/package.json", "not a model package"),
        ("saved_model/src/py/mymodel/model.py", "model.py', which its classpath"),
        ("predictions.json", "predictions.json' does not exist"),
    ],
)
def test_exports_that_are_refused(exported: Exported, removed: str, said: str) -> None:
    exported.sandbox.drive("DELETE", f"{exported.root}/save/{removed}", {"force": True})
    answer = exported.export()
    assert answer["status"] == "ERROR"
    assert said in answer["msg"]


def test_a_model_is_forgotten_with_its_files(exported: Exported) -> None:
    assert exported.run()["status"] == "OK"
    exported.sandbox.drive("DELETE", exported.root, {"force": True})
    exported.sandbox.write(f"{exported.root}/docs/a.ibocr", document("total 12 EUR"))
    assert "there is no model" in exported.run()["msg"]


def test_a_refiner_run(exported: Exported) -> None:
    ((key, phrases),) = exported.refine("a.ibocr-0").items()
    assert key == "a.ibocr-0"
    assert json.loads(phrases["__model_result"]["word"]) == {"Total Due": [["12", 0.5], ["EUR", 0.5], ["Thanks", 0.5]]}
    assert phrases["__model_result"]["error_msg"] == ""
    assert phrases["Total_Due"]["word"] == "12 EUR Thanks"
    assert phrases["__Total_Due_confidence"]["word"] == "0.5"
    assert phrases["Name"]["word"] == ""
    assert phrases["__Name_confidence"]["word"] == "Error: no confidences obtained"


def test_records_that_cannot_be_refined(exported: Exported) -> None:
    exported.sandbox.write(f"{exported.root}/docs/broken.ibocr", b"no json")
    exported.sandbox.write(f"{exported.root}/docs/object.ibocr", b"{}")
    exported.sandbox.write(
        f"{exported.root}/docs/invalid.ibocr", json.dumps([{"text": "a", "lines": [[{"word": "b"}]]}])
    )
    found = exported.refine(
        "a.ibocr-0", "none.ibocr-0", "a.ibocr-1", "broken.ibocr-0", "object.ibocr-0", "invalid.ibocr-0", "a.ibocr-x"
    )
    errors = {key: phrases["__model_result"]["error_msg"] for key, phrases in found.items()}
    assert errors.pop("a.ibocr-0") == ""
    for key, said in {
        "none.ibocr-0": "does not exist",
        "a.ibocr-1": "has 1 record(s); there is no record 1",
        "broken.ibocr-0": "is not JSON",
        "object.ibocr-0": "is not a JSON list",
        "invalid.ibocr-0": "the word 'b' is missing or out of order",
        "a.ibocr-x": "not of the form PATH-INDEX",
    }.items():
        assert said in errors.pop(key)
        assert found[key]["__model_result"]["word"] == "{}"
        assert "'__model_result' has no value" in found[key]["Total_Due"]["error_msg"]
    assert errors == {}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("get_feld(__model_result, 'X')", "unknown function 'get_feld'"),
        ("get_field(__other, 'X')", "unknown name '__other'"),
        ("get_field(__model_result", "cannot be read"),
        ("get_field(__model_result)", "expected 2 arguments"),
        ("__import__('os').system('true')", "is not supported"),
        ("(1).__class__", "is not supported"),
        ("[x for x in 'ab']", "is not supported"),
        ("echo(" * 2000 + "1" + ")" * 2000, ""),
        ("run_model('other')", "first argument must be INPUT_COL"),
        ("run_model(INPUT_COL, 'none of this name')", "no model 'none of this name'"),
    ],
)
def test_expressions_that_cannot_be_evaluated(exported: Exported, expression: str, said: str) -> None:
    program = program_of(__model_result="run_model(INPUT_COL)", Field=expression, Last="echo(3)")
    phrases = exported.refine("a.ibocr-0", program=program)["a.ibocr-0"]
    assert said in phrases["Field"]["error_msg"]
    assert phrases["Field"]["error_msg"].startswith("field 'Field': ")
    assert phrases["Last"] == {"label": "Last", "word": "3", "error_msg": ""}


def test_the_model_of_a_program_that_names_none_is_that_of_its_folder(exported: Exported) -> None:
    program = program_of(
        __PUBLISHED_MODEL_VERSION="'{{published_model_version}}'",
        __model_result="run_model(INPUT_COL, __PUBLISHED_MODEL_VERSION)",
    )
    phrases = exported.refine("a.ibocr-0", program=program)["a.ibocr-0"]
    assert json.loads(phrases["__model_result"]["word"])["Total Due"][0] == ["12", 0.5]


@pytest.mark.parametrize("program", ["no json", "[]", '{"fields": []}', '{"fields": [{"desc": {}}]}'])
def test_a_text_that_is_no_program(sandbox: RunningSandbox, root: str, program: str) -> None:
    body = {"program": program, "program_path": f"{root}/x", "input_record_keys": [f"{root}/a.ibocr-0"]}
    answer = sandbox.api("refiner-v5/run", body)
    assert answer["status"] == "ERROR"
    assert "Refiner program" in answer["msg"]


def test_a_model_stays_loaded_until_told_otherwise(exported: Exported) -> None:
    first, second = exported.run(), exported.run()
    assert first == second
    assert exported.sandbox.api("model-service/unload_model", {"model_name": exported.name}) == UNLOADED
    assert all_gone([first["pid"]])
    assert exported.run()["pid"] != first["pid"]
    assert exported.sandbox.api("model-service/unload_model", {"model_name": "never loaded"}) == UNLOADED


def test_the_library_is_the_one_packaged_beside_the_model(exported: Exported) -> None:
    assert "/save/saved_model/src/py/ibformers/shared_library/" in exported.run()["library"]


def test_a_model_whose_files_change_is_loaded_again(exported: Exported) -> None:
    before = exported.run()
    exported.sandbox.write(f"{exported.root}/save/saved_model/src/py/mymodel/model_data/label.txt", b"Other")
    after = exported.run()
    assert after["pid"] != before["pid"]
    assert {entity["label"] for entity in after["ner_result"]["entities"]} == {"O", "Other"}


def test_a_model_process_that_dies_is_started_anew(exported: Exported) -> None:
    exported.write("crash.ibocr", "crash")
    phrases = exported.refine("crash.ibocr-0", "a.ibocr-0")
    assert "ended by itself with exit code 5 while it worked" in phrases["crash.ibocr-0"]["__model_result"]["error_msg"]
    assert phrases["a.ibocr-0"]["__model_result"]["error_msg"] == ""
    psutil.Process(exported.run()["pid"]).kill()
    assert {exported.run()["status"], exported.run()["status"]} <= {"OK", "ERROR"}
    assert exported.run()["status"] == "OK"


def test_a_list_goes_to_a_model_that_takes_one_and_a_failure_is_of_one_document(exported: Exported) -> None:
    source = f"{exported.root}/save/saved_model/src/py/mymodel/model.py"
    many = """
    def run_many(self, requests):
        for request in requests:
            answer = self.run(request)
            for entity in answer["ner_result"]["entities"]:
                entity["score"] = 1 / len(requests)
            yield answer

    def cleanup("""
    exported.sandbox.write(source, exported.sandbox.read(source).decode().replace("\n    def cleanup(", many).encode())
    exported.write("raise.ibocr", "raise")
    exported.write("last.ibocr", "Last")
    names = ("a.ibocr-0", "none.ibocr-0", "raise.ibocr-0", "last.ibocr-0")
    found = [phrases["__model_result"] for phrases in exported.refine(*names).values()]
    assert json.loads(found[0]["word"])["Total Due"][0] == ["12", 1 / 3]
    assert "does not exist" in found[1]["error_msg"]
    assert "ValueError: cannot read this" in found[2]["error_msg"]
    assert json.loads(found[3]["word"]) == {"Total Due": [["Last", 1.0]]}


def test_a_model_that_raises_stays_loaded(exported: Exported) -> None:
    before = exported.run()["pid"]
    exported.write("raise.ibocr", "raise")
    answer = exported.run("raise.ibocr")
    assert answer["status"] == "ERROR"
    sentence, frame, code = answer["msg"].splitlines()
    assert sentence.endswith("failed on '" + exported.root + "/docs/raise.ibocr': ValueError: cannot read this")
    assert re.fullmatch(r'  File ".*/src/py/mymodel/model\.py", line \d+, in run', frame)
    assert code == '    raise ValueError("cannot read this")'
    assert exported.run()["pid"] == before


def test_the_last_frames_of_a_failure_in_the_phrase_and_in_the_job(exported: Exported) -> None:
    exported.write("deep.ibocr", "deep")
    told = exported.refine("deep.ibocr-0")["deep.ibocr-0"]["__model_result"]["error_msg"]
    first, second, *frames = told.splitlines()
    assert (first.endswith("LookupError: nothing"), second) == (True, "down here")
    assert len(frames) == 8
    assert frames[-1] == '    raise LookupError("nothing\\ndown here")'
    assert "pytest_ibmodels" not in told
    body = {"model_name": exported.name, "input_path": f"{exported.root}/docs/deep.ibocr"}
    job = exported.sandbox.wait(exported.sandbox.api("model-service/run_async", body)["job_id"])
    assert job["results"][0]["error"].splitlines()[2:] == frames


def test_a_failure_that_names_a_mistake_of_the_user_has_no_frames(exported: Exported) -> None:
    exported.write("mistake.ibocr", "mistake")
    document_path = f"{exported.root}/docs/mistake.ibocr"
    said = f"model {exported.name!r} failed on '{document_path}': The document is no invoice."
    assert exported.run("mistake.ibocr")["msg"] == said


def test_a_model_that_cannot_be_loaded(sandbox: RunningSandbox, root: str) -> None:
    broken = Exported(sandbox, root, label="broken")
    message = broken.refine("a.ibocr-0")["a.ibocr-0"]["__model_result"]["error_msg"]
    assert "could not be loaded" in message
    sentence, frame, code = message.splitlines()
    assert sentence.endswith("RuntimeError: the weights do not fit")
    assert frame.endswith(", in load")
    assert code == '    raise RuntimeError("the weights do not fit")'


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("class IbModel:\n    def load(self) return\n", ["    def load(self) return", "                   ^^^^^^"]),
        ("import a_module_that_nobody_has\n", ["    import a_module_that_nobody_has"]),
        ("class Other: ...\n", []),
    ],
    ids=["no Python", "an import that fails", "no such class"],
)
def test_a_model_whose_code_cannot_be_imported(
    sandbox: RunningSandbox, root: str, source: str, last: list[str]
) -> None:
    broken = Exported(sandbox, root)
    sandbox.write(f"{root}/save/saved_model/src/py/mymodel/model.py", source)
    sentence, *frames = broken.run()["msg"].splitlines()
    assert "could not be loaded" in sentence
    assert len(frames) == (len(last) + 1 if last else 0)
    assert frames[1:] == last
    assert all('/src/py/mymodel/model.py", line ' in frame for frame in frames[:1])


def test_the_model_service_as_a_job_and_with_the_document_in_the_request(exported: Exported) -> None:
    raw = {"type": "ibdoc", "data": base64.b64encode(document("Sum 3").encode()).decode()}
    body = {"model_name": exported.name, "input_path": "acme/x/fs/y/z.ibdoc", "input_raw_data": raw}
    job = exported.sandbox.api("model-service/run_async", body)["job_id"]
    (result,) = exported.sandbox.wait(job)["results"]
    assert [entity["content"] for entity in result["ner_result"]["entities"]] == ["3", "Sum"]
    for change, said in (
        ({"model_name": "none"}, "no model 'none'"),
        ({"input_raw_data": {**raw, "data": "%"}}, "base64"),
    ):
        assert said in exported.sandbox.api("model-service/run", {**body, **change})["msg"]


def test_many_records_and_runs_at_once(exported: Exported) -> None:
    for number in range(6):
        exported.write(f"{number}.ibocr", f"Number {number}")
    keys = [f"{number}.ibocr-0" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _run: exported.refine(*keys), range(6)))
    for found in runs:
        assert [found[key]["Total_Due"]["word"] for key in keys] == [f"Number {number}" for number in range(6)]


@pytest.fixture
def pool(tmp_path: Path) -> Callable[..., ModelPool]:
    pools: list[ModelPool] = []

    def make(**limits: float) -> ModelPool:
        for folder in ("drive", "tmp"):
            (tmp_path / folder).mkdir()
        drive = Drive(tmp_path / "drive", tmp_path / "tmp")
        for name in "abc":
            for file, content in model_package(name).items():
                drive.write(DrivePath.parse(f"o/r/fs/D/{name}/{file}"), content.encode())
        settings = Settings(data=tmp_path, **limits)  # type: ignore[arg-type]
        pools.append(ModelPool(settings, drive, LocalExecutor(settings)))
        return pools[-1]

    return make


def run_in(pool: ModelPool, name: str, text: str = "12") -> int:
    path = DrivePath.parse(f"o/r/fs/D/{name}")
    pid: int = pool.run(name, path, path, {"text": text})["pid"]
    return pid


def test_only_so_many_models_stay_loaded(pool: Callable[..., ModelPool]) -> None:
    few = pool(max_models=2)
    first = run_in(few, "a")
    for name in ("b", "a", "c"):
        run_in(few, name)
    assert few.loaded_names() == ["a", "c"]
    assert run_in(few, "a") == first
    few.close()


def test_an_idle_model_is_unloaded(pool: Callable[..., ModelPool]) -> None:
    short = pool(model_idle=0.4)
    assert all_gone([run_in(short, "a")])
    assert run_in(short, "a") != os.getpid()
    short.close()


def test_a_model_that_takes_too_long(pool: Callable[..., ModelPool]) -> None:
    short = pool(model_time=2.0)
    pid = run_in(short, "a")
    with pytest.raises(Exception, match="did not answer within 2 s and was killed"):
        run_in(short, "a", "sleep")
    assert all_gone([pid])
    short.close()
