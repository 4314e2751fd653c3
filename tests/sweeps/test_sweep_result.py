"""What a sweep prints and draws: settings from the best to the worst."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "reports"))

from made_up import made_up_list, made_up_sweep, write_sweep

from flossing.sweeps import SweepResult, load

TWO = {"task.delay": [10, 20, 40, 80], "schedule": ["none", "phases"]}
THREE = TWO | {"cell.gain": [0.5, 1.0]}


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def test_settings_are_printed_from_the_best_to_the_worst(tmp_path):
    data = made_up_sweep(TWO)
    result = load(write_sweep(tmp_path / "sweep", data))
    xr.testing.assert_identical(result.to_xarray(), result.data)
    first, header, *rows, last = repr(result).splitlines()
    assert first == "sweep: 6 of 8 runs finished, networks: 30 (medians, best first)"
    assert last == f"directory: {tmp_path / 'sweep'}"
    assert header.split("  ")[-1].strip() == "lambda_1 end"
    medians = data["test_accuracy"].median("realisation", skipna=False).values
    best = np.sort(medians[np.isfinite(medians)])[::-1]
    cells = [row.replace(" %", "").split() for row in rows if "..." not in row]
    assert [row[0] for row in cells] == ["1", "2", "3", "4", "8"]
    for row, value in zip(cells[:4], best, strict=False):
        delay, schedule = TWO["task.delay"].index(int(row[1])), TWO["schedule"].index(row[2])
        assert medians[delay, schedule] == value
        np.testing.assert_allclose(float(row[3]), 100 * value, atol=0.06)
        exponent = np.median(data["exponents"].values[delay, schedule, 2, :, 0])
        np.testing.assert_allclose(float(row[4]), exponent, atol=6e-4)
    assert cells[4][3:] == ["failed", "-"]
    assert result._repr_html_().count("<tr>") == 7


def test_lower_is_better_where_the_headline_is_a_loss():
    data = made_up_sweep({"task.delay": [10, 20]}).drop_vars(["accuracy", "test_accuracy"])
    data["test_loss"][:] = [[3.0] * 5, [2.0] * 5]
    data.attrs["metrics"] = ""
    rows = [line.split() for line in repr(SweepResult(data, Path("x"))).splitlines()[2:-1]]
    assert [row[1:4] for row in rows] == [["20", "2", "nats"], ["10", "3", "nats"]]


def test_results_are_drawn_against_a_field():
    data = made_up_sweep(TWO)
    (axis,) = SweepResult(data, Path("x")).plot()
    lines = {line.get_label(): line for line in axis.get_lines()}
    for i, name in enumerate(TWO["schedule"]):
        np.testing.assert_array_equal(lines[name].get_xdata(), TWO["task.delay"])
        medians = data["test_accuracy"].median("realisation", skipna=False).values[:, i]
        np.testing.assert_allclose(lines[name].get_ydata(), 100 * medians)
    (axis,) = SweepResult(made_up_list(), Path("x")).plot()
    assert axis.get_xlabel() == "task.delay"


def test_fields_beyond_two_have_a_panel_each():
    result = SweepResult(made_up_sweep(THREE), Path("x"))
    axes = result.plot(against="cell.gain")
    assert [axis.get_title() for axis in axes] == [f"task.delay = {d}" for d in (10, 20, 40, 80)]
    given = plt.figure().subplots(2, 2)
    assert [*result.plot(given, against="cell.gain")] == [*given.flat]
    with pytest.raises(ValueError, match="ax: expected 4 Axes, one for each panel, got 3"):
        result.plot(given.flat[:3], against="cell.gain")
    with pytest.raises(ValueError, match=r"against: expected one of task\.delay, .*, got 'delay'"):
        result.plot(against="delay")
    with pytest.raises(ValueError, match="nothing was swept"):
        SweepResult(made_up_sweep({}), Path("x")).plot()
