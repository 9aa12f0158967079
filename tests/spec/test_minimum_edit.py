from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.spec import load_model_tests, minimum_edit
from pytest_ibmodels.spec.minimum_edit import BoundChange, edit_file, edit_text

if TYPE_CHECKING:
    from pathlib import Path

# PyYAML writes control characters and line separators in a way that it does not read back.
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=8)


@pytest.fixture(
    params=[pytest.param(yaml.CBaseLoader, id="libyaml"), pytest.param(yaml.BaseLoader, id="pure Python")],
    autouse=True,
)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimum_edit, "PARSER", request.param)


def change(metric: str, field: str, value: float, bound: Literal["min", "max"] = "min", test: str = "T") -> BoundChange:
    return BoundChange(test, metric, field, bound, value)


def test_only_the_numbers_change() -> None:
    text = """\
# Licenses, kept by Zoë 🚗.
"T":   # the test
    env: sandbox
    time_limit: 0.9
    metrics:
        f1:
            "DL Number":   0.95   # 0.95 since May
            'Name': 0.950
            Address: {min: 0.9, max: 1}
        exact_match: {Name: 0.9, Other:0.9: 0.9, "D": { min : 9e-1 } }
        accuracy: 0.9
        loss: {max: 0.4}
        macro_f1:
            min: .9  #
Other:
    metrics: {f1: {Name: 0.9}}
"""
    changes = [
        change("f1", "DL Number", 0.91),
        change("f1", "Name", 0.8),
        change("f1", "Address", 0.85),
        change("f1", "Address", 0.99, "max"),
        change("exact_match", "Name", 0.7),
        change("exact_match", "Other:0.9", 0.71),
        change("exact_match", "D", 0.72),
        change("accuracy", "all", 0.6),
        change("loss", "all", 0.45, "max"),
        change("macro_f1", "all", 1.0),
    ]
    edited = edit_text(text, changes)
    assert edited.refused == []
    assert (
        edited.text
        == """\
# Licenses, kept by Zoë 🚗.
"T":   # the test
    env: sandbox
    time_limit: 0.9
    metrics:
        f1:
            "DL Number":   0.91   # 0.95 since May
            'Name': 0.8
            Address: {min: 0.85, max: 0.99}
        exact_match: {Name: 0.7, Other:0.9: 0.71, "D": { min : 0.72 } }
        accuracy: 0.6
        loss: {max: 0.45}
        macro_f1:
            min: 1  #
Other:
    metrics: {f1: {Name: 0.9}}
"""
    )
    assert [line for _, line in edited.changed] == [7, 8, 9, 9, 10, 10, 10, 11, 12, 14]


def test_shared_numbers_are_named_and_not_changed() -> None:
    text = """\
.base: &base
  f1: {Name: 0.9}
.low: &low 0.8
T:
  metrics:
    <<: *base
    recall: {Name: *low, Date: &here 0.7}
    precision: {Name: *here}
    exact_match: &unused {Name: 0.6, Date: &never 0.6}
"""
    edited = edit_text(
        text,
        [
            change("f1", "Name", 0.5),
            change("recall", "Name", 0.5),
            change("recall", "Date", 0.5),
            change("precision", "Name", 0.5),
            change("exact_match", "Name", 0.5),
            change("exact_match", "Date", 0.5),
        ],
    )
    anchor = "the number is part of an anchor that is used in more than one place"
    assert [(one.change.metric, one.change.field, one.line, one.reason) for one in edited.refused] == [
        ("f1", "Name", 2, "the number comes from a merge key `<<`"),
        ("recall", "Name", 3, anchor),
        ("recall", "Date", 7, anchor),
        ("precision", "Name", 7, anchor),
    ]
    assert edited.text == text.replace("{Name: 0.6, Date: &never 0.6}", "{Name: 0.5, Date: &never 0.5}")


def test_a_key_beside_a_merge_key_is_the_entrys_own() -> None:
    text = "A: &a\n  metrics: {f1: {Name: 0.9}}\nT:\n  <<: *a\n  metrics: {f1: {Name: 0.8}}\n"
    edited = edit_text(text, [change("f1", "Name", 0.7)])
    assert edited.text == text.replace("0.8", "0.7")
    (refused,) = edit_text(text, [change("f1", "Name", 0.7, test="A")]).refused
    assert (refused.line, refused.change.key) == (2, "A.metrics.f1.Name.min")


@pytest.mark.parametrize(
    "absent",
    [
        change("f1", "Date", 0.5),
        change("f1", "Name", 0.5, "max"),
        change("f1", "all", 0.5),
        change("loss", "all", 0.5),
        change("loss", "max", 0.5),
        change("accuracy", "Name", 0.5),
        change("recall", "Name", 0.5),
        change("f1", "Name", 0.5, test="U"),
        change("f1", "Name", 0.5, test="V"),
    ],
)
def test_bounds_that_the_file_has_not_are_named(absent: BoundChange) -> None:
    text = "T: {metrics: {f1: {Name: 0.9}, loss: {max: 1}, accuracy: 0.9}}\nV: 1\n"
    edited = edit_text(text, [absent])
    assert edited.text == text
    assert [(one.line, one.reason) for one in edited.refused] == [(0, "the file has no such number")]


def test_a_field_may_be_called_all_or_max() -> None:
    text = "T: {metrics: {f1: {all: 0.9, max: 0.8, <<: 1}}}\n".replace("<<: 1", '"<<": 0.7')
    edited = edit_text(text, [change("f1", "all", 0.1), change("f1", "max", 0.2), change("f1", "<<", 0.3)])
    assert edited.text == 'T: {metrics: {f1: {all: 0.1, max: 0.2, "<<": 0.3}}}\n'


def test_equal_numbers_stay_as_they_are_written() -> None:
    text = "T: {metrics: {f1: {Name: 9.0e-1}}}"
    edited = edit_text(text, [change("f1", "Name", 0.9)])
    assert (edited.text, edited.changed, edited.refused) == (text, [], [])


def test_small_and_large_numbers_have_no_exponent() -> None:
    text = "T: {metrics: {loss: {min: 1, max: 2}}}"
    edited = edit_text(text, [change("loss", "all", 0.00001), change("loss", "all", 120000.0, "max")])
    assert edited.text == "T: {metrics: {loss: {min: 0.00001, max: 120000}}}"


def test_line_ends_the_byte_order_mark_permissions_and_links_stay(tmp_path: Path) -> None:
    file = tmp_path / "model_tests.yaml"
    file.write_bytes("\ufeffT:\r\n  # é 🚗\r\n  metrics:\r\n    accuracy: 0.9 # last\r\n\r\n".encode())
    file.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    edited = edit_file(link, [change("accuracy", "all", 0.85)])
    assert [line for _, line in edited.changed] == [4]
    assert file.read_bytes() == "\ufeffT:\r\n  # é 🚗\r\n  metrics:\r\n    accuracy: 0.85 # last\r\n\r\n".encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "model_tests.yaml"]


def test_a_file_without_a_change_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "model_tests.yaml"
    file.write_text("T: {metrics: {accuracy: 0.9}}")
    before = file.stat()
    edit_file(file, [change("accuracy", "all", 0.9)])
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    file = tmp_path / "model_tests.yaml"
    file.write_text("T: [")
    with pytest.raises(ValueError, match="not YAML"):
        edit_file(file, [change("accuracy", "all", 0.9)])


@given(
    st.dictionaries(NAMES, st.floats(0, 1), min_size=1),
    st.booleans(),
    st.data(),
)
def test_what_is_written_is_what_is_read(fields: dict[str, float], flow: bool, data: st.DataObject) -> None:
    text = yaml.safe_dump({"T": {"metrics": {"f1": fields}}}, default_flow_style=flow, allow_unicode=flow)
    new = {name: data.draw(st.integers(0, 100)) / 100 for name in fields}
    edited = edit_text(text, [change("f1", name, value) for name, value in new.items()])
    assert edited.refused == []
    assert yaml.safe_load(edited.text) == {"T": {"metrics": {"f1": new}}}


def test_the_edited_file_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "model_tests.yaml"
    file.write_text(
        "T:\n  env: sandbox\n  ibannotator: a/b/fs/Drive/x.ibannotator\n  time_limit: 60\n"
        "  metrics: {f1: {Name: {min: 0.9, max: 1}}, accuracy: 1}\n"
    )
    edit_file(file, [change("f1", "Name", 0.5), change("accuracy", "all", 0.25)])
    metrics = load_model_tests(file).tests["T"].metrics
    assert (metrics["f1"]["Name"].min, metrics["f1"]["Name"].max) == (0.5, 1)
    assert metrics["accuracy"]["all"].min == 0.25
