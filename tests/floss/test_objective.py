"""The flossing loss is the mean squared distance of the right exponents from the right targets."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.surrogates import Boxcar, NoSecondDerivativeWarning, StraightThrough, SuperSpike


def diagonal(rates):
    """A map whose exponents are exactly ``rates``."""
    return lambda x, u: jnp.exp(jnp.asarray(rates)) * x


def loss_of(rates, **settings):
    # The basis of unit vectors stays put, so finite-time exponents are exact; the warm-up turns a random one.
    return float(
        fl.flossing_loss(
            diagonal(rates),
            jnp.zeros(len(rates)),
            num_steps=400,
            warmup=300,
            key=jax.random.key(0),
            **settings,
        )
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0.5**2 + 0.2**2 + 1.0**2) / 3),
        ({"num_exponents": 2}, (0.5**2 + 0.2**2) / 2),
        ({"targets": -0.1}, (0.6**2 + 0.1**2 + 0.9**2) / 3),
        ({"targets": [0.5, -0.2, -1.0]}, 0.0),
        ({"which": [0, 2]}, (0.5**2 + 1.0**2) / 2),
        ({"penalty": "above"}, 0.5**2 / 3),
        ({"penalty": "below"}, (0.2**2 + 1.0**2) / 3),
        ({"penalty": "above", "targets": -0.5, "num_exponents": 2}, (1.0**2 + 0.3**2) / 2),
    ],
)
def test_targets_choice_and_penalty(settings, expected, x64):
    assert loss_of([0.5, -0.2, -1.0], **settings) == pytest.approx(expected, abs=1e-12)


def test_several_starts_average_exponents_before_the_square(key, x64):
    """One factor per trajectory: exponents ln 2 and -ln 2 average to zero, their squares would not."""
    inputs = jnp.log(jnp.stack([jnp.full((5, 1), 2.0), jnp.full((5, 1), 0.5)]))
    loss, info = fl.flossing_loss(
        lambda x, u: jnp.exp(u) * x,
        jnp.zeros((2, 1)),
        inputs,
        num_starts=2,
        key=key,
        has_aux=True,
    )
    assert float(loss) == pytest.approx(0, abs=1e-20)
    assert float(info.exponents[0]) == pytest.approx(0, abs=1e-12)
    assert int(info.num_lost) == 0


def test_one_start_equals_none(key):
    cell = fl.TanhCell(1, 8, key=key)
    inputs = jax.random.normal(key, (30, 1))
    plain = fl.flossing_loss(cell, cell.initial_state(), inputs, num_exponents=4, key=key)
    one = fl.flossing_loss(
        cell, cell.initial_state()[None], inputs[None], num_exponents=4, num_starts=1, key=key
    )
    assert float(plain) == float(one)


def test_it_is_the_square_of_the_spectrum(key, x64):
    cell = fl.GRUCell(2, 6, key=key)
    inputs = jax.random.normal(key, (40, 2))
    settings = dict(num_exponents=4, warmup=10, renormalise_every=3, key=key)
    loss = fl.flossing_loss(cell, cell.initial_state(), inputs, **settings)
    spectrum = fl.lyapunov_spectrum(cell, cell.initial_state(), inputs, **settings)
    assert float(loss) == pytest.approx(float(jnp.mean(spectrum.exponents**2)), rel=1e-12)


def test_lost_directions_are_left_out_and_gradients_stay_finite(key, x64):
    def step(x, u, rate):
        return jnp.array([jnp.exp(rate), jnp.exp(-0.4), 0.0]) * x

    def loss(rate):
        return fl.flossing_loss(
            lambda x, u: step(x, u, rate), jnp.ones(3), num_steps=300, warmup=200, key=key
        )

    value, slope = jax.value_and_grad(loss)(-0.2)
    assert float(value) == pytest.approx((0.2**2 + 0.4**2) / 2, abs=1e-12)
    assert float(slope) == pytest.approx(2 * -0.2 / 2, abs=1e-9)


@pytest.mark.parametrize("surrogate", [Boxcar(1.0), StraightThrough()])
def test_a_surrogate_without_second_derivative_warns(surrogate, key):
    cell = fl.BinaryCell(1, 8, surrogate=surrogate, key=key)
    with pytest.warns(NoSecondDerivativeWarning, match=type(surrogate).__name__):
        fl.flossing_loss(cell, jnp.zeros(8), jnp.zeros((1, 1)), num_exponents=1, key=key)


def test_it_warns_for_a_surrogate_hidden_in_a_closure(key):
    spike = Boxcar(1.0)
    weight = jax.random.normal(key, (4, 4))
    with pytest.warns(NoSecondDerivativeWarning):
        fl.flossing_loss(
            lambda x, u: weight @ spike(x), jnp.zeros(4), num_steps=5, num_exponents=2, key=key
        )


def test_a_smooth_surrogate_does_not_warn(key):
    cell = fl.BinaryCell(1, 8, surrogate=SuperSpike(1.0), key=key)
    fl.flossing_loss(cell, jnp.zeros(8), jnp.zeros((5, 1)), num_exponents=2, key=key)


@pytest.mark.parametrize(
    "cell",
    [
        lambda key: fl.TanhCell(1, 20, key=key),
        lambda key: fl.BinaryCell(1, 20, key=key),
        lambda key: fl.Stack([fl.TanhCell(1, 12, key=key), fl.GRUCell(12, 10, key=key)]),
    ],
    ids=["tanh", "binary", "stack"],
)
def test_a_few_optax_steps_bring_exponents_closer_to_zero(cell, key):
    """The three lines of the README, with Optax: the mean square of the exponents is halved."""
    cell = cell(key)
    inputs = jax.random.bernoulli(key, 0.5, (80, 1)).astype(float)
    optimiser = optax.adam(5e-3)
    memory = optimiser.init(eqx.filter(cell, eqx.is_inexact_array))

    def loss(cell, key):
        return fl.flossing_loss(
            cell, cell.initial_state(), inputs, num_exponents=5, warmup=20, key=key
        )

    @eqx.filter_jit
    def update(cell, memory, key):
        value, gradient = eqx.filter_value_and_grad(loss)(cell, key)
        change, memory = optimiser.update(gradient, memory)
        return value, eqx.apply_updates(cell, change), memory

    values = []
    for k in jax.random.split(key, 100):
        value, cell, memory = update(cell, memory, k)
        values.append(float(value))
    assert np.mean(values[-10:]) < 0.5 * values[0]
