"""What a run prints and draws: the numbers of its dataset."""

import dataclasses
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from test_runs import SMALL

from flossing.runs.console import results_table
from flossing.runs.result import RunResult, duration


@pytest.fixture
def made():
    """A result of nine networks with random numbers, 40 epochs of 50."""
    rng = np.random.default_rng(3)
    by_epoch = ("epoch", "realisation")
    reading = {"units": "1", "higher_is_better": 1, "chance": 0.5}
    data = xr.Dataset(
        {
            "loss": (by_epoch, rng.random((40, 9))),
            "accuracy": (by_epoch, rng.random((40, 9)), reading),
            "gradient_norm": (by_epoch, rng.random((40, 9))),
            "skipped": (by_epoch, np.zeros((40, 9), np.int8)),
            "exponents": (("measurement", "realisation", "exponent"), rng.normal(size=(2, 9, 5))),
            "test_accuracy": ("realisation", rng.random(9)),
        },
        {
            "epoch": np.arange(40),
            "measurement_label": ("measurement", ["start", "end"]),
            "measurement_epoch": ("measurement", [0, 40]),
        },
        {"metrics": "accuracy"},
    )
    config = dataclasses.replace(SMALL, epochs=50, realisations=9)
    return RunResult(config, data, None, Path("runs/mine"), False, 5400.0)


def test_a_result_prints_a_row_per_network_in_ten_lines(made):
    lines = repr(made).splitlines()
    assert len(lines) == 10
    assert lines[1] == "40 epochs, networks: 9, 90 min"
    where = Path("runs/mine")
    assert lines[-2:] == [
        f"directory: {where}",
        "stopped early: 40 of 50 epochs; to go on, call fl.train again with the same arguments, or:  "
        f"floss train --resume {where}",
    ]
    assert re.split("  +", lines[2].strip()) == [
        "network", "held-out accuracy", "lambda_1 start", "end", "|dL/dh_0| first", "last",
    ]  # fmt: skip
    rows = [line.replace(" %", "").split() for line in lines[3:-2]]
    assert [row[0] for row in rows] == ["1", "2", "3", "...", "9"]
    for row in rows[:3] + rows[4:]:
        i = int(row[0]) - 1
        network = made.data.isel(realisation=i)
        np.testing.assert_allclose(float(row[1]), 100 * network["test_accuracy"], atol=0.06)
        np.testing.assert_allclose([*map(float, row[2:4])], network["exponents"][:, 0], atol=6e-4)
        norms = network["gradient_norm"].values
        expected = norms[:10].mean(), norms[-10:].mean()
        np.testing.assert_allclose([*map(float, row[4:])], expected, rtol=0.06)
    assert made._repr_html_().count("<tr>") == 6


def test_terminal_and_python_have_the_same_table(made):
    """A column is there if any network has something in it."""
    made.data["accuracy"][20:, 2] = 1.0
    made.data["skipped"][3, 1] = 1
    flossed = made.data.isel(measurement=[0]).assign(exponents=made.data["exponents"][:1] + 1)
    data = xr.concat([made.data, flossed], "measurement", data_vars="minimal")
    labels = ("measurement", ["start", "end", "before training"])
    made.data = data.assign_coords(measurement_label=labels).isel(realisation=[0, 1, 2])
    said = ("directory", "stopped", "Updates")
    _, *lines = [line.split() for line in repr(made).splitlines() if not line.startswith(said)]
    header, rows = " ".join(lines[1]), lines[2:]
    assert header == (
        "network held-out accuracy epochs to 95 % lambda_1 start flossed end |dL/dh_0| first last "
        "updates skipped"
    )
    table = results_table({"": made.data}, "")
    assert " ".join(str(column.header) for column in table.columns).split() == header.split()
    cells = zip(*(column.cells for column in table.columns), strict=True)
    assert [" ".join(map(str, row)).split() for row in cells] == rows
    assert [row[3] for row in rows] == ["-", "-", "29"]  # the tenth epoch at 100 %
    assert [row[-1] for row in rows] == ["-", "1", "-"]
    found = [[float(row[i]) for i in (4, 5, 6)] for row in rows]
    np.testing.assert_allclose(found, made.data["exponents"][[0, 2, 1], :, 0].T, atol=6e-4)


@pytest.mark.parametrize(
    ("test", "last", "said"), [(0.99, 1e-3, True), (0.99, 0.2, False), (0.6, 1e-3, False)]
)
def test_a_small_gradient_of_what_has_learned_is_explained(test, last, said, made):
    """Elsewhere it may vanish."""
    made.data["test_accuracy"][:] = 0.6
    made.data["test_accuracy"][4] = test
    made.data["gradient_norm"][:10] = 1.0
    made.data["gradient_norm"][-10:, 4] = last
    note = "|dL/dh_0| is small at the end because the loss is."
    assert (note in repr(made)) == said
    assert (note in str(results_table({"": made.data}, "").caption)) == said


def test_skipped_updates_are_explained(made):
    note = "Updates are skipped where gradients are not finite (nan), mostly because they explode."
    assert note not in repr(made)
    made.data["skipped"][3, 1] = 1
    assert note in repr(made)


def test_a_stopped_run_says_what_goes_on_and_no_more_than_works(made):
    own = dataclasses.replace(made.config, cell=lambda key: None)
    assert repr(dataclasses.replace(made, config=own)).endswith(
        "to go on, call fl.train again with the same arguments"
    )
    nowhere = dataclasses.replace(made, directory=None)
    assert repr(nowhere).endswith("40 of 50 epochs; nothing was written, as there was no directory")


def test_a_result_draws_metric_gradient_and_spectra(made):
    metric, gradient, spectra = made.plot()
    for axis, values in (
        (metric, 100 * made.data["accuracy"]),
        (gradient, made.data["gradient_norm"]),
    ):
        *thin, thick = axis.get_lines()[:10]
        np.testing.assert_allclose([line.get_ydata() for line in thin], values.values.T)
        np.testing.assert_allclose(thick.get_ydata(), np.median(values, 1))
        assert axis.get_xlabel() == "training epoch"
    medians = [line.get_ydata() for line in spectra.get_lines() if line.get_linewidth() > 1]
    np.testing.assert_allclose(medians, np.median(made.data["exponents"], 1))
    assert made.to_xarray() is made.data
    given = plt.figure().subplots(1, 3)
    assert [*made.plot(given)] == [*given]
    with pytest.raises(ValueError, match=r"ax: expected 3 Axes, one for each panel, got 1"):
        made.plot(given[0])
    made.data = made.data[["exponents"]]
    assert len(made.plot()) == 1
    made.data = xr.Dataset()
    with pytest.raises(ValueError, match="nothing was measured yet"):
        made.plot()
    plt.close("all")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25 s"), (99, "99 s"), (150, "2.5 min"), (7200, "2 h")]
)
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text
