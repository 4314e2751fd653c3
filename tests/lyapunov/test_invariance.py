"""What exponents do not depend on: basis, number, interval, batch, chunks, layout, kind of step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

STEPS = 50


@pytest.fixture
def driven(network, x64):
    """A GRU with inputs, and a start basis of all its directions."""
    cell, state, inputs = network("gru", STEPS)
    basis = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (4, 4)))[0]
    return cell, state, inputs, basis


@pytest.fixture
def full(driven):
    """The full spectrum of the driven GRU."""
    cell, state, inputs, basis = driven
    return fl.lyapunov_spectrum(cell, state, inputs, basis=basis)


def test_k_exponents_are_the_first_k_of_all(driven, full):
    cell, state, inputs, basis = driven
    few = fl.lyapunov_spectrum(cell, state, inputs, basis=basis[:, :2])
    np.testing.assert_allclose(few.exponents, full.exponents[:2], rtol=0, atol=1e-12)


def test_only_the_span_of_each_start_column_with_those_before_it_matters(driven, full):
    cell, state, inputs, basis = driven
    skewed = basis @ jnp.triu(jnp.arange(1.0, 17.0).reshape(4, 4))
    other = fl.lyapunov_spectrum(cell, state, inputs, basis=skewed)
    np.testing.assert_allclose(other.exponents, full.exponents, rtol=0, atol=1e-12)


def henon(state, input):
    x, y = state
    return jnp.array([1 - 1.4 * x**2 + y, 0.3 * x])


def test_start_basis_is_forgotten_in_the_basis_warmup(x64):
    # Tangents align like exp(-(.42 + 1.62) t): to 1e-16 within 20 steps.
    first, second = (
        fl.lyapunov_spectrum(
            henon, jnp.array([0.1, 0.1]), num_steps=100, warmup=60, key=jax.random.key(seed)
        )
        for seed in (0, 1)
    )
    np.testing.assert_allclose(first.exponents, second.exponents, rtol=0, atol=1e-12)


def test_exponents_do_not_depend_on_the_renormalisation_interval(driven, full):
    # 50 steps leave a remainder of 2.
    cell, state, inputs, basis = driven
    other = fl.lyapunov_spectrum(cell, state, inputs, basis=basis, renormalise_every=3)
    np.testing.assert_allclose(other.exponents, full.exponents, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_batch_has_the_exponents_of_its_single_trajectories(driven):
    cell, _, inputs, basis = driven
    states = jax.vmap(lambda key: cell.initial_state(key=key))(
        jax.random.split(jax.random.key(5), 3)
    )

    @jax.jit
    def one(state):
        return fl.lyapunov_spectrum(cell, state, inputs, basis=basis, renormalise_every=1).exponents

    np.testing.assert_allclose(
        jax.vmap(one)(states), np.stack([one(state) for state in states]), rtol=0, atol=1e-12
    )


def test_two_chunks_continue_to_one_run(driven, full):
    cell, state, inputs, basis = driven
    early = fl.lyapunov_spectrum(cell, state, inputs[:25], basis=basis)
    late = fl.lyapunov_spectrum(cell, early.final_state, inputs[25:], basis=early.final_basis)
    combined = (early.exponents + late.exponents) / 2
    np.testing.assert_allclose(combined, full.exponents, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        jnp.abs(late.final_basis), jnp.abs(full.final_basis), rtol=0, atol=1e-10
    )


def test_final_basis_is_orthonormal(full):
    gram = full.final_basis.T @ full.final_basis
    np.testing.assert_allclose(gram, np.eye(4), rtol=0, atol=1e-14)


def test_final_state_is_that_of_the_step_run_by_hand(driven, full):
    cell, state, inputs, _ = driven
    for input in inputs:
        state = cell(state, input)
    np.testing.assert_allclose(full.final_state, state, rtol=0, atol=1e-14)


def test_layout_of_the_state_does_not_matter(driven, full):
    # A dict is flattened in the order of its keys: here the second half of the state comes first.
    cell, state, inputs, basis = driven

    def step(state, input):
        new = cell(jnp.concatenate([state["z"], state["a"][0]]), input)
        return {"z": new[:2], "a": (new[2:],)}

    nested = {"z": state[:2], "a": (state[2:],)}
    other = fl.lyapunov_spectrum(step, nested, inputs, basis=basis[jnp.array([2, 3, 0, 1])])
    np.testing.assert_allclose(other.exponents, full.exponents, rtol=0, atol=1e-12)


def test_integers_in_the_state_count_along_without_being_directions(driven, full):
    cell, state, inputs, basis = driven

    def step(state, _):
        count, rates = state
        return count + 1, cell(rates, inputs[count])

    counted = fl.lyapunov_spectrum(step, (0, state), num_steps=STEPS, basis=basis)
    np.testing.assert_allclose(counted.exponents, full.exponents, rtol=0, atol=1e-12)
    assert int(counted.final_state[0]) == STEPS


def test_an_equinox_gru_through_a_one_line_adapter_has_the_exponents_of_ours(driven, full):
    cell, state, inputs, basis = driven
    theirs = eqx.tree_at(
        lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n),
        eqx.nn.GRUCell(2, 4, key=jax.random.key(0)),
        (cell.input_weight, cell.recurrent_weight, cell.bias, cell.recurrent_bias),
    )
    other = fl.lyapunov_spectrum(lambda h, u: theirs(u, h), state, inputs, basis=basis)
    np.testing.assert_allclose(other.exponents, full.exponents, rtol=0, atol=1e-12)


def test_warmup_is_running_the_state_first(driven):
    cell, state, inputs, basis = driven
    warmed = fl.lyapunov_spectrum(
        cell, state, inputs, state_warmup=25, basis=basis, detach_warmup=True
    )
    for input in inputs[:25]:
        state = cell(state, input)
    by_hand = fl.lyapunov_spectrum(cell, state, inputs[25:], basis=basis)
    np.testing.assert_allclose(warmed.exponents, by_hand.exponents, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("every", "detach"),  # 3 does not divide the warm-up
    [(1, False), (3, True), ("auto", False)],
)
def test_basis_warmup_is_running_the_basis_first(every, detach, driven):
    cell, state, inputs, basis = driven
    warmed = fl.lyapunov_spectrum(
        cell, state, inputs, warmup=25, basis=basis,
        renormalise_every=every, detach_warmup=detach,
    )  # fmt: skip
    early = fl.lyapunov_spectrum(cell, state, inputs[:25], basis=basis)
    late = fl.lyapunov_spectrum(cell, early.final_state, inputs[25:], basis=early.final_basis)
    np.testing.assert_allclose(warmed.exponents, late.exponents, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_single_precision_agrees_with_double(driven, full):
    # 50 steps with rounding errors of 6e-8 each, over which the state forgets and does not amplify.
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_array(x) else x, driven)
    cell, state, inputs, basis = single
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, basis=basis)
    assert spectrum.exponents.dtype == jnp.float32
    np.testing.assert_allclose(spectrum.exponents, full.exponents, rtol=0, atol=1e-5)
