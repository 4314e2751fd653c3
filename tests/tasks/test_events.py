"""Events against rasters that are filled one event after the other."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import Arrays, Events, events as module

SIZE = {"num_units": 5, "num_steps": 8}


def raster(recording, num_steps, num_units, time_step=None):
    """One event after the other, with whole numbers of microseconds."""
    expected = np.zeros((num_steps, num_units))
    for time, unit in zip(*recording, strict=True):
        step = time if time_step is None else round(time * 1e6) // round(time_step * 1e3)
        if step < num_steps:
            expected[step, unit] = 1
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int64", "lists"])
@pytest.mark.parametrize("time_step", [None, 1.0, 2.5])
def test_each_recording_is_its_own_raster(time_step, dtype, untyped):
    """Also recordings without events, and beside longer ones; the first event is always seen."""
    rng = np.random.default_rng(0)
    recordings, counts = [], [3, 0, 12, 1, 0, 7, 0]
    for count in counts:
        times = rng.integers(0, 20, count)
        times[:1] = 0
        scaled = times if time_step is None else times * 1e-3
        units = rng.integers(0, 5, count)
        recordings.append((scaled, units.tolist() if dtype == "lists" else units.astype(dtype)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events = Events(recordings, time_step=time_step, **SIZE)
    assert len(events) == len(counts)
    found = jax.jit(jax.vmap(lambda i: events[i]))(np.arange(len(counts)))
    for i, recording in enumerate(recordings):
        np.testing.assert_array_equal(np.asarray(found)[i], raster(recording, 8, 5, time_step))
    np.testing.assert_array_equal(events[2], np.asarray(found)[2])


def test_an_edge_in_half_precision_belongs_to_the_step_it_opens():
    """0.014 s is 0.0139999 in half precision, and still where the step from 14 to 16 ms begins."""
    times = np.array([0.014], np.float16)
    assert float(times[0]) < 0.014
    events = Events([(times, [1])], time_step=2.0, **SIZE)
    np.testing.assert_array_equal(np.argwhere(events[0]), [[7, 1]])


def test_many_units_and_steps_do_not_wrap():
    events = Events([([69_999], [70_001])], num_units=70_002, num_steps=70_000)
    small = Events([([254], [255]), ([65_534], [0])], num_units=256, num_steps=65_535)
    assert np.argwhere(np.asarray(small[0])).tolist() == [[254, 255]]
    assert np.argwhere(np.asarray(small[1])).tolist() == [[65_534, 0]]
    assert events._steps.dtype == events._units.dtype == jnp.int32
    assert (int(events._steps[0]), int(events._units[0])) == (69_999, 70_001)


def test_events_are_the_inputs_of_a_task(key):
    rng = np.random.default_rng(0)
    recordings = [(rng.integers(0, 8, 6), rng.integers(0, 5, 6)) for _ in range(20)]
    task = Arrays(Events(recordings, **SIZE), np.arange(20)[:, None].astype(float))
    assert (task.input_size, task.num_steps) == (5, 8)
    trial = eqx.filter_jit(lambda task: task.batch(key, 3, 4))(task)
    for inputs, target in zip(trial.inputs, trial.targets, strict=True):
        np.testing.assert_array_equal(inputs, raster(recordings[int(target[0])], 8, 5))


@pytest.mark.parametrize(
    ("recordings", "options", "error", "message"),
    [
        ([], {}, ValueError, "recordings: expected at least one"),
        ([([0],)], {}, ValueError, r"recordings\[0\]: expected a pair \(times, units\), got 1"),
        ([([0], [0]), ([0, 1], [0])], {}, ValueError, r"recordings\[1\]: expected as many times"),
        ([([0], [5])], {}, ValueError, r"recordings\[0\]: expected units 0 to 4, got 5"),
        ([([0], [-1])], {}, ValueError, r"recordings\[0\]: expected units 0 to 4, got -1"),
        ([([0], [0.5])], {}, TypeError, r"recordings\[0\]: expected units as integers"),
        ([([-1], [0])], {}, ValueError, r"expected finite times from 0 on, got -1"),
        (
            [([np.nan], [0])],
            {"time_step": 1.0},
            ValueError,
            "expected finite times from 0 on, got nan",
        ),
        (
            [([0.001], [0])],
            {},
            TypeError,
            "without time_step, times are integers that number steps",
        ),
        ([([0], [0])], {"time_step": 0.0}, ValueError, "time_step: expected a finite positive"),
        ([([0], [0])], {"num_steps": 0}, ValueError, "num_steps: expected at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(recordings, options, error, message, untyped):
    with pytest.raises(error, match=message):
        Events(recordings, **(SIZE | options))


def test_times_in_another_unit_are_questioned():
    """Where some events are seen; the warning points at the line that made them."""
    with pytest.warns(
        UserWarning, match=r"up to 700; if these are milliseconds, divide them by 1000\."
    ) as told:
        Events([([0.003, 700.0], [0, 1])], time_step=1.0, **SIZE)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match=r"these are microseconds, divide them by 1000000\."):
        Events([([0.003], [0]), ([3e5], [1])], time_step=1.0, **SIZE)


@pytest.mark.parametrize(
    ("times", "time_step", "message"),
    [
        ([300.0, 299.9], 2.0, "up to 300; if these are milliseconds, divide them by 1000"),
        ([3e5], 2.0, "if these are microseconds, divide them by 1000000"),
        (
            [8.0],
            1.0,
            "none within the 8 ms of a raster; if these are milliseconds, divide them by 1000",
        ),
        ([8], None, "the 8 steps of a raster: times number steps, and reach 8"),
    ],
)
def test_rasters_without_one_event_are_refused(times, time_step, message):
    recordings = [(times, [0] * len(times)), ([], [])]
    with pytest.raises(ValueError, match=f"recordings: no event falls into .*{message}"):
        Events(recordings, time_step=time_step, **SIZE)


def test_more_events_than_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 11)
    Events([([0], [0])] * 2, **SIZE)
    with pytest.raises(ValueError, match=r"recordings: 3 events take .* GiB, more than"):
        Events([([0], [0])] * 3, **SIZE)
