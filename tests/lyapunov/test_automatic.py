"""``renormalise_every="auto"``: exponents and gradients of every step, with fewer factorisations."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flossing as fl
from flossing.lyapunov import _automatic
from flossing.lyapunov._basis import Basis
from flossing.lyapunov._propagate import propagate

KEY = jax.random.key(0)


def problem(cell, steps, k=None):
    inputs = jax.random.bernoulli(jax.random.key(1), 0.5, (steps, cell.input_size))
    return cell, cell.initial_state(key=KEY), inputs.astype(jnp.result_type(float)), k


def spectrum_and_gradient(cell, state, inputs, k, every, **options):
    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def value(cell):
        spectrum = fl.lyapunov_spectrum(
            cell, state, inputs, num_exponents=k, renormalise_every=every, key=KEY, **options
        )
        finite = jnp.where(spectrum.lost, 0, spectrum.exponents)
        return jnp.sum(jnp.square(finite)), spectrum

    (_, spectrum), gradient = value(cell)
    return spectrum, gradient


CELLS = {
    "tanh, few directions, one step left over": lambda: problem(fl.TanhCell(1, 8, key=KEY), 136, 3),
    "LIF": lambda: problem(fl.LIFCell(4, 6, input_gain=6.0, key=KEY), 200),
    "LIF without reset": lambda: problem(fl.LIFCell(4, 6, reset="none", key=KEY), 90, 7),
}


@pytest.mark.parametrize(
    "name",
    ["LIF", *(pytest.param(name, marks=pytest.mark.slow) for name in CELLS if name != "LIF")],
)
@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_spectra_and_gradients_are_those_of_every_step(name, x64):
    auto, gradient = spectrum_and_gradient(*CELLS[name](), "auto", state_warmup=5, warmup=9)
    every, exact = spectrum_and_gradient(*CELLS[name](), 1, state_warmup=5, warmup=9)
    np.testing.assert_array_equal(auto.lost, every.lost)
    np.testing.assert_allclose(auto.exponents, every.exponents, atol=1e-10)
    np.testing.assert_allclose(auto.finite_time, every.finite_time, atol=1e-10)
    np.testing.assert_allclose(auto.standard_errors, every.standard_errors, atol=1e-10)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8 * max(1, np.abs(theirs).max()))


def test_blocks_leave_as_few_steps_over_as_they_can():
    assert [_automatic.block_length(steps) for steps in (1, 127, 300, 512)] == [1, 127, 60, 64]
    assert 131 % _automatic.block_length(131) == 1  # what is tested above with a state warm-up of 5
    for steps in range(128, 1000):
        length = _automatic.block_length(steps)
        assert 48 <= length <= 96
        assert steps % length == min(steps % other for other in range(48, 97))


@pytest.mark.slow
def test_hessian_vector_products_are_those_of_every_step(x64):
    cell, state, inputs, _ = problem(fl.TanhCell(1, 5, key=KEY), 130)

    def loss(weight, every):
        moved = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        return fl.flossing_loss(moved, state, inputs, renormalise_every=every, key=KEY)

    weight = cell.recurrent_weight
    direction = jax.random.normal(KEY, weight.shape)
    auto, every = (
        jax.jit(partial(jax.jvp, jax.grad(partial(loss, every=choice))))((weight,), (direction,))[1]
        for choice in ("auto", 1)
    )
    np.testing.assert_allclose(auto, every, atol=1e-8)


def turns(seed, depths):
    """Inputs of ``turning``: two random rotations and a depth for each step."""
    matrices = np.random.default_rng(seed).normal(size=(len(depths), 2, 6, 6))
    return jnp.asarray(np.linalg.qr(matrices)[0], jnp.float32), jnp.asarray(depths, jnp.float32)


def turning(state, input):
    """Flattens space in a random direction: singular values from 1 to exp(-depth)."""
    turn, depth = input
    scales = jnp.exp(-depth * jnp.arange(6) / 5)
    return turn[1] @ (scales * (turn[0] @ state))


@jax.jit
def log_growth(state, inputs):
    basis = Basis.random(KEY, 6, 6, state.dtype)
    edges = [0, 37, 38, 90]
    return propagate(turning, state, basis, inputs, 200, "auto", edges=edges)[2].log_growth


def intervals(depth):
    """Lengths of the intervals between renormalisations, for which there are four edges."""
    logs = np.asarray(log_growth(jnp.ones(6), turns(0, np.full(200, depth))))
    return np.diff(np.flatnonzero(np.abs(logs).max(1) > 0), prepend=-1)


@pytest.mark.slow
def test_a_narrow_spectrum_is_renormalised_rarely_and_a_wide_one_often():
    narrow, wide = intervals(0.02), intervals(4.0)
    for depth, due in ((0.02, False), (4.0, True)):
        start = jnp.ones(6), Basis.random(KEY, 6, 6, jnp.float32), turns(0, np.full(200, depth))
        assert bool(_automatic._every_step_is_due(turning, *start)) == due
    assert len(narrow) < 30
    assert narrow.max() == _automatic.LONGEST
    assert len(wide) == 200


@pytest.mark.slow
def test_edges_are_kept():
    assert {36, 37, 89} <= set(np.cumsum(intervals(0.0)) - 1)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 100),
    calm=st.integers(1, 150),
    depth=st.floats(0.1, 4.0),
)
def test_a_spectrum_that_suddenly_widens_loses_nothing(seed, calm, depth):
    """Calm steps, then steps that flatten space in random directions, in float32.

    Without the guard, 16 steps of a condition number of exp(4) each would leave one direction.
    """
    inputs = turns(seed, np.where(np.arange(220) < calm, 0.0, depth))
    auto, every = (
        fl.lyapunov_spectrum(
            turning, jnp.ones(6), inputs, basis=jnp.eye(6), renormalise_every=choice
        )
        for choice in ("auto", 1)
    )
    assert not auto.lost.any()
    np.testing.assert_allclose(auto.exponents, every.exponents, atol=2e-4)


@pytest.mark.parametrize("depths", [(0.1, 1.0, 4.0), (0.1, 0.2, 0.3)], ids=["wide", "narrow"])
def test_a_batch_has_the_spectra_and_gradients_of_its_members(depths):
    """Some of the batch need more renormalisations than others: all get those of the most needy.

    The last member of the narrow one widens suddenly, so that the guard is needed for it alone.
    """
    members = [np.full(200, depth) for depth in depths]
    members[2][101:] = 4.0
    batch = jax.tree.map(lambda *x: jnp.stack(x), *(turns(3, member) for member in members))
    states = jax.random.normal(KEY, (3, 6))

    def loss(state, inputs, every):
        return fl.flossing_loss(
            turning, state, inputs, num_exponents=3, renormalise_every=every, key=KEY
        )

    def both(every):
        return jax.vmap(jax.value_and_grad(partial(loss, every=every)))

    values, gradients = jax.jit(both("auto"))(states, batch)
    nested, _ = jax.jit(jax.vmap(both("auto")))(*jax.tree.map(lambda x: x[None], (states, batch)))
    np.testing.assert_allclose(nested[0], values, rtol=1e-6)
    expected, slopes = jax.jit(both(1))(states, batch)
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(gradients, slopes, atol=1e-3 * np.abs(slopes).max())


def test_growth_does_not_overflow():
    """A single direction never loses independence, but may grow without bounds."""
    spectrum = fl.lyapunov_spectrum(
        lambda s, _: s, jnp.ones(3), None, num_exponents=1, num_steps=300, key=KEY
    )
    np.testing.assert_allclose(spectrum.exponents, 0, atol=1e-6)

    def explosive(state, _):
        return jnp.tanh(1e3 * state)

    spectrum = fl.lyapunov_spectrum(
        explosive, jnp.zeros(3), None, num_steps=300, num_exponents=2, key=KEY
    )
    np.testing.assert_allclose(spectrum.exponents, np.log(1e3), rtol=1e-5)


@pytest.mark.parametrize(
    "factor", [np.exp(-9), np.exp(-5.4), 1e3], ids=["short", "shorter", "long"]
)
@pytest.mark.parametrize("k", [1, 3])
def test_vectors_do_not_leave_the_range_of_the_numbers(factor, k):
    """Equal exponents never lose independence; 31 calm steps make intervals long before the others."""
    inputs = jnp.where(jnp.arange(100) < 31, 1.0, factor)

    def first(gain):
        spectrum = fl.lyapunov_spectrum(
            lambda s, u: gain * u * s, jnp.zeros(3), inputs,
            num_exponents=k, num_windows=1, renormalise_every="auto", key=KEY,
        )  # fmt: skip
        return jnp.sum(spectrum.exponents)

    value, slope = jax.jit(jax.value_and_grad(first))(1.0)
    np.testing.assert_allclose(value, k * 0.69 * np.log(factor), rtol=1e-5)
    np.testing.assert_allclose(slope, k, rtol=1e-4)
