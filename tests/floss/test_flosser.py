"""One flossing step: what it computes, what it refuses, and where its inputs come from."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_flosser import INPUTS, RELAX, START, STEPS, WARMUP, flosser, step_of

import flossing as fl
from flossing.floss import flossing_optimiser


def assert_same(one, two, **tolerances):
    leaves = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (one, two)]
    assert len(leaves[0]) == len(leaves[1])
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_allclose(a, b, **tolerances)


def test_arrays_made_of_python_numbers_do_not_compile_the_update_twice(model, key):
    """``jnp.full(3, 0.1)`` has a type of its own, which the changed model has not."""
    traced = []

    def counted(model):
        traced.append(model)
        return step_of(model)

    control = flosser(num_exponents=1, step=counted)
    model |= {"b": jnp.full(3, 0.1)}
    assert model["b"].weak_type
    state = control.init(model)
    model, state, _ = control.update(model, state, START, INPUTS, key=key)
    before = len(traced)
    control.update(model, state, START, INPUTS, key=key)
    assert len(traced) == before


@pytest.mark.parametrize("starts", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_a_step_is_the_gradient_of_the_flossing_loss_and_optax(starts, model, key, x64):
    optimiser = optax.chain(optax.scale_by_adam(), optax.scale(-0.01))
    control = flosser(targets=(0.1, -0.4), penalty="below", optimiser=optimiser, num_starts=starts)
    model = jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, model)
    state, inputs = START.astype(float), INPUTS.astype(float)
    if starts:
        state, inputs = jnp.stack([state, -state]), jnp.stack([inputs, 2 * inputs])
    names = ("w", "v", "b", "unused")

    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss_and_gradient(part, key):
        return fl.flossing_loss(
            step_of(model | part),
            state,
            inputs,
            num_exponents=2,
            targets=(0.1, -0.4),
            penalty="below",
            num_starts=starts,
            state_warmup=RELAX,
            warmup=WARMUP,
            key=key,
            has_aux=True,
        )

    @jax.jit
    def by_hand(part, memory, key):
        (value, found), gradient = loss_and_gradient(part, key)
        change, memory = optimiser.update(gradient, memory)
        return optax.apply_updates(part, change), memory, value, found

    part = {name: model[name] for name in names}
    memory, ours, state_of_ours = optimiser.init(part), model, control.init(model)
    for step_key in jax.random.split(key, 2):
        part, memory, value, found = by_hand(part, memory, step_key)
        ours, state_of_ours, info = control.update(ours, state_of_ours, state, inputs, key=step_key)
        np.testing.assert_allclose(info.loss, value, rtol=1e-12)
        np.testing.assert_allclose(info.exponents, found.exponents, rtol=1e-12)
        assert (int(info.num_lost), bool(info.skipped), int(info.num_skipped)) == (0, False, 0)
    for name in names:
        np.testing.assert_allclose(ours[name], part[name], rtol=1e-9, atol=1e-14)
    assert np.abs(ours["w"] - model["w"]).max() > 0.01
    assert (ours["name"], int(ours["count"])) == ("a word", 7)
    np.testing.assert_array_equal(ours["unused"], model["unused"])


def test_its_own_optimiser_clips_every_array_and_falls_along_a_cosine(x64):
    """Adam with beta = (0.9, 0.999) on arrays of norm 0.03: the step of the first update is the rate."""
    optimiser = flossing_optimiser(0.01, steps=4)
    gradient = {"a": jnp.array([30.0, -40.0]), "b": jnp.array([1e-5])}
    state, rates = optimiser.init(gradient), []
    for _ in range(6):
        change, state = optimiser.update(gradient, state)
        rates.append(-float(change["a"][0]))
    cosine = 0.01 * (0.1 + 0.9 * (1 + np.cos(np.pi * np.minimum(np.arange(6), 4) / 4)) / 2)
    np.testing.assert_allclose(rates, cosine, rtol=1e-5)
    memory = state[1][0].mu
    np.testing.assert_allclose(memory["a"] / (1 - 0.9**6), [0.018, -0.024], rtol=1e-9)
    np.testing.assert_allclose(memory["b"] / (1 - 0.9**6), [1e-5], rtol=1e-9)


def test_what_is_not_finite_changes_nothing_and_is_counted(model, key):
    control = flosser()
    model, memory, _ = control.update(model, control.init(model), START, INPUTS, key=key)
    broken = model | {"b": model["b"].at[1].set(jnp.nan)}
    same, after, info = control.update(broken, memory, START, INPUTS, key=key)
    assert_same(same, broken)
    assert_same(after.optimiser, memory.optimiser)
    assert (bool(info.skipped), int(info.num_skipped), int(after.num_skipped)) == (True, 1, 1)
    _, after, info = control.update(model, after, START, INPUTS, key=key)
    assert (bool(info.skipped), int(info.num_skipped), int(after.num_skipped)) == (False, 1, 1)


@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_a_step_of_which_all_is_lost_is_left_out(key):
    control = flosser(step=lambda model: lambda x, u: 0 * model["a"] * x)
    model = {"a": jnp.ones(())}
    after, _, info = control.update(model, control.init(model), START, INPUTS, key=key)
    assert (int(info.num_lost), bool(info.skipped), float(after["a"])) == (2, True, 1.0)


@pytest.fixture(scope="module")
def loop():
    """Three steps of two models, one by one: what all transformed ones must find."""
    control = flosser()
    keys = jax.random.split(jax.random.key(4), (2, 3))
    models = {
        "w": jax.random.normal(jax.random.key(5), (2, 3, 3)),
        "v": jax.random.normal(jax.random.key(6), (2, 3, 2)),
        "b": jnp.zeros((2, 3)),
    }
    ends, losses = [], []
    for i in range(2):
        model = jax.tree.map(lambda x, i=i: x[i], models)
        state = control.init(model)
        for key in keys[i]:
            model, state, info = control.update(model, state, START, INPUTS, key=key)
            losses.append(info.loss)
        ends.append(model)
    return control, models, keys, ends, np.reshape(losses, (2, 3))


@pytest.mark.slow
def test_steps_can_be_scanned_and_models_mapped(loop):
    control, models, keys, ends, losses = loop

    def body(carry, key):
        *carry, info = control.update(*carry, START, INPUTS, key=key)
        return tuple(carry), info.loss

    def steps(model, keys):
        return jax.lax.scan(body, (model, control.init(model)), keys)

    (found, _), found_losses = jax.jit(jax.vmap(steps))(models, keys)
    np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
    for i in range(2):
        one = jax.tree.map(lambda x, i=i: x[i], found)
        assert_same(one, ends[i], rtol=1e-5, atol=1e-6)


def gains(control, state, inputs, key):
    """Of ``x -> u x``, whose exponent is the mean log of the counted inputs; nothing is changed."""
    model = {"a": jnp.ones(())}
    _, _, info = control.update(model, control.init(model), state, inputs, key=key)
    return float(info.exponents[0])


SCALED = dict(step=lambda model: lambda x, u: model["a"] * u * x, num_exponents=1)


def test_of_arrays_the_first_steps_are_used(key):
    values = jnp.arange(1.0, STEPS + 6)
    expected = np.log(np.arange(RELAX + WARMUP, STEPS) + 1.0).mean()
    assert gains(flosser(**SCALED), jnp.ones(1), values, key) == pytest.approx(expected, rel=1e-5)


def test_functions_of_a_key_give_fresh_inputs_and_the_same_for_the_same_key(key):
    seen = []

    def inputs(key):
        seen.append(jax.random.key_data(key).tolist())
        return jax.random.uniform(key, (STEPS,), minval=0.5, maxval=2.0)

    control = flosser(**SCALED)
    keys = [key, key, jax.random.key(1)]
    found = [gains(control, lambda key: jnp.ones(1), inputs, k) for k in keys]
    assert found[0] == found[1] != found[2]
    assert seen[0] == seen[1] != seen[2]


def test_exponents_are_averaged_over_starts_with_inputs_of_their_own(key):
    control = flosser(**SCALED, num_starts=3)
    factors = np.array([0.5, 1.0, 3.0])
    inputs = jnp.broadcast_to(jnp.asarray(factors)[:, None], (3, STEPS))
    found = gains(control, jnp.ones((3, 1)), inputs, key)
    assert found == pytest.approx(np.log(factors).mean(), rel=1e-5)
    drawn = []

    def source(key):
        drawn.append(1)
        return jnp.full((STEPS,), jax.random.uniform(key, (), minval=0.5, maxval=2.0))

    mean = gains(control, lambda key: jnp.ones(1), source, key)
    single = {gains(flosser(**SCALED), jnp.ones(1), source, jax.random.key(i)) for i in range(3)}
    assert len(single) == 3
    assert np.log(0.5) < mean < np.log(2.0)


def test_a_step_without_inputs_takes_its_window(key):
    model = {"a": jnp.asarray(-0.3)}
    control = flosser(step=lambda model: lambda x, u: jnp.exp(model["a"]) * x, num_exponents=1)
    _, _, info = control.update(model, control.init(model), jnp.ones(1), key=key)
    assert float(info.exponents[0]) == pytest.approx(-0.3, rel=1e-5)
    assert float(control.measure(model, jnp.ones(1), key=key)) == pytest.approx(-0.3, rel=1e-5)


@pytest.mark.parametrize("starts", [None, 2])
def test_too_few_steps_are_an_error(starts, model, key):
    control = flosser(num_starts=starts)
    lead = () if starts is None else (starts,)
    short = jnp.zeros((*lead, STEPS - 1, 2))
    state = jnp.zeros((*lead, 3))
    message = r"inputs: 8 steps, but state_warmup and window need 3 \+ 6 = 9; choose smaller ones"
    with pytest.raises(ValueError, match=message):
        control.update(model, control.init(model), state, short, key=key)
    with pytest.raises(ValueError, match=message):
        control.measure(model, state, short, key=key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimiser",
    [
        optax.polyak_sgd(0.5),
        optax.chain(optax.clip(0.1), optax.sgd(0.1)),
    ],
    ids=["polyak", "chain"],
)
def test_any_optimiser_brings_an_exponent_to_its_target(optimiser, key):
    control = flosser(
        step=lambda m: lambda x, u: jnp.exp(m["a"]) * x,
        num_exponents=1,
        targets=-0.5,
        optimiser=optimiser,
    )
    model = {"a": jnp.asarray(-1.0)}
    state = control.init(model)
    for step_key in jax.random.split(key, 60):
        model, state, _ = control.update(model, state, jnp.ones(1), INPUTS, key=step_key)
    assert float(model["a"]) == pytest.approx(-0.5, abs=0.06)


def test_equal_flossers_with_the_usual_optimiser_share_a_program():
    one, two = (jax.tree.flatten(flosser()) for _ in range(2))
    assert one == two
