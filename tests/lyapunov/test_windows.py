"""Finite-time exponents and standard errors: what is counted, over how many steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl


def stretch(state, factors):
    return factors * state


def matrix_step(state, matrix):
    return matrix @ state


@pytest.mark.parametrize(("steps", "every", "windows"), [(50, 3, 4), (7, 9, 3)])
def test_weighted_mean_of_the_windows_is_the_exponents(steps, every, windows, key, x64):
    matrices = np.random.default_rng(1).normal(size=(steps, 3, 3))
    spectrum = fl.lyapunov_spectrum(
        matrix_step, jnp.zeros(3), matrices, renormalise_every=every, num_windows=windows, key=key
    )
    mean = np.average(spectrum.finite_time, axis=0, weights=spectrum.window_steps)
    np.testing.assert_allclose(mean, spectrum.exponents, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("steps", "every", "windows", "expected"),
    [(10, 1, 5, (2,) * 5), (11, 1, 2, (6, 5)), (11, 4, 3, (4, 4, 3)), (5, 1, 10, (1,) * 5)],
)
def test_windows_are_of_equal_length_as_far_as_intervals_allow(
    steps, every, windows, expected, key
):
    def window_steps():
        spectrum = fl.lyapunov_spectrum(
            stretch, jnp.zeros(2), jnp.ones((steps, 2)),
            renormalise_every=every, num_windows=windows, key=key,
        )  # fmt: skip
        lengths.append(spectrum.window_steps)
        return spectrum.exponents

    lengths = []
    jax.eval_shape(window_steps)
    assert lengths == [expected]


@pytest.mark.parametrize(("steps", "every"), [(11, 2), pytest.param(11, 4, marks=pytest.mark.slow)])
def test_local_exponents_are_means_over_windows_of_the_given_length(steps, every, x64):
    factors = np.random.default_rng(1).lognormal(size=(steps, 2))
    local = fl.local_exponents(
        stretch, jnp.zeros(2), factors, window=4, renormalise_every=every, basis=jnp.eye(2)
    )
    logs = np.log(factors)
    expected = [logs[start : start + 4].mean(0) for start in range(0, steps, 4)]
    np.testing.assert_allclose(local, expected, rtol=0, atol=1e-13)


def test_local_exponents_leave_the_warmup_out(x64):
    factors = np.random.default_rng(1).lognormal(size=(9, 2))
    local = fl.local_exponents(
        stretch, jnp.zeros(2), factors, state_warmup=2, warmup=3, basis=jnp.eye(2)
    )
    np.testing.assert_allclose(local, np.log(factors[5:]), rtol=0, atol=1e-13)


def test_standard_errors_are_as_large_as_the_spread_over_independent_runs(key, x64):
    # The spread of 100 runs is itself known to 7 %, the mean standard error to about 3 %.
    factors = jax.random.normal(jax.random.key(1), (100, 200, 1, 1))

    def run(inputs):
        return fl.lyapunov_spectrum(matrix_step, jnp.zeros(1), inputs, key=key)

    spectra = jax.jit(jax.vmap(run))(factors)
    ratio = jnp.sqrt(jnp.mean(spectra.standard_errors**2)) / jnp.std(spectra.exponents)
    assert 1 / 1.5 < ratio < 1.5


def test_standard_error_of_equal_windows_is_that_of_their_mean(key, x64):
    matrices = np.random.default_rng(1).normal(size=(50, 3, 3))
    spectrum = fl.lyapunov_spectrum(matrix_step, jnp.zeros(3), matrices, key=key)
    expected = np.std(spectrum.finite_time, axis=0, ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(spectrum.standard_errors, expected, rtol=1e-12)


def test_one_window_has_no_finite_standard_error(key):
    spectrum = fl.lyapunov_spectrum(
        stretch, jnp.zeros(2), jnp.ones((10, 2)), num_windows=1, key=key
    )
    assert np.all(np.isinf(spectrum.standard_errors))


@pytest.mark.parametrize("quantity", ["exponents", "finite_time", "standard_errors"])
def test_a_time_step_turns_rates_per_step_into_rates_per_unit_time(quantity, key, x64):
    matrices = np.random.default_rng(1).normal(size=(50, 3, 3))
    per_step = fl.lyapunov_spectrum(matrix_step, jnp.zeros(3), matrices, key=key)
    per_time = fl.lyapunov_spectrum(matrix_step, jnp.zeros(3), matrices, time_step=0.1, key=key)
    np.testing.assert_allclose(
        getattr(per_time, quantity), getattr(per_step, quantity) / 0.1, rtol=1e-12
    )


def test_exponents_are_labelled_per_step_without_a_time_step(key):
    spectrum = fl.lyapunov_spectrum(
        stretch, jnp.zeros(2), jnp.ones((10, 2)), num_windows=1, key=key
    )
    assert spectrum.unit == "nats per step"


def test_number_of_counted_steps_leaves_the_warmups_out(key):
    spectrum = jax.eval_shape(
        lambda: fl.lyapunov_spectrum(
            stretch, jnp.zeros(2), jnp.ones((10, 2)), state_warmup=2, warmup=3, key=key
        )
    )
    assert spectrum.num_steps == 5


def test_standard_errors_are_constants_for_derivatives():
    """They would double with the exponents; that of the second direction is zero."""
    factors = jnp.stack([jnp.linspace(0.5, 1.5, 12), jnp.full(12, 0.5)], 1)

    def total(power):
        spectrum = fl.lyapunov_spectrum(
            lambda x, u: u**power * x, jnp.zeros(2), factors, num_windows=4, basis=jnp.eye(2)
        )
        return jnp.sum(spectrum.standard_errors) + jnp.sum(spectrum.exponents)

    expected = np.log(np.asarray(factors)).mean(0).sum()
    assert float(jax.jit(jax.grad(total))(1.0)) == pytest.approx(expected, rel=1e-5)
