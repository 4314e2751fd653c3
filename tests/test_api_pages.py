"""docs/api: every public name is on a page, once, and nothing else is."""

import ast
import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

_DOCS = Path(__file__).parents[1] / "docs"
_ROOMS = (
    "flossing flossing.cells flossing.escape_noise flossing.examine flossing.floss "
    "flossing.initialisers flossing.lyapunov flossing.nir_graphs flossing.plots flossing.runs "
    "flossing.spike_statistics flossing.surrogates flossing.sweeps flossing.tasks "
    "flossing.theory flossing.torch flossing.torch.surrogates flossing.training"
).split()
_INNER = {"flossing.escape_noise": {"spike"}}
"""Names of a room that other rooms use, and users do not."""


def _source(module: str) -> Path:
    path = Path(importlib.util.find_spec("flossing").origin).parent.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(module: str) -> set[tuple[str, str]]:
    """What a module imports under its own name (``x as x``) from files of its room: file and name.

    Read from the source, because rooms also hold what they need, and PyTorch may be missing.
    """
    tree = ast.parse(_source(module).read_text(encoding="utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level == 1]
    return {(n.module, a.name) for n in imports if n.module for a in n.names if a.name == a.asname}


def _public(module: str) -> set[str]:
    names = {name for _, name in _imported(module)}
    for node in ast.parse(_source(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            names.add(node.name)
    return names - _INNER.get(module, set())


def _listed() -> Counter[tuple[str, str]]:
    pages = "".join(page.read_text(encoding="utf-8") for page in (_DOCS / "api").glob("*.md"))
    blocks = re.findall(r"```\{api\} (\S+)\n(.*?)```", pages, re.DOTALL)
    return Counter((module, name) for module, names in blocks for name in names.split())


@pytest.mark.parametrize("module", _ROOMS)
def test_the_pages_list_every_public_name_of_a_module(module):
    elsewhere = {name for room, name in _imported("flossing") if f"flossing.{room}" == module}
    assert {name for room, name in _listed() if room == module} == _public(module) - elsewhere


def test_no_name_is_listed_twice_and_no_module_is_unknown():
    assert [name for name, count in _listed().items() if count > 1] == []
    assert {module for module, _ in _listed()} <= set(_ROOMS)


def test_every_page_is_in_a_table_of_contents_of_the_site():
    pages = {p.relative_to(_DOCS).with_suffix("").as_posix() for p in _DOCS.rglob("*.md")}
    pages -= {p for p in pages if p.startswith("_build/") or p.endswith("/notes")}
    contents = {"index", "README"}
    for page in pages:
        text = (_DOCS / f"{page}.md").read_text(encoding="utf-8")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            contents |= {
                (Path(page).parent / re.sub(r".*<(.*)>", r"\1", entry)).as_posix()
                for entry in entries
            }
    assert contents == pages
