"""The keeper of a band: when it looks, when it flosses, and when it leaves a model alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.floss._rule import half_width
from flossing.floss.adaptive import scale_heights
from flossing.surrogates import SuperSpike

START, STEPS = jnp.ones(1), 25
HORIZON = 10.0


def rate_step(model):
    """x -> exp(a) x, whose exponent is a."""
    return lambda x, u: jnp.exp(model["a"]) * x


FLOSSER = fl.Flosser(
    1,
    window=22,
    warmup=2,
    state_warmup=3,
    renormalise_every=1,
    step=rate_step,
    optimiser=optax.sgd(0.05),
)
KEEPER = fl.AdaptiveFlosser(FLOSSER, horizon=HORIZON, band=2.0, every=3, chance=1.0)


def at(exponent):
    return {"a": jnp.asarray(float(exponent))}


def called(keeper, model, losses, key):
    """The model after as many calls as there are losses, and all looks."""
    state, looks = keeper.init(model), []
    for i, loss in enumerate(losses):
        loss = (
            loss if loss is None else jnp.asarray(loss)
        )  # a number would be a constant of its program
        model, state, look = keeper.update(
            model, state, START, loss=loss, key=jax.random.fold_in(key, i)
        )
        looks.append(look)
    return model, state, jax.tree.map(lambda *x: np.array(x), *looks)


def settling(exponent):
    """Steps of gradient descent on a^2 with rate 0.05 until within 0.1: each takes a tenth off."""
    seen, done, start = exponent, 0, exponent
    while abs(seen) > 0.1 and done < 20:
        # What a step reports is the exponent before it.
        seen, start, done = start, 0.9 * start, done + 1
    return done, start


@pytest.mark.parametrize("exponent", [-0.45, 0.3])
def test_it_looks_every_third_call_and_flosses_until_within_half_the_band(exponent, key):
    model, state, looks = called(KEEPER, at(exponent), [1.0] * 7, key)
    assert looks.due.tolist() == [False, False, False, True, False, False, True]
    steps, end = settling(exponent)
    assert 5 < steps < 20
    assert looks.steps.tolist() == [0, 0, 0, steps, 0, 0, 0]
    np.testing.assert_allclose(float(model["a"]), end, rtol=1e-4)
    np.testing.assert_allclose(looks.exponent[[3, 6]], [exponent, end], rtol=1e-4)
    assert np.isnan(looks.exponent[~looks.due]).all()
    assert int(state.calls) == 7


@pytest.mark.slow
def test_every_look_and_step_draws_with_a_key_of_its_own(key):
    """Inputs shift the exponent: three steps by hand, each with its own, lead to the same model."""

    def inputs(key):
        return jax.random.normal(key, (STEPS,))

    flosser = fl.Flosser(
        1, window=STEPS, warmup=0, state_warmup=0, renormalise_every=1, targets=-50.0,
        step=lambda model: lambda x, u: jnp.exp(model["a"] + u) * x, optimiser=optax.sgd(0.05),
    )  # fmt: skip
    keeper = fl.AdaptiveFlosser(flosser, horizon=10, every=1)
    model, state = at(0.4), keeper.init(at(0.4))
    look_key, floss_key = jax.random.split(key)
    for k in (jax.random.key(1), key):
        model, state, look = keeper.update(model, state, lambda k: START, inputs, key=k)
    expected, memory = at(0.4), flosser.init(at(0.4))
    for i in range(int(look.steps)):
        expected, memory, _ = flosser.update(
            expected, memory, lambda k: START, inputs, key=jax.random.fold_in(floss_key, i)
        )
    measured = flosser.measure(at(0.4), lambda k: START, inputs, key=look_key)
    np.testing.assert_allclose(look.exponent, measured, rtol=1e-5)
    np.testing.assert_allclose(model["a"], expected["a"], rtol=1e-4)
    assert int(look.steps) == 20


def test_a_phase_ends_after_twenty_steps(key):
    _, _, looks = called(KEEPER, at(-3.0), [1.0] * 4, key)
    assert looks.steps[3] == 20


@pytest.mark.parametrize("exponent", [-0.19, 0.19])
def test_within_the_band_nothing_happens(exponent, key):
    model, _, looks = called(KEEPER, at(exponent), [1.0] * 4, key)
    assert looks.steps.sum() == 0
    assert float(model["a"]) == pytest.approx(exponent)


@pytest.mark.parametrize(
    ("exponent", "loss", "flosses"),
    [(-0.3, 0.6, True), (-0.3, 0.4, False), (0.3, 0.4, True), (-0.3, None, True)],
)
def test_a_model_that_has_learned_is_flossed_only_from_above(exponent, loss, flosses, key):
    _, _, looks = called(KEEPER, at(exponent), [loss] * 4, key)
    assert (looks.steps[3] > 0) == flosses
    assert bool(looks.learned[3]) == (loss == 0.4)


def test_chance_is_the_first_loss_if_nobody_says_it(key):
    keeper = eqx.tree_at(lambda k: k.chance, KEEPER, None)
    losses = [np.nan, 10.0, *[1.0] * 14]
    _, state, looks = called(keeper, at(0.0), losses, key)
    assert float(state.chance) == 10.0
    mean = 10.0 * 0.9 ** np.arange(15) + (1 - 0.9 ** np.arange(15))
    assert looks.learned.tolist() == [False, *(mean <= 5.0)]
    assert looks.learned.any()


def test_losses_that_are_not_finite_do_not_count(key):
    _, state, _ = called(KEEPER, at(0.0), [2.0, np.nan, np.inf, 1.0], key)
    assert float(state.mean_loss) == pytest.approx(1.9)


def test_a_model_whose_exponent_is_not_a_number_is_no_reason_to_fail(key):
    model, state, looks = called(KEEPER, at(np.nan), [1.0] * 4, key)
    assert np.isnan(float(model["a"]))
    assert int(state.flosser.num_skipped) == looks.steps[3] == 20


def test_calls_can_be_scanned(key):
    model, _, looks = called(KEEPER, at(-0.45), [1.0] * 5, key)

    def body(carry, i):
        model, state, look = KEEPER.update(
            *carry, START, loss=jnp.asarray(1.0), key=jax.random.fold_in(key, i)
        )
        return (model, state), look

    start = at(-0.45), KEEPER.init(at(-0.45))
    (end, _), found = jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(5)))(start)
    np.testing.assert_allclose(end["a"], model["a"], rtol=1e-5)
    np.testing.assert_array_equal(found.steps, looks.steps)


class Spiking(eqx.Module):
    """Binary units without memory of their own: a factor c on the heights adds log c to the exponents."""

    weight: jax.Array
    spike: SuperSpike

    def __call__(self, x, u):
        return self.spike(self.weight @ x + u - 0.1)


HEIGHTS = fl.SurrogateHeights(window=10, warmup=3, state_warmup=2, targets=-0.2)
DRIVE = jax.random.normal(jax.random.key(3), (HEIGHTS.num_steps, 3))


@pytest.fixture
def spiking(key):
    return fl.free_heights(Spiking(jax.random.normal(key, (3, 3)), SuperSpike(1.0)))


def test_heights_take_the_exponent_to_its_target_and_leave_all_else(spiking, key):
    before = float(HEIGHTS.measure(spiking, jnp.zeros(3), DRIVE, key=key))
    lower = fl.SurrogateHeights(window=10, warmup=3, state_warmup=2, targets=before - 0.3)
    after, state, info = lower.update(spiking, lower.init(spiking), jnp.zeros(3), DRIVE, key=key)
    assert float(after.spike.peak) == pytest.approx(np.exp(-0.3), rel=1e-4)
    np.testing.assert_allclose(info.exponents, [before - 0.3], atol=1e-4)
    assert float(info.loss) == pytest.approx(0, abs=1e-7)
    assert (int(info.num_lost), bool(info.skipped), int(state.num_skipped)) == (0, False, 0)
    np.testing.assert_array_equal(after.weight, spiking.weight)
    np.testing.assert_array_equal(after(jnp.ones(3), DRIVE[0]), spiking(jnp.ones(3), DRIVE[0]))


def test_one_scaling_is_a_factor_of_e_at_most(spiking, key):
    flat = scale_heights(spiking, jnp.asarray(1e-6))
    after, _, _ = HEIGHTS.update(flat, HEIGHTS.init(flat), jnp.zeros(3), DRIVE, key=key)
    assert float(after.spike.peak) == pytest.approx(1e-6 * np.e, rel=1e-5)


def test_a_model_that_has_learned_is_still_held_by_its_heights(spiking, key):
    keeper = fl.AdaptiveFlosser(HEIGHTS, horizon=10, band=0.5, every=1, chance=1.0)
    low, state = scale_heights(spiking, jnp.asarray(0.2)), keeper.init(spiking)
    for _ in range(2):
        low, state, look = keeper.update(low, state, jnp.zeros(3), DRIVE, loss=0.0, key=key)
    assert bool(look.learned)
    assert int(look.steps) >= 1
    found = float(HEIGHTS.measure(low, jnp.zeros(3), DRIVE, key=jax.random.split(key)[0]))
    assert abs(found + 0.2) <= 0.025


def test_heights_that_are_numbers_are_freed_by_what_the_message_says():
    model = Spiking(jnp.eye(3), SuperSpike(1.0, peak=0.5))
    with pytest.raises(ValueError, match=r"call fl.free_heights\(model\) first"):
        HEIGHTS.init(model)
    free = fl.free_heights(model)
    HEIGHTS.init(free)
    assert float(free.spike.peak) == 0.5


@pytest.mark.parametrize(
    ("horizon", "starts", "expected"), [(40, None, 0.05), (100, None, 0.04), (100, 4, 0.02)]
)
def test_the_band_is_as_wide_as_a_look_resolves(horizon, starts, expected):
    """Over 75 counted steps 3 / 75, and half of that as the mean of four trajectories."""
    window = fl.Flosser(window=100, warmup=25, num_starts=starts)
    assert half_width(window, 2.0, horizon) == pytest.approx(expected)
    heights = fl.SurrogateHeights(window=100, warmup=25, num_starts=starts)
    assert half_width(heights, 2.0, horizon) == 2.0 / horizon


def test_a_loss_that_is_a_python_number_does_not_compile_the_update_anew(key):
    traced = []

    def step(model):
        traced.append(model)
        return rate_step(model)

    keeper = fl.AdaptiveFlosser(eqx.tree_at(lambda f: f.step, FLOSSER, step), horizon=HORIZON)
    model, state = at(0.0), keeper.init(at(0.0))
    for loss in (0.7, 0.6, np.float64(0.5), jnp.asarray(0.4)):
        model, state, _ = keeper.update(model, state, START, loss=loss, key=key)
        if loss == 0.7:
            once = len(traced)
    assert len(traced) == once
