"""The flossing loss is the mean squared distance of the right exponents from the right targets."""

import warnings

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


@pytest.mark.slow
def test_it_is_the_square_of_the_spectrum(key, x64):
    cell = fl.TanhCell(2, 6, key=key)
    inputs = jax.random.normal(key, (39, 2))
    settings = dict(num_exponents=4, warmup=9, renormalise_every=3, key=key)
    loss = fl.flossing_loss(cell, cell.initial_state(), inputs, **settings)
    spectrum = fl.lyapunov_spectrum(cell, cell.initial_state(), inputs, **settings)
    assert float(loss) == pytest.approx(float(jnp.mean(spectrum.exponents**2)), rel=1e-12)


@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_lost_directions_are_left_out_and_gradients_stay_finite(key, x64):
    def step(x, u, rate):
        return jnp.array([jnp.exp(rate), jnp.exp(-0.4), 0.0]) * x

    def loss(rate):
        return fl.flossing_loss(
            lambda x, u: step(x, u, rate), jnp.ones(3), num_steps=300, warmup=200, key=key
        )

    value, slope = jax.jit(jax.value_and_grad(loss))(-0.2)
    assert float(value) == pytest.approx((0.2**2 + 0.4**2) / 2, abs=1e-12)
    assert float(slope) == pytest.approx(2 * -0.2 / 2, abs=1e-9)


def traced(step, *arguments, **options):
    """What the loss says is said before it is compiled."""
    jax.eval_shape(lambda: fl.flossing_loss(step, *arguments, **options))


@pytest.mark.parametrize("surrogate", [Boxcar(1.0), StraightThrough()])
def test_a_surrogate_without_second_derivative_warns(surrogate, key):
    cell = fl.BinaryCell(1, 8, surrogate=surrogate, key=key)
    with pytest.warns(NoSecondDerivativeWarning, match=type(surrogate).__name__):
        traced(cell, jnp.zeros(8), jnp.zeros((1, 1)), num_exponents=1, key=key)


def test_it_warns_for_a_surrogate_hidden_in_a_closure(key):
    spike = Boxcar(1.0)
    weight = jax.random.normal(key, (4, 4))
    with pytest.warns(NoSecondDerivativeWarning):
        traced(lambda x, u: weight @ spike(x), jnp.zeros(4), num_steps=5, num_exponents=2, key=key)


def test_a_smooth_surrogate_does_not_warn(key):
    cell = fl.BinaryCell(1, 8, surrogate=SuperSpike(1.0), key=key)
    traced(cell, jnp.zeros(8), jnp.zeros((5, 1)), num_exponents=2, key=key)


def test_a_few_optax_steps_bring_exponents_closer_to_zero(key):
    """The three lines of the README, with Optax: the mean square of the exponents is halved."""
    cell = fl.BinaryCell(1, 20, key=key)
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


def fading(factors):
    """A diagonal map; a factor of 0 loses its direction."""
    return jax.tree_util.Partial(lambda factors, x, u: factors * x, jnp.asarray(factors))


def with_messages(function, *arguments):
    """The result of a compiled program, when it has said what it had to say."""
    result = function(*arguments)
    jax.effects_barrier()
    return result


LOST = {
    "stop_gradient": lambda x, u: jax.lax.stop_gradient(x),
    "masked to zero": lambda x, u: 0 * x,
    "sign": lambda x, u: jnp.sign(x),
}


@pytest.mark.parametrize(
    ("name", "penalty"),
    [*((name, "two-sided") for name in LOST), ("sign", "above"), ("sign", "below")],
)
def test_a_loss_of_which_every_direction_is_lost_is_infinite_and_says_so(name, penalty, key):
    def loss(scale):
        step = lambda x, u: scale * LOST[name](x, u)  # noqa: E731
        return fl.flossing_loss(step, jnp.ones(3), num_steps=4, penalty=penalty, key=key)

    with pytest.warns(fl.LostDirectionsWarning, match="3 of 3 tangent directions were lost"):
        value, slope = with_messages(jax.jit(jax.value_and_grad(loss)), 0.5)
    assert np.isposinf(value)
    assert float(slope) == 0


def test_steps_out_of_the_range_of_squares_are_not_lost(key):
    found = fl.flossing_loss(lambda x, u: 1e-20 * x, jnp.zeros(3), num_steps=5, key=key)
    assert float(found) == pytest.approx(np.log(1e-20) ** 2, rel=1e-6)  # 2120.8


@pytest.mark.parametrize("which", [None, (0, 3)])
def test_lost_directions_are_counted_and_the_mean_is_over_the_others(which, key):
    options = dict(num_steps=300, warmup=100, key=key)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # with has_aux nothing is said
        loss, info = jax.jit(
            lambda f: fl.flossing_loss(
                fading(f), jnp.zeros(4), which=which, has_aux=True, **options
            )
        )(jnp.array([0.5, 0.8, 0.0, 0.0]))
    assert int(info.num_lost) == 2
    np.testing.assert_allclose(
        info.exponents, [np.log(0.8), np.log(0.5), -np.inf, -np.inf], rtol=1e-5
    )
    counted = np.log([0.8, 0.5]) if which is None else np.log([0.8])
    assert float(loss) == pytest.approx(np.mean(counted**2), rel=1e-5)


def test_a_loss_that_counts_only_lost_directions_is_infinite(key):
    options = dict(num_steps=50, warmup=20, has_aux=True, key=key)
    loss, _ = jax.jit(lambda f: fl.flossing_loss(fading(f), jnp.zeros(3), which=(2,), **options))(
        jnp.array([0.5, 0.8, 0.0])
    )
    assert np.isposinf(loss)


@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_a_direction_that_is_lost_along_one_of_two_trajectories_is_left_out(key):
    """The factors of the second trajectory are 0.5 and 0; the basis of the first has both of 0.5."""
    factors = jnp.array([[0.5, 0.5], [0.5, 0.0]])
    inputs = jnp.broadcast_to(factors[:, None], (2, 60, 2))
    loss, info = fl.flossing_loss(
        lambda x, u: u * x, jnp.zeros((2, 2)), inputs, num_starts=2, has_aux=True, key=key,
        warmup=30,
    )  # fmt: skip
    assert int(info.num_lost) == 1
    assert float(loss) == pytest.approx(np.log(0.5) ** 2, rel=1e-5)


@pytest.mark.parametrize("starts", [None, 2])
def test_what_is_said_of_lost_directions_can_be_switched_off(starts, key):
    state = jnp.zeros(2) if starts is None else jnp.zeros((starts, 2))
    inputs = jnp.zeros(5) if starts is None else jnp.zeros((starts, 5))

    def loss(factors):
        return fl.flossing_loss(fading(factors), state, inputs, num_starts=starts, key=key)

    with pytest.warns(fl.LostDirectionsWarning, match="1 of 2"):
        with_messages(jax.jit(loss), jnp.array([0.5, 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", fl.LostDirectionsWarning)
        with_messages(jax.jit(loss), jnp.array([0.5, 0.0]))


@pytest.mark.parametrize("starts", [None, 3])
def test_loss_and_targets_are_per_unit_of_time(starts, key):
    """Steps of 0.1: the exponent of the factor 0.5 is -6.93, a distance of 1.93 from -5."""
    state, inputs = jnp.zeros(2), jnp.zeros(40)
    if starts:
        state, inputs = jnp.zeros((starts, 2)), jnp.zeros((starts, 40))
    loss, info = fl.flossing_loss(
        fading([0.5, 0.5]), state, inputs, targets=-5.0, time_step=0.1, num_starts=starts,
        has_aux=True, key=key,
    )  # fmt: skip
    np.testing.assert_allclose(info.exponents, 10 * np.log(0.5), rtol=1e-6)
    assert float(loss) == pytest.approx((10 * np.log(0.5) + 5) ** 2, rel=1e-5)
