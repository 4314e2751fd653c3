"""The long-term Jacobian, its singular values and condition number, and gradients through time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl


def stretch(state, factors):
    return factors * state


def matrix_step(state, matrix):
    return matrix @ state


def product(matrices):
    return np.linalg.multi_dot(np.asarray(matrices)[::-1])


def test_long_term_jacobian_is_the_product_of_the_jacobians_of_the_steps(
    network, dense_jacobians, x64
):
    cell, state, inputs = network("lstm")
    expected = product(dense_jacobians(cell, state, inputs))
    found = fl.long_term_jacobian(cell, state, inputs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_long_term_jacobian_multiplies_later_steps_from_the_left(x64):
    matrices = np.random.default_rng(0).normal(size=(3, 2, 2))
    found = fl.long_term_jacobian(matrix_step, jnp.zeros(2), matrices)
    np.testing.assert_allclose(found, matrices[2] @ matrices[1] @ matrices[0], rtol=0, atol=1e-14)


@pytest.fixture
def short():
    """Five random matrices and the logs of the singular values of their product by NumPy."""
    matrices = np.random.default_rng(0).normal(size=(5, 4, 4))
    return matrices, np.log(np.linalg.svd(product(matrices), compute_uv=False))


# The iteration stops when no logarithm moves by 1e-4; with neighbours a factor e^1 apart it converges by
# a factor e^-4 per sweep (forward and back), so what is left is below that.
def test_singular_values_over_a_short_horizon_are_those_of_numpy(short, key, x64):
    matrices, expected = short
    assert np.diff(expected).max() < -1
    found = fl.log_singular_values(matrix_step, jnp.zeros(4), matrices, key=key)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_condition_number_over_a_short_horizon_is_that_of_numpy(short, key, x64):
    matrices, _ = short
    found = fl.condition_number(matrix_step, jnp.zeros(4), matrices, key=key)
    assert float(found) == pytest.approx(np.linalg.cond(product(matrices)), rel=1e-4)


STRETCHES = np.array([0.4, 0.1, -0.05, -0.27])


@pytest.fixture
def long():
    """300 matrices whose product has the singular values ``exp(300 STRETCHES)``."""
    bases = np.linalg.qr(np.random.default_rng(0).normal(size=(301, 4, 4)))[0]
    return np.einsum("tij,j,tkj->tik", bases[1:], np.exp(STRETCHES), bases[:-1])


def test_singular_values_far_beyond_floating_point_range_of_their_ratio_are_found(long, key, x64):
    # Their ratio is e^201, and rounding errors of 1e-16 per step add up to 1e-13 at most.
    found = fl.log_singular_values(matrix_step, jnp.zeros(4), long, key=key)
    np.testing.assert_allclose(found, 300 * STRETCHES, rtol=0, atol=1e-11)


@pytest.mark.slow
def test_singular_values_are_found_in_single_precision(long, key):
    # 300 rounding errors of 6e-8, and sums of size 100 with a relative precision of 6e-8.
    found = fl.log_singular_values(matrix_step, jnp.zeros(4), jnp.asarray(long), key=key)
    np.testing.assert_allclose(found, 300 * STRETCHES, rtol=0, atol=300 * 6e-8 + 100 * 6e-8)


def test_log_condition_number_does_not_overflow(long, key, x64):
    found = fl.condition_number(matrix_step, jnp.zeros(4), long, log=True, key=key)
    assert float(found) == pytest.approx(201, abs=1e-10)


def test_condition_number_of_m_directions_is_that_of_the_first_m_singular_values(short, key, x64):
    matrices, logs = short
    found = fl.condition_number(
        matrix_step, jnp.zeros(4), matrices, num_directions=2, log=True, key=key
    )
    assert float(found) == pytest.approx(logs[0] - logs[1], abs=2e-4)


def test_condition_number_that_overflows_raises_and_names_the_way_out(long, key):
    with pytest.raises(ValueError, match=r"exp\(201.0\) does not fit float32; use log=True"):
        fl.condition_number(matrix_step, jnp.zeros(4), jnp.asarray(long), key=key)


@pytest.mark.parametrize("death", [0, 20, 39])
@pytest.mark.parametrize("leading", [0, 1, 2])
def test_a_killed_direction_leaves_the_other_singular_values_exact(leading, death, key, x64):
    # Until it dies the leading direction, whichever it is, grows and holds the basis.
    factors = np.ones((40, 3)) * np.roll([2.0, 1.0, 0.5], leading)
    factors[death, leading] = 0
    found = fl.log_singular_values(stretch, jnp.zeros(3), factors, key=key)
    np.testing.assert_allclose(found, [0, 40 * np.log(0.5), -np.inf], rtol=0, atol=1e-10)


def test_log_condition_number_of_a_singular_jacobian_is_infinite(key, x64):
    factors = np.ones((40, 3))
    factors[20, 0] = 0
    assert fl.condition_number(stretch, jnp.zeros(3), factors, log=True, key=key) == jnp.inf


def test_jacobian_that_overflows_raises_and_names_the_way_out():
    with pytest.raises(ValueError, match=r"over 400 steps overflows float32.*log_singular_values"):
        fl.long_term_jacobian(stretch, jnp.zeros(2), jnp.full((400, 2), 2.0))


def energy(state):
    return jnp.sum(jnp.sin(state.hidden))


def test_gradient_norms_are_those_of_automatic_differentiation(network, x64):
    cell, state, inputs = network("lstm", steps=5)

    def loss(kicks):
        # A kick before each step and one at the end; their gradients are those of the states.
        now = state
        for kick, input in zip(kicks, inputs, strict=False):
            now = cell(jax.tree.map(jnp.add, now, kick), input)
        return energy(jax.tree.map(jnp.add, now, kicks[-1]))

    gradients = jax.jit(jax.grad(loss))([fl.LSTMState(jnp.zeros(4), jnp.zeros(4))] * 6)
    expected = [np.linalg.norm(jnp.stack(gradient)) for gradient in gradients]
    found = fl.gradient_norms(cell, state, inputs, loss=energy)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gradient_norms_without_a_loss_start_from_a_unit_vector_at_the_end(key, x64):
    factors = np.array([[2.0, 2.0], [3.0, 3.0], [0.5, 0.5]])
    found = fl.gradient_norms(stretch, jnp.zeros(2), factors, key=key)
    np.testing.assert_allclose(found, [3.0, 1.5, 0.5, 1.0], rtol=1e-14)


def test_log_gradient_norms_do_not_underflow(key):
    # 0.1^500 is far below single precision; 500 sums of size 1000 cost 500 x 6e-8 x 1000 at worst.
    found = fl.gradient_norms(stretch, jnp.zeros(2), jnp.full((500, 2), 0.1), log=True, key=key)
    np.testing.assert_allclose(found, np.arange(-500, 1) * np.log(10), rtol=0, atol=0.04)


def test_a_loss_that_ignores_the_state_has_norm_zero_everywhere():
    found = fl.gradient_norms(
        stretch, jnp.ones(2), jnp.ones((3, 2)), loss=lambda state: 0.0 * state.sum()
    )
    np.testing.assert_array_equal(found, 0)


def test_gradient_that_becomes_nan_raises_and_names_the_time():
    # The square root has no finite derivative at 0, where the third step takes it of a constant 0.
    def step(state, on):
        return jax.lax.cond(on, lambda x: jnp.sqrt(0 * x), lambda x: x, state)

    with pytest.raises(ValueError, match="gradient is NaN at time 2 and before"):
        fl.gradient_norms(step, jnp.ones(2), jnp.arange(5) == 2, loss=jnp.sum)
