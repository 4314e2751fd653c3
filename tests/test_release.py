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


def _bounds() -> dict[str, str]:
    """The lowest allowed version of each dependency, extras included."""
    wanted = [*_PROJECT["dependencies"]]
    for extra in _PROJECT["optional-dependencies"].values():
        wanted += extra
    pattern = r"([\w-]+)(?:\[.*\])?>=([\w.]+)"
    found = [re.fullmatch(pattern, line) for line in wanted if not line.startswith("flossing[")]
    return {match[1].lower(): match[2] for match in found}


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
    recipe = yaml.safe_load((_ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    changes = re.findall(r"^## \[(.+)\]", (_ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert fl.__version__ == metadata.version("flossing") == version
    assert citation["version"] == version
    assert recipe["context"]["version"] == version
    assert version in changes


def test_the_oldest_set_has_every_dependency_at_its_lower_bound():
    lines = (_ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    bounds = _bounds()
    untested = {"torch", "ruff", "pyright", "myst-nb", "pydata-sphinx-theme", "sphinx"}
    untested |= {name for name in bounds if name.startswith("sphinx-")}
    assert {name: pinned.get(name) for name in bounds.keys() - untested} == {
        name: bounds[name] for name in bounds.keys() - untested
    }


def test_the_recipe_asks_for_what_the_package_asks_for():
    recipe = yaml.safe_load((_ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    there = {
        "-".join(line.split()[:-1]): line.split()[-1] for line in recipe["requirements"]["run"]
    }
    there.pop("python")
    names = {"matplotlib": "matplotlib-base"}
    bounds = _bounds()
    needed = {re.match(r"[\w-]+", line)[0].lower() for line in _PROJECT["dependencies"]}
    assert there == {names.get(name, name): f">={bounds[name]}" for name in needed}
