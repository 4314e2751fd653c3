"""What a user meets first: the import, the README's example, the example script, the wheel's contents."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import flossing as fl

_ROOT = Path(__file__).parents[1]
_HEAVY = (
    "matplotlib xarray tyro rich yaml h5py h5netcdf threadpoolctl torch plotly jinja2 dask distributed "
    "pandas tensorboardX wandb nir"
).split()


def loaded(code: str, names: list[str]) -> list[str]:
    """Which of some packages a new process has loaded after some code."""
    code = f"import sys\n{code}\nprint(*[m for m in {names} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split("\n")[-2].split()


@pytest.mark.slow
def test_the_core_loads_neither_figures_nor_datasets_nor_the_command_line():
    uses = "import flossing as fl\nfl.examine, fl.Flosser, fl.tasks, fl.theory, fl.training, fl.with_escape"
    assert loaded(uses, _HEAVY) == []


@pytest.mark.parametrize("code", ["import flossing", "from flossing.cli import main; main(['-h'])"])
def test_neither_the_import_nor_the_first_help_waits_for_jax(code):
    assert loaded(code, ["jax", "numpy", *_HEAVY]) == []


def test_every_name_that_type_checkers_see_is_there_and_no_other():
    """The imports for type checkers and the table of names that are loaded say the same."""
    tree = ast.parse(Path(fl.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    checked = {alias.asname: node.module for node in imports for alias in node.names}
    rooms = {name for name, room in checked.items() if room is None}
    assert {name: room for name, room in checked.items() if room} == fl._ROOM_OF
    assert rooms | {"cells", "lyapunov", "optimisers"} == fl._ROOMS
    assert {name for name in dir(fl) if not name.startswith("_")} >= set(checked)
    for name, room in fl._ROOM_OF.items():
        assert getattr(fl, name) is getattr(sys.modules[f"flossing.{room}"], name)


@pytest.mark.slow
def test_rooms_leave_functions_of_the_same_name_in_place_and_load_no_figures():
    code = """
import flossing.examine, flossing.runs.examining
import flossing as fl
from flossing.examine import RULES, examine
assert fl.examine is examine and fl.train.__name__ == "train"
import flossing.commands.examine
"""
    assert loaded(code, ["jax", "matplotlib"]) == ["jax"]


def test_a_name_that_is_not_there_is_an_error_that_says_so():
    with pytest.raises(AttributeError, match="'flossing' has no attribute 'spektrum'"):
        fl.spektrum  # noqa: B018
    with pytest.raises(ImportError, match="spektrum"):
        exec("from flossing import spektrum", {})


@pytest.mark.slow
def test_first_example_of_the_readme_flosses_what_it_examines(capsys, untyped):
    blocks = re.findall(r"```python\n(.*?)```", (_ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(blocks[0], names)
    out = capsys.readouterr().out
    assert "Gradients vanish: an error shrinks by" in out
    assert "nats per step" in out
    assert abs(float(names["info"].exponents[0])) < 0.03


@pytest.mark.slow
def test_example_script_flosses_an_equinox_cell(capsys, untyped):
    runpy.run_path(str(_ROOT / "examples" / "floss_your_own.py"))
    lines = capsys.readouterr().out.splitlines()
    losses = [float(line.split()[-1]) for line in lines if line.startswith("step")]
    assert losses[-1] < 0.3 * losses[0]


def test_every_link_within_the_documents_leads_somewhere():
    for page in [*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
