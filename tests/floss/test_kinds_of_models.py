"""Whatever kind of pytree a model is, flossing moves its exponents to their targets."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl

INPUTS = jax.random.normal(jax.random.key(1), (12, 2))


def flossed(model, step, start, *, key, rounds=25, rate=0.03, **settings):
    """The model after some steps, and its first exponents before each."""
    control = fl.Flosser(
        2,
        window=12,
        warmup=0,
        state_warmup=0,
        renormalise_every=1,
        optimiser=optax.adam(rate),
        step=step,
        **settings,
    )
    state, found = control.init(model), []
    for _ in range(rounds):
        model, state, info = control.update(model, state, start, INPUTS, key=key)
        found.append(float(info.exponents[0]))
    assert int(state.num_skipped) == 0
    return model, found


class WithReadout(eqx.Module):
    inner: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def step(self, state, input):
        return self.inner(input, state)


@pytest.mark.slow
def test_a_module_of_equinox(key):
    model = WithReadout(eqx.nn.GRUCell(2, 4, key=key), eqx.nn.Linear(4, 1, key=key))
    after, found = flossed(model, lambda model: model.step, jnp.zeros(4), key=key)
    assert abs(found[-1]) < 0.5 * abs(found[0])
    np.testing.assert_array_equal(after.readout.weight, model.readout.weight)


def test_a_bare_cell_is_its_own_step(key):
    cell = fl.TanhCell(2, 4, key=key)
    control = fl.Flosser(2, window=8, warmup=4, state_warmup=4, renormalise_every=1)
    after, _, _ = control.update(cell, control.init(cell), jnp.zeros(4), INPUTS, key=key)
    # The first step of Adam is its rate wherever there is a gradient.
    change = np.abs(np.asarray(after.recurrent_weight - cell.recurrent_weight))
    np.testing.assert_allclose(change, 5e-3, rtol=0.01)


@pytest.mark.slow
def test_parameters_of_flax_linen(key):
    linen = pytest.importorskip("flax.linen")
    cell = linen.GRUCell(4)
    parameters = cell.init(key, jnp.zeros(4), jnp.zeros(2))
    after, found = flossed(
        parameters, lambda p: lambda state, u: cell.apply(p, state, u)[0], jnp.zeros(4), key=key
    )
    assert abs(found[-1]) < 0.5 * abs(found[0])
    assert jax.tree.structure(after) == jax.tree.structure(parameters)


@pytest.mark.slow
def test_a_split_module_of_flax_nnx(key):
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.GRUCell(2, 4, rngs=nnx.Rngs(0))
    graph, parameters, others = nnx.split(model, nnx.Param, ...)

    def step(parameters):
        cell = nnx.merge(graph, parameters, others)
        return lambda state, input: cell(state, input)[0]

    after, found = flossed(parameters, step, jnp.zeros(4), key=key)
    assert abs(found[-1]) < 0.5 * abs(found[0])
    nnx.update(model, after)
    again, _ = model(jnp.ones(4), jnp.ones(2))
    np.testing.assert_allclose(again, step(after)(jnp.ones(4), jnp.ones(2)), rtol=1e-6)


@pytest.mark.slow
def test_complex_parameters_move_along_both_parts(key, x64):
    """The exponent of x -> a x is log|a|: towards 0 the absolute value grows, and the angle stays."""
    start = 0.4 * np.exp(0.7j)
    after, found = flossed(
        {"a": jnp.asarray(start)},
        lambda m: lambda x, u: m["a"] * x,
        jnp.ones(1, complex),
        key=key,
        rounds=60,
    )
    assert abs(found[-1]) < 0.1 * abs(found[0])
    assert np.angle(after["a"]) == pytest.approx(0.7, abs=1e-6)


@pytest.mark.slow
def test_half_precision_stays_half(key):
    model = {"w": (0.4 * jnp.eye(4)).astype(jnp.bfloat16)}
    after, found = flossed(
        model, lambda m: lambda x, u: m["w"] @ x, jnp.ones(4, jnp.bfloat16), key=key, rate=0.1
    )
    assert after["w"].dtype == jnp.bfloat16
    assert abs(found[-1]) < 0.5 * abs(found[0])


@pytest.mark.slow
def test_a_state_in_single_precision_has_a_keeper_in_double_precision_too(key, x64):
    model = {"a": jnp.asarray(0.5, jnp.float32)}
    control = fl.Flosser(
        1, window=12, warmup=0, state_warmup=0, renormalise_every=1,
        step=lambda m: lambda x, u: m["a"] * x, optimiser=optax.sgd(0.1),
    )  # fmt: skip
    keeper = fl.AdaptiveFlosser(control, horizon=10, every=1)
    state = keeper.init(model)
    for _ in range(2):
        model, state, look = keeper.update(model, state, jnp.ones(1, jnp.float32), key=key)
    assert float(look.exponent) == pytest.approx(np.log(0.5), rel=1e-6)
    assert int(look.steps) > 0
