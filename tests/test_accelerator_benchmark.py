"""The script for accelerators, small on this device: it runs as a whole, and says where numbers differ."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("accelerator")


@pytest.mark.slow
def test_it_measures_everything_and_finds_equal_numbers(script, tmp_path, capsys, untyped):
    assert script.main(["--quick", "--json", str(tmp_path / "out.json")]) == 0
    tables = json.loads((tmp_path / "out.json").read_text())["tables"]
    assert {name: len(rows) for name, rows in tables.items()} == {
        "Every step and auto": 2,
        "Large networks": 2,
        "Many trajectories": 3,
    }
    apart = [v for rows in tables.values() for row in rows for n, v in row.items() if "differ" in n]
    assert len(apart) == 5
    assert max(apart) < script.TOLERANCE
    assert "| network" in capsys.readouterr().out


def test_numbers_that_differ_are_a_failure(script, monkeypatch, capsys):
    row = {"network": "any", "gradients differ by": 1.0}
    monkeypatch.setattr(script, "pace", lambda *_: [row])
    monkeypatch.setattr(script, "large", lambda *_: [{"N": 1}])
    monkeypatch.setattr(script, "many", lambda *_: [{"exponents differ by": 0.0}])
    assert script.main(["--quick"]) == 1
    assert capsys.readouterr().err == "Numbers differ: Every step and auto.\n"


def test_differences_are_relative_to_the_largest_number_and_nan_is_infinite(script):
    ours, theirs = {"a": np.array([1.0, -4.0]), "b": np.zeros(2)}, {"a": np.array([1.0, -5.0])}
    theirs["b"] = np.array([0.0, 0.01])
    assert script.difference(ours, theirs) == 1.0
    assert script.difference({"a": np.array([1.0, -4.0])}, {"a": np.array([1.0, -5.0])}) == 0.2
    assert script.difference([np.array([np.nan])], [np.array([1.0])]) == np.inf
