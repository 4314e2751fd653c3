"""Cells and start weights of binary-xor."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.experiments.binary.cells import (
    LineInputs,
    LinesSpec,
    MembraneCell,
    MembraneSpec,
    ShortcutRing,
)
from flossing.initialisers import Ring

N = 400


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


@pytest.fixture
def bits():
    return jax.random.bernoulli(jax.random.key(1), 0.5, (20, 1)).astype(float)


@pytest.mark.slow
def test_a_readout_sees_the_membranes_of_the_same_network(key, bits, x64):
    plain = fl.BinaryCell(1, 8, centred=True, key=key)
    open_ = MembraneCell(1, 8, centred_inputs=True, key=key)
    state = jax.random.normal(key, (8,))
    np.testing.assert_array_equal(open_(state, bits[0]), plain(state, bits[0]))
    np.testing.assert_array_equal(open_.output(state), state)
    np.testing.assert_array_equal(open_.activity(state), plain.output(state))


def test_inputs_may_stay_as_they_are_where_activity_is_centred(key, x64):
    both = MembraneCell(3, 8, centred_inputs=True, key=key)
    activity = MembraneCell(3, 8, key=key)
    state, input = jax.random.normal(key, (8,)), jax.random.normal(key, (3,))
    np.testing.assert_allclose(activity(state, input), both(state, input + 0.5), rtol=1e-12)


@pytest.mark.slow
def test_specifications_make_the_networks_of_their_settings(key):
    (layer_key,) = jax.random.split(key, 1)
    made = MembraneSpec(8, recurrent="ring", gain=0.6, input_gain=0.36, sharpness=2.0).build(
        1, key=key
    )
    expected = MembraneCell(
        1,
        8,
        recurrent=Ring(0.6),
        input_gain=0.36,
        surrogate=fl.surrogates.SuperSpike(2.0),
        key=layer_key,
    )
    assert jax.tree.all(jax.tree.map(jnp.array_equal, made, expected))
    assert MembraneSpec(16).readout_std == 0.25
    lines = LinesSpec(8, lines=2, line_start=2.0, gain=0.5, bias_range=0.01).build(1, key=key)
    np.testing.assert_allclose(jnp.abs(lines.input_weight[jnp.array([0, 4]), 0]), 1.0)
    assert 0 < float(lines.bias.max()) <= 0.01
    assert lines.centred_inputs


def test_units_of_a_line_hold_bits_to_the_start_of_the_next(key, bits):
    cell = LinesSpec(
        8, gain=0.5, shortcuts=0.0, lines=2, line_start=1.3, input_gain=0.1, bias_range=0.01
    )
    cell = cell.build(1, key=key)
    states = [cell.initial_state()]
    for bit in bits:
        states.append(cell(states[-1], bit))
    signs = np.sign(cell.input_weight[:, 0])
    for first in (0, 4):
        for lag in range(
            4
        ):  # A unit that is lag steps down the line holds the bit of lag steps ago.
            unit = [float(state[first + lag]) > 0 for state in states[8:]]
            then = (bits[7 - lag : 20 - lag, 0] > 0.5) == (signs[first] > 0)
            np.testing.assert_array_equal(unit, then)


def test_shortcuts_of_a_ring_have_their_density_and_size_and_leave_the_ring(key):
    matrix = np.asarray(ShortcutRing(0.7, shortcuts=0.2, density=0.4)(key, N))
    ring = np.roll(np.eye(N), 1, axis=0) > 0
    np.testing.assert_allclose(matrix[ring], 0.7, rtol=1e-6)
    others = matrix[~ring]
    share = (others != 0).mean()  # of N^2 entries, each there or not
    np.testing.assert_allclose(share, 0.4, rtol=0, atol=5 * np.sqrt(0.4 * 0.6) / N)
    # The variance of n normal numbers has the relative standard deviation sqrt(2 / n).
    entries = others[others != 0]
    np.testing.assert_allclose(
        entries.var(), 0.2**2 / (0.4 * N), rtol=5 * np.sqrt(2 / entries.size)
    )


def test_line_inputs_start_lines_of_equal_length(key):
    weight = np.asarray(LineInputs(5, start=0.65, others=0.15)(key, N, 1))[:, 0]
    starts = np.arange(5) * N // 5
    np.testing.assert_allclose(np.abs(weight[starts]), 0.65, rtol=1e-6)
    others = np.delete(weight, starts)
    assert np.abs(others).max() <= np.sqrt(3) * 0.15
    # Of n uniform numbers; their fourth moment is 9/5 of the squared second one.
    deviation = np.sqrt(0.8 / others.size)
    np.testing.assert_allclose(others.var(), 0.15**2, rtol=5 * deviation)
    np.testing.assert_allclose(others.mean(), 0, atol=5 * 0.15 / np.sqrt(others.size))


def test_line_inputs_have_random_signs_and_are_shared_among_inputs(key):
    weight = np.asarray(LineInputs(N, start=0.6, others=0.0)(key, N, 3))
    np.testing.assert_allclose(np.abs(weight), 0.2, rtol=1e-6)
    # A fair coin, 3 N times.
    assert abs((weight > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(3 * N)


def test_lines_that_do_not_divide_the_units_differ_by_one_in_length(key):
    weight = np.asarray(LineInputs(3, start=1.0, others=0.0)(key, 10, 1))[:, 0]
    np.testing.assert_array_equal(np.flatnonzero(weight), [0, 3, 7])


def test_line_inputs_refuse_more_lines_than_units(key):
    with raises(ValueError, "lines: expected at most 4, got 5."):
        LineInputs(5, 1.0, 0.1)(key, 4, 1)
    with raises(ValueError, "lines: expected at least 1, got 0."):
        LineInputs(0, 1.0, 0.1)
    with raises(ValueError, "lines: expected at most 4, got 5."):
        LinesSpec(4, lines=5)
