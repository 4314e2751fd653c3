"""Stochastic, convolutional and feedforward LIF layers, and leaky readouts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import close, normal, raises, scan
from jax.flatten_util import ravel_pytree

import flossing as fl
from flossing import escape_noise
from flossing.cells import Convolution, LeakyReadout, fluctuation_driven, with_escape
from flossing.escape_noise import Noisy, with_noise
from flossing.surrogates import SuperSpike

STEPS = 12
run = eqx.filter_jit(lambda cell, inputs: cell.all_over_time(inputs))
step_by_step = eqx.filter_jit(lambda cell, *given: jax.vmap(cell.output)(scan(cell, *given)))


def network(key, escape=None):
    """Recurrent convolution, dense layer without recurrence, readout."""
    keys = jax.random.split(key, 3)
    options = {"surrogate": SuperSpike(5.0), "threshold": 0.3, "escape": escape}
    return fl.Stack(
        [
            fl.ConvLIFCell(
                7,
                2,
                3,
                3,
                stride=2,
                recurrent_kernel_size=3,
                input_gain=8.0,
                key=keys[0],
                **options,
            ),
            fl.LIFCell(9, 4, feedforward_only=True, input_gain=8.0, key=keys[1], **options),
            LeakyReadout(4, 2, membrane_time_constant=12.0, key=keys[2]),
        ]
    )


def convolve_by_hand(convolution, vector):
    kernel = np.asarray(convolution.kernel)
    size, channels, filters = kernel.shape
    grid = np.zeros((convolution.length + 2 * convolution.padding, channels))
    grid[convolution.padding : convolution.padding + convolution.length] = np.reshape(
        vector, (-1, channels)
    )
    rows = []
    for start in range(0, len(grid) - size + 1, convolution.stride):
        rows.append(
            [
                sum(
                    grid[start + k, c] * kernel[k, c, f]
                    for k in range(size)
                    for c in range(channels)
                )
                for f in range(filters)
            ]
        )
    return np.ravel(rows)


@pytest.mark.parametrize(
    ("length", "channels", "size", "stride", "padding"),
    [(7, 2, 3, 2, 0), (6, 1, 5, 1, "same"), (30, 2, 3, 3, 1), (29, 1, 3, 1, "same")],
)
def test_convolution_is_the_sum_over_the_kernel(length, channels, size, stride, padding, key):
    made = Convolution(length, channels, 3, size, stride=stride, padding=padding, key=key)
    vector = normal(length * channels)
    expected = convolve_by_hand(made, vector)
    assert expected.shape == (made.output_size,)
    close(made(vector), expected)
    close(vector @ made.matrix(), expected)
    close(made._windows(vector), expected)


def test_kernels_have_the_documented_spread(key):
    kernel = Convolution(20, 16, 64, 5, gain=3.0, key=key).kernel
    np.testing.assert_allclose(kernel.std() * np.sqrt(5 * 16), 3.0, rtol=5 / np.sqrt(2 * 5120))


@pytest.mark.parametrize("escape", [None, escape_noise.SigmoidNoise(5)], ids=["det", "stochastic"])
def test_all_steps_at_once_are_the_steps_one_by_one(escape, key):
    """Values, and gradients with respect to weights and inputs."""
    net = network(key, escape)
    inputs, weight = normal(STEPS, 14), normal(STEPS, 2, seed=3)

    def loss(arguments, at_once):
        net, inputs = arguments
        noisy = with_noise(net, inputs, key=key)
        if at_once:
            outputs = net.over_time(noisy)
        else:
            outputs = jax.vmap(net.output)(scan(net, net.initial_state(), noisy))
        return (outputs * weight).sum(), outputs

    found = {}
    for at_once in (True, False):
        grad = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))
        (_, outputs), gradient = grad((net, inputs), at_once)
        found[at_once] = outputs, ravel_pytree(gradient)[0]
    assert jnp.abs(found[True][0]).max() > 0
    assert jnp.abs(found[True][1]).max() > 0
    close(found[True][0], found[False][0])
    close(found[True][1], found[False][1], 1e-11)


def test_a_batch_with_time_first_is_trial_after_trial(key):
    net = network(key, escape_noise.SigmoidNoise(5))
    inputs = normal(STEPS, 3, 14)
    noisy = Noisy(inputs, jax.random.uniform(key, (STEPS, 3, net.noise_size)))
    together = run(net, noisy)
    for trial in range(3):
        alone = run(net, Noisy(inputs[:, trial], noisy.uniform[:, trial]))
        for many, one in zip(together, alone, strict=True):
            close(many[:, trial], one)


@pytest.mark.parametrize("kind", ["tanh", "recurrent LIF", "convolution", "readout", "stack"])
def test_trials_may_have_axes_of_their_own(kind, key):
    cell = {
        "tanh": lambda: fl.TanhCell(5, 4, key=key),
        "recurrent LIF": lambda: fl.LIFCell(5, 4, input_gain=20.0, dale=0.5, key=key),
        "convolution": lambda: fl.ConvLIFCell(
            5, 1, 2, 3, recurrent_kernel_size=1, input_gain=20.0, key=key
        ),
        "readout": lambda: LeakyReadout(5, 2, key=key),
        "stack": lambda: fl.Stack([fl.TanhCell(5, 4, key=key), fl.LIFCell(4, 3, key=key)]),
    }[kind]()
    trials = (2, 3)
    inputs = normal(STEPS, *trials, 5)
    keys = jax.random.split(key, trials)
    start = cell.initial_state
    many = start
    for _ in trials:
        many = jax.vmap(many)
    states = many(key=keys)
    for given in (None, states):
        found = cell.over_time(inputs, given)
        assert found.shape == (STEPS, *trials, cell.hidden_size)
        for trial in np.ndindex(trials):
            state = start() if given is None else jax.tree.map(lambda x, t=trial: x[t], states)
            outputs = step_by_step(cell, state, inputs[(slice(None), *trial)])
            close(np.asarray(found)[(slice(None), *trial)], outputs)
    assert np.abs(found).max() > 0


def test_a_steep_escape_noise_is_the_deterministic_neuron(key):
    net = network(key)
    steep = with_escape(net, escape_noise.SigmoidNoise(1e09))
    inputs = normal(STEPS, 14)
    expected = run(net, inputs)
    assert 0.02 < expected[0].mean() < 0.9
    found = run(steep, with_noise(steep, inputs, key=key))
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_spikes_come_with_their_probability(key):
    """A neuron held at a membrane fires in a share p of the steps: 4 standard errors."""
    escape = escape_noise.SigmoidNoise(3.33333)
    cell = fl.LIFCell(1, 1, escape=escape, feedforward_only=True, reset="none", key=key)
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.ones((1, 1)))
    # Constant input I: synapse I / (1 - alpha), and the membrane goes there.
    current = 0.9 * (1 - np.exp(-1 / 5))
    inputs = jnp.full((20_000, 1), current)
    spikes = cell.over_time(with_noise(cell, inputs, key=key))[200:]
    p = float(escape.probability(jnp.asarray(-0.1)))
    assert abs(float(spikes.mean()) - p) < 4 * np.sqrt(p * (1 - p) / spikes.size)


def test_randomness_is_an_input(key):
    net = network(key, escape_noise.SigmoidNoise(5))
    inputs = normal(STEPS, 14)
    first = run(net, with_noise(net, inputs, key=key))[0]
    again = run(net, with_noise(net, inputs, key=key))[0]
    other = run(net, with_noise(net, inputs, key=jax.random.key(1)))[0]
    np.testing.assert_array_equal(first, again)
    assert not jnp.array_equal(first, other)


def test_uniform_numbers_are_no_tangent_directions(key):
    cell = fl.LIFCell(2, 3, escape=escape_noise.SigmoidNoise(5), key=key)
    inputs = with_noise(cell, normal(STEPS, 2), key=key)
    spectrum = eqx.filter_eval_shape(
        fl.lyapunov_spectrum, cell, cell.initial_state(), inputs, key=key
    )
    assert spectrum.exponents.shape == (6,)


def test_a_stochastic_layer_starts_without_spikes(key):
    cell = fl.LIFCell(2, 50, escape=escape_noise.ExponentialNoise(1.0), key=key)
    state = cell.initial_state()
    # Far above threshold the probability is 1, and uniform numbers below 1 always make spikes.
    state = state._replace(membrane=jnp.full(50, 9.0))
    np.testing.assert_array_equal(cell.output(state), np.zeros(50))


def test_readout_is_the_double_filter_of_its_currents(key):
    readout = LeakyReadout(3, 2, time_step=0.5, membrane_time_constant=40.0, key=key)
    inputs = normal(20, 3)
    alpha, beta = np.exp(-0.5 / 5), np.exp(-0.5 / 40)
    membrane = synapse = np.zeros(2)
    over_time = np.asarray(readout.over_time(inputs))
    for input, found in zip(np.asarray(inputs), over_time, strict=True):
        synapse = alpha * synapse + np.asarray(readout.weight) @ input
        membrane = beta * membrane + (1 - beta) * synapse
        close(found, membrane)
    states = scan(readout, readout.initial_state(), inputs)
    close(over_time, states.membrane)


def test_fluctuation_driven_membranes_have_the_wanted_spread(key):
    """Poisson input, no reset, steps that are short: 5 %."""
    cell = fl.LIFCell(200, 100, time_step=0.2, reset="none", feedforward_only=True, key=key)
    cell = fluctuation_driven(cell, rate=50.0, target=1.3, key=key)
    inputs = jnp.asarray(np.random.default_rng(0).random((3000, 200)) < 0.05 * 0.2, float)
    membranes = eqx.filter_jit(scan)(cell, cell.initial_state(), inputs).membrane[500:]
    spread = membranes.std(0)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(spread**2)), 1.3, rtol=0.05)


@pytest.mark.parametrize("kind", [pytest.param("dense", marks=pytest.mark.slow), "convolution"])
def test_inputs_and_recurrence_share_the_variance(kind, key):
    if kind == "dense":
        cell = fl.LIFCell(60, 80, key=key)
        made = fluctuation_driven(cell, rate=10.0, input_share=0.8, key=key)
        weights = ((made.input_weight, 60), (made.recurrent_weight, 80))
    else:
        cell = fl.ConvLIFCell(
            12, 16, 32, 5, recurrent_kernel_size=3, membrane_time_constant=10.0,
            synapse_time_constant=5.0, key=key,
        )  # fmt: skip
        made = fluctuation_driven(cell, rate=10.0, input_share=0.8, key=key)
        weights = (
            (made.convolution.kernel, 80),
            (made.recurrent_convolution.kernel, 96),
        )
    energy = 25 / (2 * 15)
    for (weight, inputs), share in zip(weights, (0.8, 0.2), strict=True):
        expected = np.sqrt(share / (inputs * 0.01 * energy))
        tolerance = 5 / np.sqrt(2 * weight.size)
        np.testing.assert_allclose(weight.std(), expected, rtol=tolerance)


def test_swapping_spikes_keeps_the_weights(key):
    net = network(key)
    noisy = with_escape(net, [escape_noise.SigmoidNoise(5), None])
    assert noisy.noise_size == net.layers[0].hidden_size
    assert eqx.tree_equal(with_escape(noisy, None), net)


def test_missing_and_superfluous_noise(key, untyped):
    net = network(key, escape_noise.SigmoidNoise(5))
    inputs = normal(STEPS, 14)
    with raises(TypeError, "input: a stochastic layer needs 13 uniform numbers with each input"):
        net.over_time(inputs)
    with raises(ValueError, "input.uniform: expected 13 numbers per step, got 12."):
        net.over_time(Noisy(inputs, jnp.zeros((STEPS, 12))))
    with raises(TypeError, "input: got uniform numbers (Noisy), but no layer is stochastic."):
        network(key).over_time(Noisy(inputs, jnp.zeros((STEPS, 13))))
    cell = fl.LIFCell(1, 2, escape=escape_noise.SigmoidNoise(), key=key)
    with raises(ValueError, "state.noise: expected the bits of uniform numbers, got None."):
        cell.output(fl.LIFState(jnp.zeros(2), jnp.zeros(2)))
