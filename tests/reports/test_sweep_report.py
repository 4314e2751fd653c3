"""The report of a sweep, on made-up numbers in the layout that sweeps are written in."""

import csv
import io
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up import made_up_list, made_up_sweep, write_sweep

from flossing.cli import main
from flossing.reports import write_report
from flossing.sweeps.data import fields_of, never_reached, results_of
from flossing.sweeps.plots import colour_field, sweep_figures

TWO = {"task.delay": [10, 20, 40, 80], "schedule": ["none", "phases"]}
THREE = {
    "task.delay": [10, 20, 40],
    "optimiser.learning_rate": [1e-4, 1e-3, 1e-2],
    "schedule": ["none", "phases"],
}


def data_of(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A sweep over two fields, its directory, and its page."""
    data = made_up_sweep(TWO)
    path = write_sweep(tmp_path_factory.mktemp("two") / "sweep", data)
    return data, path, write_report(path).read_text(encoding="utf-8")


@pytest.mark.slow
def test_page_and_figures_are_written(two):
    _, path, page = two
    names = {figure.name for figure in (path / "figures").iterdir()}
    assert names == {
        f"report-{name}.{kind}"
        for name in ("accuracy-task.delay", "epochs-to-95-task.delay", "learning-curves")
        for kind in ("png", "pdf")
    }
    assert all(f"figures/{name}" in page for name in names)
    assert all(f'href="{name}"' in page for name in ("sweep.nc", "sweep.csv", "sweep.json"))
    assert "delays &amp; schedules" in page
    assert "versions.flossing" in page
    assert len(page) < 3e6


def test_failures_are_listed_with_their_error(tmp_path):
    path = write_sweep(tmp_path / "sweep", made_up_sweep(TWO))
    page = write_report(path, figures=False).read_text(encoding="utf-8")
    assert "Stopped with an error: 1 of 8 settings." in page
    assert "No results yet: 1 of 8 settings." in page
    assert "failed: ValueError: num_steps: a delay of 40 steps needs &lt;more&gt;, got 20." in page
    assert "6 of 8 settings finished, with 30 networks in all" in page
    assert "task.delay = 80, schedule = phases: ValueError" in page


@pytest.mark.slow
def test_the_page_says_what_the_sweep_says(two):
    data, _, page = two
    content = data_of(page)
    assert [field["name"] for field in content["fields"]] == list(TWO)
    assert [field["numeric"] for field in content["fields"]] == [True, False]
    assert len(content["settings"]) == 8
    setting = content["settings"][1]
    assert setting["label"] == "task.delay = 10, schedule = phases"
    test = 100 * data["test_accuracy"].values[0, 1]
    np.testing.assert_allclose(setting["networks"]["test"], test, rtol=1e-3)
    np.testing.assert_allclose(
        setting["quartiles"]["test"], np.percentile(test, [25, 50, 75]), rtol=1e-3
    )
    leading = data["exponents"].values[0, 1, 2, :, 0]
    np.testing.assert_allclose(setting["networks"]["leading"], leading, rtol=1e-3)
    np.testing.assert_allclose(
        setting["spectra"]["end"]["median"][0], np.median(leading), rtol=1e-3
    )
    last = content["settings"][-1]
    assert (last["status"], last["spectra"], last["curves"]) == ("failed", {}, {})
    assert set(last["networks"]["epochs_to_95"]) == {None}


def test_never_is_not_missing():
    data = made_up_sweep(TWO)
    never = never_reached(data)
    assert never[3, 0].sum() == 0
    assert never[2, 0].any()
    assert not never[3, 1].any()


def test_results_of_shorter_runs_are_those_of_their_last_epochs():
    data = made_up_sweep({"task.delay": [10, 20]})
    data["loss"][0, 40:] = np.nan
    data["loss"][1] = np.nan
    found = results_of(data)["final_loss"]
    np.testing.assert_allclose(found[0], data["loss"].values[0, 30:40].mean(0))
    assert np.isnan(found[1]).all()


def test_csv_has_a_row_per_network(tmp_path):
    path = write_sweep(tmp_path / "sweep", made_up_sweep(TWO))
    page = write_report(path, figures=False).read_text(encoding="utf-8")
    text = unquote(re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', page)[1])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 8 * 5
    assert {row["schedule"] for row in rows} == {"none", "phases"}
    assert {row["test_accuracy_percent"] for row in rows if row["status"] == "failed"} == {""}
    assert "never" in {row["epochs_to_95"] for row in rows}


@pytest.mark.parametrize(
    "fields",
    [
        THREE,
        {"task.delay": [10]},
        {"schedule": ["none", "phases"], "cell": ["tanh", "gru", "lif"]},
        pytest.param({"seed": list(range(40))}, marks=pytest.mark.slow),
        pytest.param(
            {"cell.gain": [0.5, 1.0], "schedule.targets": ["[0.0]", "[-0.1]"]},
            marks=pytest.mark.slow,
        ),
        {},
    ],
    ids=lambda fields: "-".join(fields) or "nothing",
)
def test_any_fields(fields, tmp_path):
    data = made_up_sweep(fields, networks=2 if len(fields) < 3 else 1, epochs=30)
    page = write_report(write_sweep(tmp_path / "sweep", data), figures=len(fields) < 3)
    assert len(data_of(page.read_text(encoding="utf-8"))["settings"]) == data["status"].size


@pytest.mark.slow
def test_panels_and_colours():
    fields = fields_of(made_up_sweep(THREE))
    assert colour_field(fields).name == "schedule"
    assert colour_field(fields, fields[2]).name == "task.delay"
    assert [field.log for field in fields] == [False, True, False]
    figures = sweep_figures(made_up_sweep(THREE))
    assert len(figures["report-accuracy-task.delay"].axes) == 3
    assert len(figures["report-learning-curves"].axes) == 6
    assert figures["report-accuracy-optimiser.learning_rate"].axes[0].get_xscale() == "log"


@pytest.mark.slow
def test_a_sweep_without_any_result(tmp_path):
    data = made_up_sweep(TWO)
    for name in ("loss", "accuracy", "gradient_norm", "exponents", "test_accuracy", "epochs_to_95"):
        data[name][:] = np.nan
    data["status"][:] = "missing"
    path = write_sweep(tmp_path / "sweep", data)
    page = write_report(path).read_text(encoding="utf-8")
    assert "No results yet: 8 of 8 settings." in page
    assert "not measured" in page
    assert not (path / "figures").exists()
    empty = data.isel(epoch=slice(0), exponent=slice(0))
    page = write_report(write_sweep(tmp_path / "empty", empty)).read_text(encoding="utf-8")
    assert 'id="moment"' not in page
    bare = data.drop_dims(["epoch", "moment"])
    page = write_report(write_sweep(tmp_path / "bare", bare)).read_text(encoding="utf-8")
    assert 'id="moment"' not in page


@pytest.mark.slow
def test_settings_that_are_a_list(tmp_path):
    data = made_up_list()
    path = write_sweep(tmp_path / "sweep", data)
    page = write_report(path).read_text(encoding="utf-8")
    content = data_of(page)
    assert content["listed"]
    assert [field["name"] for field in content["fields"]] == ["task.delay", "schedule"]
    assert content["fields"][0]["values"] == [10, 20, 35]
    assert [setting["index"] for setting in content["settings"]] == [[2, 0], [0, 1], [1, 0], [0, 0]]
    assert content["settings"][0]["label"] == "task.delay = 35, schedule = none"
    names = {figure.name for figure in (path / "figures").glob("*.png")}
    assert names == {
        "report-accuracy-task.delay.png",
        "report-epochs-to-95-task.delay.png",
        "report-learning-curves.png",
    }


@pytest.mark.slow
def test_a_field_with_a_value_that_is_not_given(tmp_path):
    data = made_up_sweep({"cell.dale": [np.nan, 0.5], "task.delay": [10, 20]})
    page = write_report(write_sweep(tmp_path / "sweep", data)).read_text(encoding="utf-8")
    assert data_of(page)["fields"][0] == {
        "name": "cell.dale",
        "values": ["none", "0.5"],
        "numeric": False,
        "log": False,
    }


@pytest.mark.parametrize("content", ["damaged", "other"])
def test_a_file_that_is_no_sweep_gets_one_line(content, tmp_path, capsys):
    if content == "damaged":
        (tmp_path / "sweep.nc").write_bytes(b"not netCDF")
    else:
        made_up_sweep(TWO).drop_vars("status").to_netcdf(tmp_path / "sweep.nc", engine="h5netcdf")
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert ("damaged" if content == "damaged" else "it has no status") in error
    assert len(error.splitlines()) == 1
