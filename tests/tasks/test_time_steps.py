"""Which step a spike falls into: edges in every floating-point format, and times that are no seconds."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from spoken_files import replace, write

from flossing.tasks import SpikeFile
from flossing.tasks._time_steps import steps_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shd_train.h5"


STEPS = st.sampled_from([0.1, 0.3, 0.5, 1.0, 1.1, 2.0, 2.5, 3.3, 5.0, 7.0, 10.0])


@given(time_step=STEPS, step=st.integers(0, 5000), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=300, deadline=None)
def test_an_edge_falls_into_the_step_it_opens_however_it_was_computed(time_step, step, dtype):
    kind = np.dtype(dtype).type
    edges = [
        kind(step * time_step / 1000),
        kind(step * (time_step / 1000)),
        kind(step * time_step * 1e-3),
        kind(step) * kind(time_step) / kind(1000),
        kind(step) * kind(time_step * 1e-3),
        kind(str(round(step * time_step / 1000, 9))),
    ]
    found = steps_of(np.array(edges, float), time_step, dtype)
    np.testing.assert_array_equal(found, step)
    inside = (step + np.array([0.01, 0.5, 0.99])) * time_step / 1000
    found = steps_of(inside.astype(dtype).astype(float), time_step, dtype)
    np.testing.assert_array_equal(found, step)


@given(time_step=st.sampled_from([1.0, 2.0, 5.0]), step=st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_an_edge_in_half_precision_falls_into_the_step_it_opens(time_step, step):
    """Below half a second, where half precision tells times of 0.25 ms apart."""
    step %= int(500 / time_step)
    edge = np.float16(step * time_step / 1000)
    assert steps_of(np.array([edge], float), time_step, np.float16) == step


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_edges_in_a_file(dtype, path):
    """29 steps of 5 ms are 0.145 s, whose product with 200 is less than 29."""
    write(path, recordings=1)
    edges = np.arange(60) * 5 / 1000
    replace(path, "spikes/times", [edges], dtype)
    replace(path, "spikes/units", [np.arange(60)], np.uint16)
    with SpikeFile(path) as file:
        spikes = file.read(0, num_steps=60, time_step=5.0).spikes[0]
        np.testing.assert_array_equal(file.recording(0).times, edges.astype(dtype).astype(float))
    np.testing.assert_array_equal(spikes[:, :60], np.eye(60))


@pytest.mark.parametrize(("scale", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds")])
def test_times_that_cannot_be_seconds_are_questioned_once(scale, unit, path):
    times, _, _ = write(path)
    replace(path, "spikes/times", [t.astype(float) * scale for t in times], np.float64)
    with SpikeFile(path) as file:
        with pytest.warns(
            UserWarning,
            match=f"expected seconds, .*; if these are {unit}, divide them by {scale:.0f}",
        ):
            file.read([0, 1])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            file.read([2])


def test_a_window_in_which_nothing_is_seen_is_questioned(path):
    """A time step in seconds, where it should be in ms."""
    write(path)
    replace(path, "spikes/times", [[0.1, 0.2]] * 6, np.float16)
    replace(path, "spikes/units", [[1, 2]] * 6, np.uint16)
    with (
        SpikeFile(path) as file,
        pytest.warns(UserWarning, match=r"times up to 0\.19.* none within the 0.7 ms of a raster"),
    ):
        file.read([0], time_step=0.002)
