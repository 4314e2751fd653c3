"""Exponents of errors on their way back, and flossing along them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.experiments.tasks.errors import Window, error_exponents, floss_errors
from flossing.training import Network


def network(units, outputs, *, gain=1.0, cell=None):
    keys = jax.random.split(jax.random.key(0))
    if cell is None:
        cell = fl.TanhSpec(units, gain=gain).build(1, key=keys[0])
    return Network(cell, outputs, key=keys[1])


def jacobians(made, inputs, window):
    """Of the counted steps, and the errors that come from the readout, by dense derivatives."""
    state = made.initial_state
    for step, input in enumerate(inputs):
        if step >= window.state_warmup:
            yield np.asarray(jax.jacfwd(lambda s, u=input: made.cell(s, u))(state), float)
        state = made.cell(state, input)


@pytest.mark.parametrize(
    ("directions", "outputs"),
    [
        (1, 1),
        pytest.param(3, 3, marks=pytest.mark.slow),
        pytest.param(3, 1, marks=pytest.mark.slow),
    ],
)
def test_error_exponents_are_those_of_products_of_transposed_jacobians(directions, outputs):
    made = network(6, outputs)
    window = Window(directions, 12, 5)
    key, input_key = jax.random.split(jax.random.key(1))
    inputs = jax.random.normal(input_key, (17, 1))
    found = error_exponents(made, inputs, window, key=key)
    combinations = jax.random.normal(key, (directions, outputs))
    last = made.initial_state
    for input in inputs:
        last = made.cell(last, input)
    of_output = np.asarray(jax.jacfwd(made.cell.output)(last))
    errors = np.asarray(combinations) @ np.asarray(made.readout_weight) @ of_output
    if directions > outputs:
        more = jax.random.normal(jax.random.fold_in(key, 1), errors.shape)
        errors = np.concatenate([errors[:outputs], more[outputs:]])
    basis = np.linalg.qr(errors.T.astype(float))[0]
    growth = np.zeros(directions)
    for jacobian in reversed(list(jacobians(made, inputs, window))):
        basis, triangle = np.linalg.qr(jacobian.T @ basis)
        growth += np.log(np.abs(np.diag(triangle)))
    np.testing.assert_allclose(found, growth / 12, atol=2e-5)


@pytest.mark.slow
def test_flossing_along_errors_brings_their_exponents_to_zero():
    task = fl.tasks.MatchToSample(10)
    two_inputs = fl.TanhSpec(12, gain=0.5).build(2, key=jax.random.key(0))
    made = network(12, 1, cell=two_inputs)
    changed, seen = floss_errors(made, task, Window(2, 30, 5), 150, key=jax.random.key(2))
    assert np.asarray(seen[:5]).mean() < -0.4
    assert np.abs(np.asarray(seen[-10:]).mean(0)).max() < 0.05
    for name in ("readout_weight", "readout_bias", "initial_state"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(made, name))
    weights = [n.cell.recurrent_weight for n in (changed, made)]  # pyright: ignore
    assert jnp.abs(weights[0] - weights[1]).max() > 0.01
