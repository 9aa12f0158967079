"""Changes between two runs of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.changed import ChangedSince

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.history.runs import StoredRun

_HASH, _COMMIT = 12, 9
"""Characters of a hash that are shown."""


def changed_since(new: StoredRun, old: StoredRun) -> ChangedSince:
    """Return what changed between a run and an earlier one, as far as the history knows both."""
    return ChangedSince(old.started, old.commit, tuple(_facts(new, old)))


def _facts(new: StoredRun, old: StoredRun) -> Iterator[str]:
    if (new.package, new.version) != (old.package, old.version):
        yield f"package {old.package} {old.version} -> {new.package} {new.version}"
    if new.content_hash != old.content_hash:
        yield f"content of the package {old.content_hash[:_HASH]} -> {new.content_hash[:_HASH]}"
    if new.config_hash != old.config_hash:
        # The history stores a hash of the config only.
        yield "the config"
    elif new.seed != old.seed and new.repeat == old.repeat:
        yield f"seed {_known(old.seed)} -> {_known(new.seed)}"
    if new.fingerprint != old.fingerprint:
        yield f"the test part (fingerprint {_known(old.fingerprint)} -> {_known(new.fingerprint)})"
    if new.commit != old.commit:
        yield f"commit {_known(old.commit[:_COMMIT])} -> {_known(new.commit[:_COMMIT])}"
    if new.is_dirty:
        yield "files that are not committed"
    if new.hardware != old.hardware:
        yield f"hardware {_known(old.hardware)} -> {_known(new.hardware)}"


def _known(value: object) -> object:
    return "unknown" if value in {None, ""} else value
