"""Which cases are started, when, and with what: fixtures of their own node, marks, hooks of the project, reruns."""

from __future__ import annotations

import importlib.util
import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.plugin.conftest import PROJECT, TINY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project, Server

STARTED = """
def pytest_ibmodels_run_started(run):
    print("STARTED", run.test.name)
"""
PACKAGE = """
import pytest
from pytest_ibmodels.packaging import build_package

@pytest.fixture(scope="{scope}")
def package(pytestconfig):
    return build_package(pytestconfig.rootpath / "candidate")
"""


def write_entry(folder: Path, name: str, **more: object) -> None:
    folder.mkdir(exist_ok=True)
    entry = {"env": "dogfood", "ibannotator": PROJECT, "time_limit": 60, "metrics": {"f1": {"Name": 0.9}}, **more}
    file = folder / "model_tests.yaml"
    entries = yaml.safe_load(file.read_text()) if file.exists() else {}
    file.write_text(yaml.safe_dump({**entries, name: entry}, sort_keys=False))


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Node id → outcome, of `-v` or `-rA`."""
    words = {"PASSED", "FAILED", "SKIPPED", "XFAIL", "ERROR"}
    pairs = [pair for line in result.outlines for pair in pairwise(line.split())]
    return {nodeid: word for word, nodeid in pairs if word in words and "::" in nodeid}


def started(result: pytest.RunResult) -> list[str]:
    return [line.split("STARTED ")[1].split()[0] for line in result.outlines if "STARTED " in line]


@pytest.fixture
def candidate(served: Project) -> Project:
    """A project with a second package, whose models are worse."""
    folder = served.pytester.path / "candidate"
    shutil.copytree(TINY, folder)
    for name, old, new in (
        ("training.py", "from tiny", "from candidate"),
        ("training.py", "dict.fromkeys(FIELDS, 1.0)", "dict.fromkeys(FIELDS, 0.1)"),
        ("package.json", "tiny", "candidate"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    return served


@pytest.mark.parametrize("scope", ["session", "class"])
@pytest.mark.parametrize("args", [("a", "b"), ("b", "a"), ("a", "b", "-n", "2")])
def test_a_case_trains_with_the_package_that_its_own_folder_gives(
    candidate: Project, server: Server, scope: str, args: tuple[str, ...]
) -> None:
    root = candidate.pytester.path
    for name in "ab":
        write_entry(root / name, f"Model_{name}1")
        write_entry(root / name, f"Model_{name}2")
    (root / "a" / "conftest.py").write_text(PACKAGE.format(scope=scope))
    before = server.jobs("unzip")
    result = candidate.run(*args, "-rA", "-m", "training")
    found = {nodeid.split("::")[1]: outcome for nodeid, outcome in outcomes(result).items()}
    assert found == {"Model_a1": "FAILED", "Model_a2": "FAILED", "Model_b1": "PASSED", "Model_b2": "PASSED"}
    assert server.jobs("unzip") - before == 2  # one upload for each content, however many cases
    assert server.left_over() == []


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_case_runs_on_the_environment_and_as_the_model_test_that_its_own_folder_gives(
    served: Project, server: Server, order: tuple[str, str]
) -> None:
    root = served.pytester.path
    write_entry(root / "a", "Model_a")
    write_entry(root / "b", "Model_b")
    (root / "a" / "conftest.py").write_text(
        """
import dataclasses
import pytest

@pytest.fixture(scope="class")
def environment(environment):
    return dataclasses.replace(environment, path="acme/ci/fs/Drive/elsewhere")

@pytest.fixture(scope="class")
def model_test(model_test):
    return dataclasses.replace(model_test, config={"results": {"f1": {"Name": 0.2}}})
"""
    )
    (root / "conftest.py").write_text(
        """
def pytest_ibmodels_run_started(config, run):
    print("CONFIG", run.test.name, run.test.config)
"""
    )
    result = served.run(*order, "-rA", "-s", "-m", "training")
    found = {nodeid.split("::")[1]: outcome for nodeid, outcome in outcomes(result).items()}
    assert found == {"Model_a": "FAILED", "Model_b": "PASSED"}
    assert server.left_over() == []


MARKS = {
    "skip": ('skip(reason="x")', False),
    "skipif_true": ('skipif(True, reason="x")', False),
    "skipif_false": ('skipif(False, reason="x")', True),
    "skipif_text": ('skipif("config.rootpath.is_dir() and os.sep")', False),
    "skipif_text_false": ('skipif("os.sep == sys")', True),
    "skipif_namespace": ('skipif("of_the_project")', False),
    "skipif_none": ('skipif(reason="x")', False),
    "skipif_later": ('skipif(False, True, reason="x")', False),
    "skipif_broken": ('skipif("no_such_name")', False),
    "skipif_keyword": ('skipif(condition=True, reason="x")', False),
    "not_run": ("xfail(run=False)", False),
    "not_run_if": ('xfail(True, reason="x", run=False)', False),
    "not_run_if_false": ('xfail(False, reason="x", run=False)', True),
    "xfail": ('xfail(reason="x")', True),
}


@pytest.fixture
def marked(served: Project) -> Project:
    """A project with a case for every mark, put on the case, the model test or both items, and one without."""
    served.write_tests(Plain={}, **{name: {} for name in MARKS})
    lines = [f'        "{name}": pytest.mark.{mark},' for name, (mark, _) in MARKS.items()]
    served.pytester.makeconftest(
        "\n".join(
            [
                "import itertools",
                "import pytest",
                "def pytest_markeval_namespace(config):",
                "    return {'of_the_project': True}",
                "def pytest_collection_modifyitems(items):",
                "    marks = {",
                *lines,
                "    }",
                "    nodes = {}",
                "    for number, item in enumerate(items):",
                "        name = item.nodeid.split('::')[1]",
                "        if name in marks:",
                "            node = (item, item.parent, item.parent.parent)[number // 2 % 3]",
                "            nodes[node] = marks[name]",
                "    for node, mark in nodes.items():",
                "        node.add_marker(mark)",
                STARTED,
            ]
        )
    )
    return served


def test_what_a_mark_keeps_from_running_is_not_trained(marked: Project) -> None:
    wanted = ["Plain", *(name for name, (_, runs) in MARKS.items() if runs)]
    assert sorted(started(marked.run("-s"))) == sorted(wanted)


def test_runxfail_runs_and_trains_what_is_expected_to_fail(marked: Project) -> None:
    result = marked.run("-s", "--runxfail", "-k", "not_run or Plain")
    assert sorted(started(result)) == ["Plain", "not_run", "not_run_if", "not_run_if_false"]


@pytest.mark.parametrize(
    "gate",
    [
        "def pytest_runtest_setup(item):\n    if 'Gated' in item.nodeid: pytest.skip('not today')",
        "@pytest.fixture(autouse=True)\ndef gate(request):\n    if 'Gated' in request.node.nodeid: pytest.skip('no')",
        (
            "@pytest.fixture(autouse=True, scope='class')\ndef gate(model_test):\n"
            "    if model_test.name == 'Gated': pytest.skip('no')"
        ),
        (
            "@pytest.fixture(scope='class')\ndef environment(environment, model_test):\n"
            "    if model_test.name == 'Gated': pytest.skip('no')\n    return environment"
        ),
    ],
    ids=["hook", "autouse", "autouse of the class", "override"],
)
def test_what_the_project_keeps_from_running_is_not_trained(served: Project, gate: str) -> None:
    served.write_tests(One={}, Gated={}, Two={})
    served.pytester.makeconftest(f"import pytest\n{gate}\n{STARTED}")
    result = served.run("-s")
    result.assert_outcomes(passed=4, skipped=2)
    assert started(result) == ["One", "Two"]
    result.stdout.fnmatch_lines(["  2 more model tests on dogfood not started before their turn: *conftest.py*"])


def test_fixtures_that_do_not_know_the_case_leave_all_cases_at_once(served: Project) -> None:
    served.write_tests(One={"config": {"sleep": 2}}, Two={})
    served.pytester.makeconftest(
        f"""
import pytest
@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    monkeypatch.setenv("A", "b")
@pytest.fixture(autouse=True, scope="session")
def _session(request):
    pass
{STARTED}
"""
    )
    result = served.run("-s")
    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line("*before their turn*")


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan", "--collect-only"])
def test_options_that_run_no_test_train_nothing(served: Project, server: Server, option: str) -> None:
    served.write_tests(One={})
    before = server.jobs("train")
    assert served.run(option).ret == pytest.ExitCode.OK
    assert server.jobs("train") == before


def test_a_test_whose_body_pytest_does_not_run_is_not_called_trained(served: Project, server: Server) -> None:
    served.write_tests(One={})
    served.pytester.makeconftest("def pytest_pyfunc_call():\n    return True")
    before = server.jobs("train")
    result = served.run("--model-report=report.json")
    result.assert_outcomes(passed=2)
    assert server.jobs("train") == before
    result.stdout.no_fnmatch_line("*trained in*")
    result.stdout.no_fnmatch_line("*match training*")
    assert '"not run"' in (served.pytester.path / "report.json").read_text()


def test_the_module_of_model_tests_has_the_file_and_a_name_of_its_own(served: Project) -> None:
    write_entry(served.pytester.path / "one", "One")
    write_entry(served.pytester.path / "two", "Two")
    served.pytester.makeconftest(
        """
import inspect, pathlib, pytest
def pytest_collection_modifyitems(items):
    for item in items:
        assert inspect.getfile(item.module) == str(item.path)
        for node in (item.parent, item.parent.parent):
            with pytest.raises((OSError, TypeError)):
                inspect.getsourcelines(node.obj)
            inspect.getfile(node.obj)
    print("NAMES", len({item.module.__name__ for item in items}))
@pytest.fixture(autouse=True)
def folder(request):
    assert pathlib.Path(request.module.__file__).parent.name in {"one", "two"}
"""
    )
    result = served.run("-s", "-m", "training")
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["*NAMES 2"])


WRONG: dict[str, tuple[str, str]] = {
    "package": ("session", "pytestconfig.rootpath"),
    "environment": ("class", "'dogfood'"),
    "model_test": ("class", "None"),
    "model_engine": ("session", "5"),
    "training_run": ("class", "{}"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fixture_of_a_wrong_type_is_a_config_failure_that_names_its_file(served: Project, name: str) -> None:
    scope, value = WRONG[name]
    served.write_tests(One={})
    served.pytester.makepyfile(test_other="def test_other(): pass")
    served.pytester.makeconftest(
        f"import pytest\n@pytest.fixture(scope='{scope}')\ndef {name}(pytestconfig):\n    return {value}"
    )
    result = served.run("--junitxml=junit.xml", "-m", "not inference")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1, deselected=1)
    result.stdout.fnmatch_lines([f"config: the fixture `{name}` of *conftest.py:2 returned *: it should return *"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_fault_in_making_a_record_loses_no_test(served: Project) -> None:
    served.write_tests(One={})
    served.pytester.makepyfile(test_other="def test_other(): pass")
    served.pytester.makeconftest(
        """
import pytest_ibmodels.pytest.records as recording
def _broken(*_): raise KeyError("in the record")
recording.run_record = _broken
"""
    )
    result = served.run("-rA", "-n", "1")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*the record of this run could not be made*", "KeyError: 'in the record'"])


RERUNS = pytest.mark.skipif(
    importlib.util.find_spec("pytest_rerunfailures") is None, reason="pytest-rerunfailures is not installed"
)


@RERUNS
@pytest.mark.parametrize("tests", [["One"], ["One", "Two"]])
def test_a_rerun_of_a_failed_training_trains_again(served: Project, server: Server, tests: list[str]) -> None:
    entry: dict[str, Any] = {"metrics": {"f1": {"Name": 1.1}}}
    served.write_tests(**dict.fromkeys(tests, entry))
    before = server.jobs("train")
    result = served.run("--reruns", "2")
    outcome = result.parseoutcomes()
    assert (outcome["failed"], outcome["skipped"], outcome["rerun"]) == (len(tests), len(tests), 2 * len(tests))
    assert server.jobs("train") - before == 3 * len(tests)
    result.stdout.fnmatch_lines(["attempt 3: trained again, as pytest ran the item again; before: job *, metrics: *"])
    assert server.left_over() == []


@RERUNS
def test_a_rerun_can_recover(served: Project, server: Server) -> None:
    served.write_tests(Flaky={"metrics": {"f1": {"Name": 0.9}}})
    served.pytester.makeconftest(
        """
attempts = []
def pytest_ibmodels_verdict(run, phase):
    attempts.append(phase)
    if attempts == ["training"] or attempts == ["training", "training", "inference"]:
        return "bad luck"
"""
    )
    before = server.jobs("train")
    result = served.run("--reruns", "2")
    outcome = result.parseoutcomes()
    assert (outcome["passed"], outcome["rerun"]) == (2, 2)
    assert server.jobs("train") - before == 3
    assert server.left_over() == []


def test_without_a_training_item_that_failed_inference_does_not_hide_the_failure(served: Project) -> None:
    served.write_tests(Boom={"config": {"raise": "boom"}})
    served.pytester.makeconftest(
        "import pytest\ndef pytest_runtest_setup(item):\n    if item.name == 'test_training': pytest.skip('no')"
    )
    result = served.run()
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["training failed: RuntimeError: boom"])


def test_a_token_in_the_reason_of_a_skip_is_hidden_and_ends_no_session(served: Project) -> None:
    served.write_tests(One={})
    served.pytester.makepyfile(
        test_z="""
import collections, pytest
Reason = collections.namedtuple("Reason", "path line reason")
def test_skipped(): pytest.skip("token-of-the-tests")
def test_other(): pass
"""
    )
    result = served.run("-rs", "model_tests.yaml", "test_z.py")
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_z.py:*: [*][*][*]"])
