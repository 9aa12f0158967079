"""Where a run comes from: git, the CI server, and this machine."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_GIT_SECONDS = 5.0


@dataclass(frozen=True)
class Origin:
    """Facts that all runs of a session share; the attributes are those of `StoredRun`."""

    project: str
    commit: str = ""
    branch: str = ""
    is_dirty: bool = False
    ci_run: str = ""


def origin_of(folder: Path, environ: Mapping[str, str]) -> Origin:
    """Return the origin of runs in a project's root folder.

    Args:
        folder: pytest's root folder.
        environ: variables of the process; GitHub's are known, and `CI_JOB_URL` of GitLab and `BUILD_URL` of Jenkins.
    """
    commit, branch, is_dirty = _git(folder, environ)
    return Origin(
        project=project_name(folder),
        commit=commit or environ.get("GITHUB_SHA", ""),
        branch=_ci_branch(environ) or branch,
        is_dirty=is_dirty,
        ci_run=_ci_run(environ),
    )


def commit_of_tag(folder: Path, tag: str) -> str:
    """Return the commit that a git tag names; empty if git knows no such tag."""
    return _output_of(["git", "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}"], folder).strip()


def project_name(folder: Path) -> str:
    """Return the project's name in `pyproject.toml`, else the name of its folder."""
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            name = tomllib.load(file).get("project", {}).get("name")
    except (OSError, ValueError, AttributeError):
        name = None
    return name if isinstance(name, str) and name else folder.name


def local_hardware() -> str:
    """Return processor and number of cores of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{platform.machine()}, {cores} core{'s' * (cores != 1)}"


def _git(folder: Path, environ: Mapping[str, str]) -> tuple[str, str, bool]:
    """Return commit, branch, and whether tracked files are changed; empty if git cannot tell in time."""
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    lines = _output_of(command, folder, environ).splitlines()
    heads = dict(line.removeprefix("# branch.").split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = heads.get("oid", ""), heads.get("head", "")
    is_dirty = any(not line.startswith("#") for line in lines)
    # git's words for a repository without a commit, and for a commit that is on no branch.
    return commit.replace("(initial)", ""), branch.replace("(detached)", ""), is_dirty


def _output_of(command: list[str], folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """Return what git writes; empty if it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if done.returncode else done.stdout.decode(errors="replace")


def _ci_branch(environ: Mapping[str, str]) -> str:
    """Return the branch that the CI server builds: servers check out a commit, not a branch."""
    if environ.get("GITHUB_HEAD_REF"):
        return environ["GITHUB_HEAD_REF"]
    if environ.get("GITHUB_REF_TYPE") == "branch":
        return environ.get("GITHUB_REF_NAME", "")
    return environ.get("CI_COMMIT_BRANCH", "")


def _ci_run(environ: Mapping[str, str]) -> str:
    if environ.get("GITHUB_RUN_ID"):
        server, repository = (environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
        run = environ["GITHUB_RUN_ID"]
        return f"{server}/{repository}/actions/runs/{run}" if server and repository else run
    return environ.get("CI_JOB_URL") or environ.get("BUILD_URL", "")
