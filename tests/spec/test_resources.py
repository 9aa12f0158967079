"""Resources, retries and repeats of a model test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.spec import ResourcesSpec, load_model_tests
from tests.spec.yamlfiles import entry, said, written

if TYPE_CHECKING:
    from pathlib import Path


GIB = 2**30


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), (None, None)),
        (
            ("resources: {cpus: 2, gpus: 1, memory: 8 GiB}", "retries: 0", "config: {use_cpu: false}"),
            (ResourcesSpec(2.0, 1, 8 * GIB), 0),
        ),
        (("resources: {cpus: 0.5}", "retries: 10"), (ResourcesSpec(0.5, 0, None), 10)),
        (("resources: {memory: 1.5GiB}",), (ResourcesSpec(1.0, 0, 3 * GIB // 2), None)),
        (("resources: {memory: 2 GB}",), (ResourcesSpec(1.0, 0, 2_000_000_000), None)),
        (("resources: {memory: 3_000_000_000}",), (ResourcesSpec(1.0, 0, 3_000_000_000), None)),
    ],
)
def test_resources_and_retries(file: Path, lines: tuple[str, ...], expected: tuple[ResourcesSpec | None, int]) -> None:
    test = load_model_tests(written(file, entry(*lines))).tests["A"]
    assert (test.resources, test.retries) == expected


TEXT = "5:23: `resources.memory` has to be text such as 8 GiB, or a number of bytes, but is"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("resources: {memory: 8G}",), f'{TEXT} the text "8G": write 8 GiB'),
        (("resources: {memory: 8gb}",), f'{TEXT} the text "8gb": write 8 GB'),
        (
            ("resources: {memory: 8 KiB}",),
            f'{TEXT} the text "8 KiB": units are MiB, GiB, TiB, MB, GB, TB',
        ),
        (("resources: {memory: 8e9}",), f"{TEXT} the number 8000000000.0"),
        (
            ("resources: {memory: 8}",),
            "5:23: `resources.memory` is 8 bytes, less than any training needs: write it with its unit, as in 8 GiB",
        ),
        (
            (f"resources: {{memory: {'9' * 400} GiB}}",),
            f'5:23: `resources.memory` is the text "{"9" * 60}…", more than any machine has',
        ),
        (
            ("resources: {}",),
            "5:14: `resources` names nothing: give it `cpus`, `gpus` or `memory`, or remove it",
        ),
        (("resources: 2",), "5:14: `resources` has to be a mapping, but is the number 2"),
        (
            ("resources: {cpu: 2}",),
            "5:15: unknown key `resources.cpu`: did you mean `cpus`? (keys: cpus, gpus, memory)",
        ),
        (("resources: {cpus: 0}",), "5:21: `resources.cpus` has to be a number above 0, but is the number 0"),
        (("resources: {gpus: 0.5}",), "5:21: `resources.gpus` has to be a whole number, but is the number 0.5"),
        (("retries: 11",), "5:12: `retries` has to be a number up to 10, but is the number 11"),
        (
            ("resources: {gpus: 1}", "config: {use_gpu: false}"),
            "5:21: `resources.gpus` is 1, but `config.use_gpu` is false, so the training would use none: remove one",
        ),
    ],
)
def test_wrong_resources_and_retries(file: Path, lines: tuple[str, ...], expected: str) -> None:
    assert said(lambda: load_model_tests(written(file, entry(*lines)))) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("repeats: 3", "config: {seed: 7}"), (3, 7)),
        (("repeats: 3", "config: {}"), (3, 42)),
        (("config: {seed: x}",), (1, None)),
    ],
)
def test_repeats_count_seeds_from_the_config(file: Path, lines: tuple[str, ...], expected: tuple[int, int]) -> None:
    test = load_model_tests(written(file, entry(*lines))).tests["A"]
    assert (test.repeats, test.seed) == expected


@pytest.mark.parametrize("seed", ["x", "1.5", "yes"])
def test_repeats_need_a_whole_number_as_the_seed(file: Path, seed: str) -> None:
    text = entry("repeats: 2", f"config: {{seed: {seed}}}")
    (said_of_it,) = said(lambda: load_model_tests(written(file, text)))
    assert said_of_it.endswith(
        ": `config.seed` has to be a whole number, since `repeats` counts the seeds of further trainings from it"
    )
