"""The record of numbers that a renovation must not change: what it holds, and that a change shows."""

import importlib
import json
from pathlib import Path

import pytest
import xarray as xr

from flossing.cells import CellSpec
from flossing.floss import Schedule
from flossing.tasks import Task


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("record")


def test_every_cell_task_and_schedule_is_recorded(record):
    names = set(record.jobs())
    data = {"heidelberg", "randman", "spike-raster"}
    assert {f"train cell {name}" for name in CellSpec.members} <= names
    assert {f"train task {name}" for name in set(Task.members) - data} <= names
    assert {f"train schedule {name}" for name in [*Schedule.members, "none"]} <= names


def test_changes_are_found(record, tmp_path, capsys):
    numbers = {
        "claims": [{"text": "a", "measured": 0.5, "holds": True}],
        "numbers": {"exponents": [0.1, float("nan"), -0.2], "count": 3, "by": [{"x": 1.0}]},
        "environment": {"cores": 2},
    }
    changed = json.loads(json.dumps(numbers))
    changed["numbers"]["exponents"][2] = -0.2001
    changed["claims"][0] |= {"measured": 0.4, "holds": False}
    changed["environment"]["cores"] = 8
    for folder, content in (("before", numbers), ("after", changed), ("same", numbers)):
        job = tmp_path / folder / "reproduce-x"
        job.mkdir(parents=True)
        (job / "claims.json").write_text(json.dumps(content))
        part = xr.Dataset({"rate": ("network", [1.0, 2.0])})
        xr.DataTree.from_dict({"/case": part}).to_netcdf(job / "numbers.nc", engine="h5netcdf")
        found = dict(record.numbers(job))
        (tmp_path / folder / record.RECORD).write_text(json.dumps({"reproduce x": found}))
    assert record.compare(tmp_path / "before", tmp_path / "same", 1e-6) == 0
    assert record.compare(tmp_path / "before", tmp_path / "after", 1e-6) == 1
    out = capsys.readouterr().out
    assert "6 numbers, 3 differ" in out
    assert "verdict: claims.json/claims/0/holds: True -> False" in out
    assert record.compare(tmp_path / "before", tmp_path / "after", 10.0) == 0
