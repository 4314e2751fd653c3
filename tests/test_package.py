"""What a user meets first: the import, the README's example, the example script, the wheel's contents."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


def test_import_is_light():
    """Figures, datasets and the command line are loaded when used."""
    heavy = (
        "matplotlib xarray tyro rich yaml h5py h5netcdf threadpoolctl torch plotly jinja2".split()
    )
    heavy += ["dask", "distributed", "pandas", "tensorboardX", "wandb", "nir"]
    code = f"import sys, flossing; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_first_example_of_the_readme_runs(capsys, untyped):
    blocks = re.findall(r"```python\n(.*?)```", (_ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(blocks[0], names)
    assert "nats per step" in capsys.readouterr().out
    assert names["spectrum"].exponents.shape == (16,)
    assert float(names["value"]) > 0
    assert float(abs(names["gradient"].recurrent_weight).max()) > 0


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
