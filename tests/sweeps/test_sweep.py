"""A sweep from its settings to its dataset, on worker processes."""

import dataclasses
import json
import os
import threading

import numpy as np
import pandas
import psutil
import pytest
import xarray as xr
import yaml
from sweep_helpers import FLOSSED, SMALL

import flossing as fl
from flossing.runs import run, to_yaml
from flossing.sweeps import grid as grids
from flossing.sweeps.conduct import Where, conduct

BASE = dataclasses.replace(SMALL, schedule=FLOSSED)
OVER = {"cell.gain": [0.8, 1.0], "schedule": ["none", "before"]}


@pytest.fixture(scope="module")
def swept(workers, tmp_path_factory):
    path = tmp_path_factory.mktemp("sweeps") / "grid"
    return path, fl.sweep(BASE, OVER, path, client=workers).data


@pytest.mark.slow
def test_the_dataset_has_the_swept_fields_as_dimensions(swept):
    path, data = swept
    loaded = xr.load_dataset(path / "sweep.nc", engine="h5netcdf")
    xr.testing.assert_equal(loaded, data)
    outer = ("cell.gain", "schedule")
    assert data["accuracy"].dims == (*outer, "epoch", "realisation")
    assert data["exponents"].dims == (*outer, "moment", "realisation", "exponent")
    assert data["test_accuracy"].dims == data["epochs_to_95"].dims == (*outer, "realisation")
    assert dict(data.sizes) == {
        "cell.gain": 2,
        "schedule": 2,
        "epoch": 60,
        "realisation": 2,
        "moment": 3,
        "exponent": 8,
    }
    assert data["cell.gain"].values.tolist() == [0.8, 1.0]
    assert data["schedule"].values.tolist() == ["none", "before"]
    assert data["moment"].values.tolist() == ["start", "before training", "end"]
    assert (data["status"] == "finished").all()
    assert np.isnan(data["exponents"].sel({"schedule": "none", "moment": "before training"})).all()
    assert np.isfinite(data["exponents"].sel({"schedule": "before"})).all()
    assert data.attrs["title"] == "flossing sweep"
    assert yaml.safe_load(data.attrs["config"]) == yaml.safe_load(
        to_yaml(grids.grid(BASE, OVER).base)
    )
    assert {"long_name", "units"} <= set(data["loss"].attrs)


@pytest.mark.slow
def test_a_swept_run_is_the_single_run_bit_for_bit(swept):
    single = run(BASE, write=False).data
    one = swept[1].sel({"cell.gain": 0.8, "schedule": "before"})
    for name in ("loss", "accuracy", "gradient_norm", "test_accuracy", "test_loss"):
        np.testing.assert_array_equal(one[name], single[name])
    np.testing.assert_array_equal(one["exponents"], single["exponents"])


@pytest.mark.slow
def test_the_table_has_a_row_per_network(swept):
    table = pandas.read_csv(swept[0] / "sweep.csv")
    assert len(table) == 8
    row = table.iloc[7]
    assert (row["cell.gain"], row["schedule"], row["realisation"]) == (1.0, "before", 1)
    one = swept[1].sel({"cell.gain": 1.0, "schedule": "before", "realisation": 1})
    np.testing.assert_allclose(row["test_accuracy"], one["test_accuracy"])
    np.testing.assert_allclose(row["lambda_1_end"], one["exponents"][-1, 0], rtol=1e-6)


@pytest.mark.slow
def test_the_provenance_is_written(swept):
    content = json.loads((swept[0] / "sweep.json").read_text())
    assert {"versions", "devices", "git_commit", "command", "starts", "runs"} <= set(content)
    assert content["versions"]["distributed"]
    assert content["devices"] == ["cpu: cpu"]
    assert set(content["runs"].values()) == {"finished"}


@pytest.mark.slow
def test_a_restart_leaves_finished_runs_alone(swept, workers):
    path, data = swept
    times = {p: p.stat().st_mtime_ns for p in path.glob("runs/*/*")}
    again = fl.sweep(BASE, OVER, path, client=workers).data
    xr.testing.assert_equal(again, data)
    assert {p: p.stat().st_mtime_ns for p in path.glob("runs/*/*")} == times
    assert len(json.loads((path / "sweep.json").read_text())["starts"]) >= 2


@pytest.mark.slow
def test_another_sweep_in_the_same_directory_is_refused(swept):
    longer = dataclasses.replace(BASE, epochs=70)
    with pytest.raises(ValueError, match=r"epochs: 60 there, 70 now"):
        fl.sweep(longer, OVER, swept[0])
    with pytest.raises(ValueError, match=r"over cell.gain: \[0.8, 1.0\] there, \[0.8\] now"):
        fl.sweep(BASE, OVER | {"cell.gain": [0.8]}, swept[0])


@pytest.mark.slow
def test_a_failing_run_is_recorded_and_the_others_go_on(workers, tmp_path):
    path = tmp_path / "sweep"
    obstacle = path / "runs" / "seed=2"
    over = {"seed": [1, 2, 3]}
    stopped = threading.Event()
    stopped.set()
    missing = conduct(grids.grid(SMALL, over), path, Where(), client=workers, stop=stopped)
    assert missing["status"].values.tolist() == ["missing"] * 3
    obstacle.mkdir()
    (obstacle / "config.yaml").write_text(to_yaml(dataclasses.replace(SMALL, seed=99)))
    (obstacle / "metrics.nc").touch()
    (obstacle / "checkpoint.eqx").touch()

    data = fl.sweep(SMALL, over, path, client=workers).data
    assert data["status"].values.tolist() == ["finished", "failed", "finished"]
    assert "other settings" in str(data["error"].values[1])
    assert data["error"].values[0] == ""
    assert "Traceback" in (obstacle / "error.txt").read_text()
    assert np.isnan(data["test_accuracy"].values[1]).all()
    assert pandas.read_csv(path / "sweep.csv")["status"].tolist() == [
        *["finished"] * 2,
        *["failed"] * 2,
        *["finished"] * 2,
    ]
    (obstacle / "config.yaml").unlink()
    whole = fl.sweep(SMALL, over, path, client=workers).data
    assert (whole["status"] == "finished").all()
    assert not (obstacle / "error.txt").exists()


@pytest.mark.slow
def test_a_list_of_settings_has_one_dimension(workers, tmp_path):
    settings = [{"seed": 1}, {"seed": 2, "epochs": 20}]
    data = fl.sweep(SMALL, settings, tmp_path / "sweep", client=workers).data
    assert data["accuracy"].dims == ("setting", "epoch", "realisation")
    assert data["seed"].dims == data["epochs"].dims == ("setting",)
    assert data["epochs"].values.tolist() == [60, 20]
    shorter = data["accuracy"].isel(setting=1)
    assert np.isfinite(shorter[:20]).all()
    assert np.isnan(shorter[20:]).all()
    assert len(pandas.read_csv(tmp_path / "sweep" / "sweep.csv")) == 4


def test_workers_listen_on_loopback_with_one_blas_thread(workers):
    assert workers.scheduler.address.startswith("tcp://127.0.0.1:")
    (environment,) = workers.run(lambda: dict(os.environ)).values()
    assert environment["OPENBLAS_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "1"
    assert int(environment["NPROC"]) >= 1
    me = psutil.Process()
    sockets = [s for p in (me, *me.children(recursive=True)) for s in p.net_connections("inet")]
    listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_client_of_another_kind_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"client: expected a distributed\.Client"):
        fl.sweep(SMALL, {"seed": [1]}, tmp_path / "sweep", client="mine")
    with pytest.raises(ValueError, match="client: cannot be given together with scheduler"):
        fl.sweep(SMALL, {"seed": [1]}, tmp_path, client=1, scheduler="tcp://127.0.0.1:1")
