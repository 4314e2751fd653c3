"""Workers, schedulers and whole sweeps that are killed: what is lost, and that the numbers stay the same."""

import os
import signal
import subprocess
import sys
import threading
import time

import kill_sweep as kills
import pytest
import xarray as xr
from distributed import LocalCluster
from sweep_helpers import SMALL

import flossing as fl
from flossing.commands.train import parse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs signals that Windows does not have"),
]
EPOCHS = 1500
BASE = parse([*kills.SETTINGS, "--epochs", str(EPOCHS)]).settings


class Background:
    """A sweep in a thread."""

    def __init__(self, *arguments, **options):
        self.result, self.error = None, None
        self.thread = threading.Thread(target=self.work, args=(arguments, options), daemon=True)
        self.thread.start()

    def work(self, arguments, options):
        try:
            self.result = fl.sweep(*arguments, **options).data
        except BaseException as error:
            self.error = error

    def wait(self, timeout=240):
        self.thread.join(timeout)
        assert not self.thread.is_alive()
        assert self.error is None, self.error
        return self.result


def wait_for_blocks(path, count=4, timeout=120):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if any(len(done) >= count for done in kills.blocks(path).values()):
            return
        time.sleep(0.1)
    raise AssertionError("no run has begun")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep of ``kill_sweep.py``, undisturbed, in this process."""
    path = tmp_path_factory.mktemp("sweeps") / "whole"
    fl.sweep(BASE, {"seed": [1, 2]}, path, workers=0)
    return path


def test_the_run_of_a_killed_worker_goes_on_with_the_same_numbers(workers, whole, tmp_path):
    path = tmp_path / "sweep"
    sweep = Background(BASE, {"seed": [1, 2]}, path, client=workers)
    wait_for_blocks(path)
    busy = next(address for address, tasks in workers.processing().items() if tasks)
    pids = workers.run(os.getpid)
    os.kill(pids[busy], signal.SIGKILL)
    data = sweep.wait()
    assert (data["status"] == "finished").all()
    kills.assert_nothing_lost(path)
    kills.assert_same(whole, path)


def test_a_sweep_goes_on_with_the_same_numbers_after_ctrl_c_and_after_it_was_killed(
    whole, tmp_path
):
    """``kill_sweep.py`` kills many times, at random moments."""
    path = tmp_path / "sweep"
    process = kills.start(path, EPOCHS, "--workers", "1")
    assert kills.wait_for_block(path, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 1, out
    assert "stopping after the current block" in out
    assert "go on with the same command" in out
    assert "Traceback" not in out
    data = xr.load_dataset(path / "sweep.nc", engine="h5netcdf")
    assert data["status"].values.tolist() == ["missing", "missing"]
    assert kills.blocks(path)
    assert list(path.glob("runs/*/weights.eqx"))

    process = kills.start(path, EPOCHS)
    assert kills.wait_for_block(path, process)
    time.sleep(0.3)
    kills.kill(process)
    fl.sweep(BASE, {"seed": [1, 2]}, path, workers=0)
    kills.assert_nothing_lost(path)
    kills.assert_same(whole, path)


def _start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _scheduler(port):
    return _start(
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    )


def _worker(port):
    return _start(
        "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny",
        "--host", "127.0.0.1", "--no-dashboard", "--death-timeout", "60",
    )  # fmt: skip


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_scheduler_that_is_killed_and_started_again(whole, tmp_path, free_port):
    """Its workers end by themselves; with new ones, in this process, the sweep goes on from there."""
    path = tmp_path / "sweep"
    processes = [_scheduler(free_port), _worker(free_port)]
    try:
        address = f"tcp://127.0.0.1:{free_port}"
        sweep = Background(BASE, {"seed": [1]}, path, scheduler=address)
        wait_for_blocks(path)
        processes[0].kill()
        processes[0].wait(10)
        assert processes[1].wait(60) is not None
        assert sweep.thread.is_alive()
        with LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            host="127.0.0.1",
            scheduler_port=free_port,
            dashboard_address=None,
        ):
            data = sweep.wait()
        assert (data["status"] == "finished").all()
        done = kills.blocks(path)["seed=1"]
        assert len(done) - len(set(done)) <= 1  # at most the block in which the worker ended
        undisturbed = xr.load_dataset(whole / "sweep.nc", engine="h5netcdf")
        xr.testing.assert_equal(data["loss"], undisturbed["loss"].isel(seed=[0]))
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


def test_no_scheduler_is_said(tmp_path, free_port, monkeypatch):
    from flossing.sweeps import connect

    monkeypatch.setattr(connect.connect, "__defaults__", (None, 0.5))
    address = f"tcp://127.0.0.1:{free_port}"
    with pytest.raises(ConnectionError, match=f"scheduler: cannot connect to {address}"):
        fl.sweep(SMALL, {"seed": [1]}, tmp_path / "sweep", scheduler=address)
