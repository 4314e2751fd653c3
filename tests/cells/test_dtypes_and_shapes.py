"""Numbers of any kind and trials of any length: right, or refused by name."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import CELLS, UNITS, close, over, raises
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from jax.flatten_util import ravel_pytree

import flossing as fl
from flossing.cells import LeakyReadout, LIFState, ReadoutState
from flossing.escape_noise import Noisy, SigmoidNoise, with_noise

few = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
KEY = jax.random.key(0)
MAKE = {
    **{name: functools.partial(make, 3, UNITS) for name, make in CELLS.items()},
    "binary, centred": functools.partial(fl.BinaryCell, 3, UNITS, centred=True),
    "lif, feedforward": functools.partial(fl.LIFCell, 3, UNITS, feedforward_only=True),
    "convolution": functools.partial(fl.ConvLIFCell, 3, 1, 2, 1, recurrent_kernel_size=1),
    "windows": functools.partial(fl.ConvLIFCell, 3, 1, 1, 3, padding="same", input_gain=9.0),
    "readout": functools.partial(LeakyReadout, 3, 2),
}
# Cells that take their inputs in a way of their own, and one of those that share theirs.
OWN = [
    "tanh, leaky", "linear", "lif, adaptive", "integrate and fire", "convolution", "windows", "readout"
]  # fmt: skip


def cases(*of_own, of_all):
    """Of each cell one case, and of those that take inputs in a way of their own the others as well."""
    return [
        (name, case) for name in MAKE for case in (of_all, *of_own) if case == of_all or name in OWN
    ]


@functools.cache
def built(name):
    with jax.enable_x64(True):
        return MAKE[name](key=jax.random.key(0))


def by_hand(cell, inputs):
    """Outputs of one step after the other, from inputs in double precision."""
    state, outputs = cell.initial_state(), []
    for input in np.asarray(inputs, float):
        state = cell(state, jnp.asarray(input))
        outputs.append(cell.output(state))
    return np.asarray(outputs).reshape(len(inputs), cell.hidden_size)


SPIKES = np.random.default_rng(0).random((6, 3)) < 0.6


@functools.cache
def of_spikes(name):
    return by_hand(built(name), SPIKES)


@pytest.mark.slow
@over(("name", "dtype"), cases(bool, np.float16, list, of_all=np.uint8))
def test_spikes_of_any_dtype_are_spikes(name, dtype, untyped):
    cell, spikes, expected = built(name), SPIKES, of_spikes(name)
    given = spikes.astype(int).tolist() if dtype is list else spikes.astype(dtype)
    for form in (given,) if dtype is list else (given, jnp.asarray(given)):
        found = cell.over_time(form)
        assert found.dtype == jnp.float64
        close(found, expected)
        state = cell.initial_state()
        for input in form:
            state = cell(state, input)
        assert all(x.dtype == jnp.float64 for x in jax.tree.leaves(state))
        close(cell.output(state), expected[-1])


@pytest.mark.slow
@over("name", ["tanh, leaky", "lif, adaptive", "windows", "readout"])
@given(counts=arrays(np.uint8, (4, 3), elements=st.integers(0, 255)))
@few
def test_counts_do_not_overflow(name, counts, untyped):
    close(built(name).over_time(counts), by_hand(built(name), counts), 1e-11)


def test_large_integers_are_not_cut(untyped):
    with jax.enable_x64(False):
        readout = LeakyReadout(1, 1, key=KEY)
        large = np.asarray([[2**40]])
        found, expected = readout.over_time(large), readout.over_time(large.astype(float))
        np.testing.assert_array_equal(found, expected)
        assert jnp.abs(found) > 1e6


@pytest.mark.slow
@over(("name", "shape"), cases((0,), (0, 2, 0), (1,), (1, 2), (1, 2, 0), of_all=(0, 2)))
def test_trials_without_steps_and_no_trials(name, shape):
    cell, steps, trials = built(name), shape[0], shape[1:]
    inputs = np.ones((*shape, 3))
    found = cell.over_time(jnp.asarray(inputs))
    assert found.shape == (*shape, cell.hidden_size)
    assert found.dtype == jnp.float64
    expected = by_hand(cell, np.ones((steps, 3)))
    for trial in np.ndindex(trials):
        close(found[(slice(None), *trial)], expected)


@pytest.mark.slow
@over(("steps", "trials"), [(0, (2,)), (3, ()), (3, (0,)), (3, (2,))])
def test_stochastic_trials_have_noise_of_their_own(steps, trials, key):
    layer = fl.LIFCell(3, 4, escape=SigmoidNoise(0.1), key=key)
    binary = fl.BinaryCell(3, 4, escape=SigmoidNoise(0.1), key=key)
    for cell in (layer, binary, fl.Stack([layer, fl.TanhCell(4, 2, key=key)])):
        inputs = with_noise(cell, jnp.ones((steps, *trials, 3)), key=key)
        assert inputs.uniform.shape == (steps, *trials, 4)
        assert cell.over_time(inputs).shape == (steps, *trials, cell.hidden_size)
        if trials == (2,) and steps:
            assert (inputs.uniform[:, 0] != inputs.uniform[:, 1]).all()


def test_inputs_that_are_no_numbers_are_refused(untyped):
    expected = "inputs: expected an array of real numbers, got "
    for name in MAKE:
        with raises(TypeError, expected + "rows that diff"):
            built(name).over_time([[1.0, 0.0, 0.0], [1.0]])
    for inputs, kind in (
        (np.ones((2, 3), complex), "complex128"),
        (np.full((2, 3), "1"), "<U1"),
        (None, "object"),
    ):
        with raises(TypeError, expected + f"dtype {kind}"):
            built("lif").over_time(inputs)


@pytest.mark.slow
@over("name", ["tanh, leaky", "lif", "readout", "lstm"])
def test_start_states_are_checked(name, untyped):
    cell = built(name)
    inputs, state = jnp.ones((2, 3)), cell.initial_state()
    expected = cell.over_time(inputs)
    integers = jax.tree.map(lambda x: x.astype(int), state)
    close(cell.over_time(inputs, integers), expected)
    first = {"tanh, leaky": "state", "lstm": "state.hidden"}.get(name, "state.membrane")
    size = cell.hidden_size
    with raises(ValueError, f"{first}: expected shape (7, {size}), got ({size},)."):
        cell.over_time(jnp.ones((2, 7, 3)), state)
    with raises(TypeError, f"{first}: expected an array of real numbers, got dtype complex128."):
        cell.over_time(inputs, jax.tree.map(lambda x: x + 0j, state))
    with raises(TypeError, "state: expected one like initial_state(), "):
        cell.over_time(inputs, [state, state])


def test_states_of_one_step_are_checked(key, untyped):
    cell = fl.LIFCell(3, 2, threshold=0.3, key=key)
    zeros = jnp.zeros(2)
    with raises(TypeError, "state.membrane: expected an array of real numbers, got list."):
        cell(LIFState([0.0, 0.0], zeros), jnp.ones(3))  # pyright: ignore
    with raises(TypeError, "state.synapse: expected an array of real numbers, got complex128."):
        cell(LIFState(zeros, zeros + 0j), jnp.ones(3))
    stack = fl.Stack([cell])
    for state in (cell.initial_state(), ReadoutState(zeros, zeros)):
        with raises(ValueError, "state: expected one entry for each of 1 layers, got "):
            stack.over_time(jnp.ones((2, 3)), state)


def test_a_membrane_of_integers_meets_the_whole_threshold(key):
    cell = fl.LIFCell(1, 3, threshold=0.3, key=key)
    for dtype in (int, bool, float):
        state = LIFState(jnp.asarray([0, 1, 0], dtype), jnp.zeros(3))
        np.testing.assert_array_equal(cell.output(state), [0, 1, 0])


@pytest.mark.slow
@over("wide", ["inputs", "state"])
def test_a_cell_of_single_precision_runs_beside_double(wide, key):
    """Values of the other precision neither stop a scan nor change what comes out."""
    for make in (fl.TanhCell, fl.GRUCell, fl.LIFCell, fl.BinaryCell, LeakyReadout):
        with jax.enable_x64(False):
            cell = make(3, 4, key=jax.random.key(0))
        inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        expected = cell.over_time(jnp.asarray(inputs))
        state = cell.initial_state()
        if wide == "inputs":
            found = cell.over_time(jnp.asarray(inputs, float))
        else:
            found = cell.over_time(
                jnp.asarray(inputs), jax.tree.map(lambda x: x.astype(float), state)
            )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@over("name", ["tanh, leaky", "gru", "lstm", "lif, adaptive", "readout"])
def test_a_start_of_lower_precision_is_the_same_number(name):
    cell = built(name)
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)))
    start = jax.tree.map(lambda x: x + 0.25, cell.initial_state())
    lower = jax.tree.map(lambda x: x.astype(jnp.float16), start)
    close(cell.over_time(inputs, lower), cell.over_time(inputs, start))


@over(
    ("uniform", "error", "message"),
    [
        (jnp.ones((5, 4), int), TypeError, "input.uniform: expected an array of floating-point"),
        ([[0.1] * 4] * 5, TypeError, "input.uniform: expected an array of floating-point"),
        (jnp.ones((5, 3)), ValueError, "input.uniform: expected 4 numbers per step, got 3."),
        (jnp.ones((6, 4)), ValueError, "input.uniform: expected shape (5, 4) for inputs of shap"),
        (
            jnp.ones(4),
            ValueError,
            "input.uniform: expected shape (5, 4) for inputs of shape (5, 2)",
        ),
    ],
)
def test_uniform_numbers_are_checked(uniform, error, message, key, untyped):
    cell = fl.LIFCell(2, 4, escape=SigmoidNoise(), key=key)
    with raises(error, message):
        cell.over_time(Noisy(jnp.ones((5, 2)), uniform))


def test_uniform_numbers_stay_below_one_in_a_lower_precision(key):
    """A neuron that fires with certainty does so whatever number came."""
    with jax.enable_x64(False):
        cell = fl.LIFCell(1, 1, escape=SigmoidNoise(1e3), threshold=1e-3, key=key)
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.full((1, 1), 99.0, jnp.float32))
    inputs = Noisy(jnp.ones((1, 1)), jnp.full((1, 1), 1 - 1e-12))
    np.testing.assert_array_equal(cell.over_time(inputs), [[1.0]])


def test_a_state_of_double_precision_keeps_the_noise_of_a_cell_of_single(key):
    with jax.enable_x64(False):
        cell = fl.LIFCell(1, 2, escape=SigmoidNoise(1.0), key=key)
        state = cell.initial_state()
    wide = state._replace(membrane=jnp.asarray([-50.0, 50.0]), synapse=jnp.zeros(2))
    wide = wide._replace(noise=jnp.asarray([0.25, 0.25], jnp.float32).view(jnp.int32))
    np.testing.assert_array_equal(cell.output(wide), [0.0, 1.0])
    assert ravel_pytree(cell.output(wide))[0].dtype == float


def test_convolutions_of_lists_and_integers(key, untyped):
    for length in (3, 40):
        convolution = fl.cells.Convolution(length, 1, 2, 3, key=key)
        counts = np.arange(length) * 60 % 256
        expected = np.asarray(counts, float) @ np.asarray(convolution.matrix())
        for form in (counts.astype(np.uint8), counts.tolist(), jnp.asarray(counts, jnp.uint8)):
            close(convolution(form), expected)
