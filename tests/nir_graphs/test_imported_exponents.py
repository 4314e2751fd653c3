"""Exponents and flossing of imported networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

pytest.importorskip("nir", minversion="1.0.7")

from graphs import assert_equal, chain, dense, layer, neurons, recurrent, spikes, through_a_file

import flossing as fl

STEPS = 40
SURROGATE = fl.surrogates.SuperSpike(3.0)


def imported(graph, **options):
    return fl.from_nir(graph, time_step=1e-3, surrogate=SURROGATE, **options)


def inputs_of(graph, steps=STEPS, share=0.3):
    size = graph.nodes["layer_0_map"].weight.shape[1]
    return jnp.asarray(spikes(steps, size, share=share, dtype=float))


@pytest.mark.parametrize("integration", ["exact", "euler"])
def test_exponents_are_those_of_jacobians_from_the_parameters_of_the_graph(integration, x64):
    """Products of dense matrices in NumPy, for neurons without synapses; a spike cuts its membrane off."""
    graph = layer("LIF", loop=True, dtype=float)
    node, weight = (graph.nodes["layer_0_neurons"].nodes[name] for name in ("lif", "w_rec"))
    stack, inputs = imported(graph, integration=integration), inputs_of(graph)
    ratio = 1e-3 / node.tau
    share = 1 - np.exp(-ratio) if integration == "exact" else ratio
    (cell,), (state,) = stack.layers, stack.initial_state()
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0]
    start, growth, fired = jnp.asarray(basis), np.zeros(3), 0.0
    for x in inputs:
        distance = np.asarray(state.membrane) - node.v_threshold
        slope = np.asarray(SURROGATE.derivative(jnp.asarray(distance)))
        jacobian = np.diag((1 - share) * (distance <= 0))
        jacobian = jacobian + (share * node.r)[:, None] * weight.weight * slope
        basis, r = np.linalg.qr(jacobian @ basis)
        growth += np.log(np.abs(np.diag(r)))
        fired += (distance > 0).sum()
        state = cell(state, x)
    assert fired > 20
    spectrum = fl.lyapunov_spectrum(stack, stack.initial_state(), inputs, basis=start)
    np.testing.assert_allclose(spectrum.exponents, growth / STEPS, atol=1e-12)


def finite_difference(loss, stack, where, direction, step=1e-6):
    up, down = (
        loss(eqx.tree_at(where, stack, where(stack) + sign * step * direction)) for sign in (1, -1)
    )
    return (up - down) / (2 * step)


def loss_of(inputs, k=4):
    basis = jnp.asarray(np.random.default_rng(1).normal(size=(6 + 3, k)))

    @eqx.filter_jit
    def loss(stack):
        spectrum = fl.lyapunov_spectrum(
            stack, stack.initial_state(), inputs, basis=basis, renormalise_every=1
        )
        return jnp.mean(spectrum.exponents**2)

    return loss


def with_readout(gain, loop_gain):
    """Recurrent neurons under a readout."""
    below = recurrent(
        neurons("LIF", 6, dtype=float), dense(6, 6, loop_gain, seed=1, bias=None, dtype=float)
    )
    readout = dense(6, 3, 1.0, seed=2, bias=None, dtype=float), neurons("LI", 3, dtype=float)
    return chain(dense(3, 6, gain, bias=0.1, dtype=float), below, *readout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "loop_gain", "where"),
    [
        pytest.param(8.0, 4.0, lambda s: s.layers[1].input_weight, id="weights to a readout"),
        pytest.param(0.5, 4.0, lambda s: s.layers[0].recurrent_weight, id="recurrent, silent"),
    ],
)
def test_flossing_gradients_are_finite_differences_where_spikes_do_not_depend_on_weights(
    gain, loop_gain, where, x64
):
    """Spikes are constants for small differences, so that these see what the surrogate does not carry."""
    graph = with_readout(gain, loop_gain)
    stack, inputs = imported(graph), inputs_of(graph)
    fired = float(stack.all_over_time(inputs)[0].sum())
    assert fired > 20 if gain > 1 else fired == 0
    loss = loss_of(inputs)
    gradient = where(eqx.filter_grad(loss)(stack))
    for seed in range(3):
        direction = jnp.asarray(np.random.default_rng(seed).normal(size=gradient.shape))
        expected = finite_difference(loss, stack, where, direction)
        assert abs(expected) > 1e-6
        np.testing.assert_allclose(jnp.sum(gradient * direction), expected, rtol=1e-5)


@pytest.mark.slow
def test_flossed_weights_go_back_into_the_file_and_nothing_else(key, tmp_path):
    graph = layer("LIF", loop=True)
    stack, inputs = imported(graph), jnp.asarray(spikes(60, 3))
    flosser = fl.Flosser(
        num_exponents=6,
        window=40,
        warmup=10,
        state_warmup=10,
        renormalise_every=1,
        optimiser=optax.adam(1e-2),
        where=lambda s: s.layers[0].recurrent_weight,
    )
    memory, losses = flosser.init(stack), []
    for now in jax.random.split(key, 30):
        stack, memory, info = flosser.update(stack, memory, stack.initial_state(), inputs, key=now)
        losses.append(float(info.loss))
    assert losses[-1] < 0.8 * losses[0]
    expected, weight = layer("LIF", loop=True), np.asarray(stack.layers[0].recurrent_weight)
    expected.nodes["layer_0_neurons"].nodes["w_rec"].weight[:] = weight
    assert_equal(through_a_file(fl.to_nir(stack), tmp_path).to_dict(), expected.to_dict())
