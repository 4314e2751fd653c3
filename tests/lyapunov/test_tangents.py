"""Which leaves of a state carry perturbations."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clocked import ONLY_HIDDEN, START, N, network, with_clock

import flossing as fl


def alone(state, time):
    """The same network, whose clock is its input."""
    return network(state, None) + 0.1 * jnp.sin(time)


def drive(steps):
    return jnp.arange(steps, dtype=float)


FUNCTIONS = {
    "lyapunov_spectrum": lambda *a, **o: fl.lyapunov_spectrum(*a, **o).exponents,
    "local_exponents": lambda *a, **o: fl.local_exponents(*a, window=4, **o),
    "flossing_loss": partial(fl.flossing_loss, renormalise_every=1),
    "covariant_vectors": lambda *a, **o: fl.covariant_vectors(*a, tail=5, **o).local_exponents,
    "log_singular_values": fl.log_singular_values,
    "condition_number": lambda *a, **o: fl.condition_number(*a, log=True, **o),
    "gradient_norms": fl.gradient_norms,
    "long_term_jacobian": lambda *a, key, **o: fl.long_term_jacobian(*a, **o),
}


@pytest.mark.parametrize(
    "name",
    ["lyapunov_spectrum", "gradient_norms"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in FUNCTIONS
        if name not in ("lyapunov_spectrum", "gradient_norms")
    ],
)
def test_leaves_without_perturbations_move_and_do_not_count(name, key):
    """With the clock and the trace left out, everything is as for the network with its clock as input."""
    expected = FUNCTIONS[name](alone, START["hidden"], drive(20), key=key)
    found = FUNCTIONS[name](with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_final_state_and_loss_have_the_form_of_the_state(key):
    spectrum = fl.lyapunov_spectrum(with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    assert float(spectrum.final_state["clock"]) == 20
    assert spectrum.state_dimension == N
    assert spectrum.final_basis.shape == (N, N)
    norms = fl.gradient_norms(
        with_clock, START, num_steps=3, loss=lambda s: 2 * s["hidden"][0], tangents=ONLY_HIDDEN
    )
    assert float(norms[-1]) == pytest.approx(2)
    modes = fl.covariant_vectors(with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    np.testing.assert_array_equal(modes.states["clock"], np.arange(21))


def test_a_function_of_a_leaf_selects_as_well(key):
    chosen = fl.lyapunov_spectrum(
        with_clock, START, num_steps=20, tangents=lambda x: jnp.ndim(x) == 1, key=key
    )
    assert chosen.state_dimension == 2 * N


def test_several_starts_take_the_same_filter(key):
    starts = jax.tree.map(lambda x: jnp.stack([x, x]), START)
    keys = dict(tangents=ONLY_HIDDEN, num_steps=20, key=key)
    found = fl.flossing_loss(with_clock, starts, num_starts=2, num_exponents=1, warmup=15, **keys)
    one = fl.flossing_loss(with_clock, START, num_exponents=1, warmup=15, **keys)
    assert float(found) == pytest.approx(float(one), rel=1e-2)


def test_filters_that_do_not_fit(key, untyped):
    with pytest.raises(ValueError, match="tangents: expected a filter of the state's leaves"):
        fl.lyapunov_spectrum(with_clock, START, num_steps=5, tangents=(True, False), key=key)


def test_a_warmup_moves_state_and_tangents(x64):
    """After 50 steps that are not counted, a slow map has its exact exponents; without, it is wrong."""
    matrix = jnp.array([[0.5, 3.0], [0.0, 0.25]])
    step = jax.tree_util.Partial(lambda m, x, u: m @ x, matrix)
    key = jax.random.key(4)
    found = fl.lyapunov_spectrum(step, jnp.zeros(2), num_steps=450, warmup=50, key=key)
    np.testing.assert_allclose(found.exponents, np.log([0.5, 0.25]), atol=1e-12)
    state_only = fl.lyapunov_spectrum(step, jnp.zeros(2), num_steps=450, state_warmup=50, key=key)
    assert np.abs(state_only.exponents - np.log([0.5, 0.25])).max() > 1e-3


def test_equinox_modules_are_filtered_by_tree_at(key):
    state = fl.LIFCell(3, 4, key=key).initial_state()
    cell = fl.LIFCell(3, 4, key=key)
    nothing = jax.tree.map(lambda _: False, state)
    chosen = eqx.tree_at(lambda s: s.membrane, nothing, True)
    found = fl.lyapunov_spectrum(
        cell, state, jnp.ones((5, 3)), num_exponents=1, tangents=chosen, key=key
    )
    assert found.state_dimension == 4


def test_errors_of_steps_with_random_keys_in_the_state(key, untyped):
    state = {"h": jnp.ones(N), "key": key}
    with pytest.raises(ValueError, match=r"got, dict\(float32\[5\], key<fry>\[\]\); it returned"):
        fl.lyapunov_spectrum(lambda s, u: s | {"h": s["h"][1:]}, state, num_steps=5, key=key)


def test_a_function_of_a_leaf_selects_in_each_of_several_starts(key):
    starts = jax.tree.map(lambda x: jnp.stack([x, x]), START)
    info = fl.flossing_loss(
        with_clock, starts, num_starts=2, num_steps=9, has_aux=True, key=key,
        tangents=lambda x: jnp.ndim(x) == 0,
    )[1]  # fmt: skip
    np.testing.assert_allclose(info.exponents, [0])
