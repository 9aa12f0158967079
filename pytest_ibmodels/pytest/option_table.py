"""Command-line options of the plugin."""

from __future__ import annotations

import argparse
from typing import Any

from pytest_ibmodels.reports.formats import FORMATS


def _repeats(text: str) -> int:
    from pytest_ibmodels.spec.entries import MAX_REPEATS

    if text.isdecimal() and 1 <= int(text) <= MAX_REPEATS:
        return int(text)
    raise argparse.ArgumentTypeError(f"should be a whole number from 1 to {MAX_REPEATS}, but is {text!r}")


def _baseline(text: str) -> tuple[str, str]:
    """Return how the baseline is chosen, and the name of the branch or tag."""
    text = text.strip()
    if text == "previous":
        return "previous", ""
    kind, name = ("tag", text.removeprefix("tag:")) if text.startswith("tag:") else ("branch", text)
    if not name:
        raise argparse.ArgumentTypeError("should be a branch, tag:NAME, or previous, but is empty")
    return kind, name


OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "env",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "run model tests only on this environment (repeat it, or give a comma list); all by default",
        },
    ),
    ("package", {"metavar": "DIR", "help": "folder of the training code, instead of the setting ibmodels_package"}),
    (
        "publish-only",
        {
            "action": "store_true",
            "help": "run no tests: publish the package on every environment, or those of --env, that lacks it",
        },
    ),
    (
        "dry-run",
        {
            "action": "store_true",
            "help": "with --publish-only: show what would happen, and change nothing",
        },
    ),
    (
        "reattach",
        {
            "action": "store_true",
            "help": "continue identical trainings of a killed session, instead of training again",
        },
    ),
    (
        "model-repeats",
        {
            "type": _repeats,
            "metavar": "N",
            "help": "train each case N times, with N seeds, and judge the mean; instead of `repeats` of its entry",
        },
    ),
    (
        "model-baseline",
        {
            "type": _baseline,
            "metavar": "BRANCH",
            "help": "hold every case to the newest passed run of this git branch in the history (or of tag:NAME, or "
            "previous); instead of `branch`, `tag` or `previous` of its entry",
        },
    ),
    (
        "promote",
        {
            "action": "store_true",
            "help": "for model tests with a table: promote the new model to the model in use if both phases passed",
        },
    ),
    (
        "promote-worse",
        {
            "action": "store_true",
            "help": "with --promote: also promote a model that is certainly worse than the model in use",
        },
    ),
    (
        "sandbox-portal",
        {
            "action": "store_true",
            "help": "print the address of an embedded sandbox's portal, to look at its jobs until the run ends",
        },
    ),
    (
        "model-report",
        {
            "action": "append",
            "default": [],
            "metavar": "FILE",
            "help": "write a report on all runs at the end: "
            f"{', '.join(f'FILE{suffix} {purpose}' for suffix, (_, purpose) in FORMATS.items())}; may be repeated",
        },
    ),
)
"""Name without prefix → arguments of ``addoption``. Each is ``--ibmodels-NAME``, and also ``--NAME`` if that name is
free: see :mod:`pytest_ibmodels.pytest.short_options`."""

GROUP = ("ibmodels", "model tests (pytest-ibmodels)")


def destination(name: str) -> str:
    """Return the name under which argparse stores an option."""
    return "ibmodels_reports" if name == "model-report" else f"ibmodels_{name.replace('-', '_')}"
