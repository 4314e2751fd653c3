"""What is released: the contents of the wheel, one version everywhere, lower bounds that are tested."""

import re
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import flossing as fl

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "src"
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _bounds(wanted: list[str]) -> dict[str, str]:
    """The lowest allowed version of each dependency that has one."""
    found = [re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\w.]+)", line) for line in wanted]
    return {match[1].lower(): match[2] for match in found if match}


def _recipe() -> dict:
    return yaml.safe_load((_ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))


@pytest.mark.skipif(not _SOURCE.is_dir(), reason="tests of an installed wheel have no source")
def test_the_wheel_has_the_package_with_its_types_and_data_and_nothing_else(tmp_path):
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(_ROOT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"flossing-{_PROJECT['version']}.dist-info"
    package = {name for name in names if not name.startswith(info)}
    files = {p for p in _SOURCE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert package == {p.relative_to(_SOURCE).as_posix() for p in files}
    assert "flossing/py.typed" in package
    assert f"{info}/licenses/LICENSE" in names


def test_the_version_is_the_same_everywhere():
    version = _PROJECT["version"]
    citation = yaml.safe_load((_ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert fl.__version__ == metadata.version("flossing") == version
    assert citation["version"] == version
    assert _recipe()["context"]["version"] == version
    assert re.search(rf"^## \[{re.escape(version)}\]", changes, re.MULTILINE)


def test_every_dependency_has_a_lower_bound_that_the_oldest_set_tests():
    lines = (_ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    extras = _PROJECT["optional-dependencies"]
    others, *tools = extras["test"]
    tested = [*_PROJECT["dependencies"], *tools]
    for name in re.fullmatch(r"flossing\[(.*)\]", others)[1].split(","):
        tested += extras[name]
    bounds = _bounds(tested)
    assert len(bounds) == len(tested)
    assert {name: pinned.get(name) for name in bounds} == bounds


def test_the_recipe_asks_for_what_the_package_asks_for():
    there = dict(line.split(maxsplit=1) for line in _recipe()["requirements"]["run"])
    there.pop("python")
    there["matplotlib"] = there.pop("matplotlib-base")
    wanted = _bounds(_PROJECT["dependencies"])
    assert len(wanted) == len(_PROJECT["dependencies"])
    assert there == {name: f">={version}" for name, version in wanted.items()}


def test_hooks_before_a_commit_use_the_ruff_of_the_extra_dev():
    hooks = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = hooks["repos"]
    assert (
        f"ruff=={repository['rev'].removeprefix('v')}" in _PROJECT["optional-dependencies"]["dev"]
    )


@pytest.mark.parametrize("name", ["ci", "release", "weekly"])
def test_workflows_run_what_is_there_and_the_oldest_python_that_is_allowed(name):
    file = _ROOT / ".github" / "workflows" / f"{name}.yml"
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
    lines = "\n".join(step.get("run", "") for job in jobs for step in job["steps"])
    for script in re.findall(r"(?:python|bash) ([\w./-]+)", lines):
        assert script.startswith("-") or (_ROOT / script).is_file()
    given = [step.get("with", {}).get("python-version") for job in jobs for step in job["steps"]]
    given += [c.get("python") for j in jobs for c in _matrix(j).get("include", [])]
    numbers = [version for version in given if version and version[0].isdigit()]
    lowest = min(numbers, key=lambda version: [int(part) for part in version.split(".")])
    assert name == "weekly" or _PROJECT["requires-python"] == f">={lowest}"


def _matrix(job: dict) -> dict:
    return job.get("strategy", {}).get("matrix", {})
