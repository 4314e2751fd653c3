"""Gradients of exponents: finite differences, independent derivations, modes, second order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

import flossing as fl


def flossing_like(cell, state, inputs, num_exponents=3, **options):
    """The mean square of the leading exponents."""
    spectrum = fl.lyapunov_spectrum(
        cell, state, inputs, num_exponents=num_exponents, key=jax.random.key(4), **options
    )
    return jnp.mean(spectrum.exponents**2)


def as_function_of_everything(cell, state, inputs, measure=flossing_like, **options):
    """``measure`` as a function of one vector: parameters, state and inputs; and that vector."""
    arrays, rest = eqx.partition((cell, state, inputs), eqx.is_inexact_array)
    vector, unravel = ravel_pytree(arrays)
    return lambda vector: measure(*eqx.combine(unravel(vector), rest), **options), vector


def central_differences(function, vector, size=1e-5):
    shifts = size * jnp.eye(vector.size)
    values = jax.jit(jax.vmap(function))(
        jnp.concatenate([vector[None] + shifts, vector[None] - shifts])
    )
    return (values[: vector.size] - values[vector.size :]) / (2 * size)


def relative_error(found, expected):
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


RESET_GRADIENTS = ["detached", "differentiated", "ignored"]


@pytest.fixture
def spiking_stack():
    """LIF layers with the given options and a binary layer on top, a state and inputs."""

    def make(layers, **options):
        keys = jax.random.split(jax.random.key(2), 6)
        cells = [
            fl.LIFCell(2, 2, time_step=3.0, input_gain=20.0, key=key, **layer, **options)
            for key, layer in zip(keys, layers, strict=False)
        ]
        binary = fl.BinaryCell(2, 2, input_gain=4.0, key=keys[3], **options)
        cell = fl.Stack([*cells, binary])
        inputs = jax.random.normal(keys[4], (10, 2))
        return cell, cell.initial_state(key=keys[5]), inputs

    return make


class Smooth(fl.surrogates.Sigmoid):
    """A spike nonlinearity whose value is the primitive of its derivative."""

    def __call__(self, x):
        return self.primitive(x)


@pytest.fixture(scope="module")
def rate_network():
    """A tanh network as a function of one vector, that vector, and the gradient there."""
    with jax.enable_x64(True):
        function, vector = as_function_of_everything(*tanh_network())
        return function, vector, jax.jit(jax.grad(function))


def tanh_network():
    key = jax.random.key(7)
    cell = fl.TanhCell(2, 4, key=key)
    return cell, cell.initial_state(key=key), jax.random.normal(jax.random.key(8), (10, 2))


def worst_error(case, found, expected):
    """The largest relative error of the gradient in any array: parameters, state, inputs."""
    sizes = [leaf.size for leaf in jax.tree.leaves(eqx.filter(case, eqx.is_inexact_array))]
    found, expected = (np.split(np.asarray(x), np.cumsum(sizes)[:-1]) for x in (found, expected))
    norm = np.linalg.norm
    return np.max([norm(a - b) / norm(b) for a, b in zip(found, expected, strict=True)])


# Central differences with h = 1e-5 of a loss of 0.2 err by about h^2 = 1e-10 and by eps 0.2 / h = 4e-12; the
# gradients in the single arrays have norms of 1e-3 and more.
def test_gradient_in_every_array_of_all_rate_cells_stacked_is_that_of_finite_differences(
    network, x64
):
    case = network("stack")
    function, vector = as_function_of_everything(*case)
    gradient = jax.jit(jax.grad(function))(vector)
    assert worst_error(case, gradient, central_differences(function, vector)) < 1e-6


def test_gradient_of_all_resets_with_smooth_spikes_is_that_of_finite_differences(
    spiking_stack, x64
):
    # A detached reset is no derivative of anything: finite differences know the two others only.
    case = spiking_stack(
        [
            {"reset": "to_zero", "reset_gradient": "differentiated"},
            {"reset": "subtract", "reset_gradient": "differentiated"},
            {"reset": "none"},
        ],
        surrogate=Smooth(1.0),
    )
    function, vector = as_function_of_everything(*case)
    gradient = jax.jit(jax.grad(function))(vector)
    assert worst_error(case, gradient, central_differences(function, vector)) < 1e-6


def dense_reference(cell, state, inputs, num_exponents=3):
    """The mean square of the exponents by dense Jacobians and automatic differentiation of QR."""
    flat, unravel = ravel_pytree(state)
    basis = jax.random.normal(jax.random.key(4), (flat.size, num_exponents))

    def step(vector, input):
        return ravel_pytree(cell(unravel(vector), input))[0]

    def body(carry, input):
        vector, q = carry
        q, r = jnp.linalg.qr(jax.jacfwd(step)(vector, input) @ q)
        return (step(vector, input), q), jnp.log(jnp.abs(jnp.diagonal(r)))

    logs = jax.lax.scan(body, (flat, jnp.linalg.qr(basis)[0]), inputs)[1]
    return jnp.mean(logs.mean(0) ** 2)


def test_surrogate_gradient_with_all_reset_gradients_is_that_of_dense_jacobians_and_plain_qr(
    spiking_stack, x64
):
    case = spiking_stack([{"reset_gradient": one} for one in RESET_GRADIENTS])
    function, vector = as_function_of_everything(*case)
    reference, _ = as_function_of_everything(*case, measure=dense_reference)
    gradient, expected = (jax.jit(jax.grad(one))(vector) for one in (function, reference))
    assert worst_error(case, gradient, expected) < 1e-6


def test_every_layer_of_the_spiking_network_of_these_tests_spikes_now_and_then(spiking_stack, x64):
    cell, state, inputs = spiking_stack([{"reset_gradient": one} for one in RESET_GRADIENTS])
    states = jax.lax.scan(lambda s, u: (cell(s, u), s), state, inputs)[1]
    for layer, layer_states in zip(cell.layers, states, strict=True):
        assert 0 < jax.vmap(layer.output)(layer_states).mean() < 1


@pytest.mark.slow
def test_gradient_with_rare_renormalisation_is_that_of_every_step(x64):
    def gradient(every):
        function, vector = as_function_of_everything(*tanh_network(), renormalise_every=every)
        return jax.jit(jax.grad(function))(vector)

    assert relative_error(gradient(4), gradient(1)) < 1e-10


def test_forward_mode_is_reverse_mode(rate_network, x64):
    function, vector, gradient = rate_network
    assert relative_error(jax.jit(jax.jacfwd(function))(vector), gradient(vector)) < 1e-10


def test_second_derivative_is_that_of_finite_differences_of_the_gradient(rate_network, x64):
    function, vector, gradient = rate_network
    direction = jnp.cos(jnp.arange(vector.size))
    second = jax.jit(lambda at: jax.jvp(jax.grad(function), (at,), (direction,))[1])(vector)
    shift = 1e-5 * direction
    expected = (gradient(vector + shift) - gradient(vector - shift)) / 2e-5
    assert relative_error(second, expected) < 1e-6


@pytest.mark.slow
def test_gradient_is_finite_and_that_of_the_survivors_when_directions_are_lost(x64):
    # The first and the third direction die at step 4; the others only stretch.
    factors = jnp.ones((8, 4)).at[4].set(jnp.array([0.0, 1.0, 0.0, 1.0]))

    def finite_part(log_gain):
        def step(state, factor):
            return jnp.exp(log_gain) * factor * state

        spectrum = fl.lyapunov_spectrum(step, jnp.ones(4), factors, basis=jnp.eye(4))
        return jnp.where(spectrum.lost, 0, spectrum.exponents).sum()

    gradient = jax.jit(jax.grad(finite_part))(jnp.array([0.3, 0.1, 0.2, -0.1]))
    np.testing.assert_allclose(gradient, [0, 1, 0, 1], rtol=0, atol=1e-14)


@pytest.mark.slow
def test_gradient_of_spiking_neurons_is_finite_after_exact_resets(network, x64):
    cell, state, inputs = network("lif")

    def finite_part(cell):
        spectrum = fl.lyapunov_spectrum(cell, state, inputs, key=jax.random.key(0))
        return jnp.where(spectrum.lost, 0, spectrum.exponents).sum(), spectrum.lost.sum()

    gradients, lost = eqx.filter_jit(eqx.filter_grad(finite_part, has_aux=True))(cell)
    assert lost > 0
    assert jnp.isfinite(ravel_pytree(gradients)[0]).all()


def _gained(weight, gain, state, input):
    return gain * weight @ jnp.tanh(state)


def test_gradient_of_exponents_grows_with_time_in_chaos_like_the_first_exponent(x64):
    keys = jax.random.split(jax.random.key(0), 20)
    weights = jax.vmap(lambda key: jax.random.normal(key, (40, 40)) / jnp.sqrt(40.0))(keys)

    def cumulative(gain, weight):
        spectrum = fl.lyapunov_spectrum(
            Partial(_gained, weight, gain), jnp.ones(40), num_exponents=1, num_steps=110,
            state_warmup=30, num_windows=80, key=jax.random.key(1),
        )  # fmt: skip
        return jnp.cumsum(spectrum.finite_time[:, 0])

    derivative = jax.vmap(lambda weight: jax.jvp(lambda g: cumulative(g, weight), (3.0,), (1.0,)))
    sums, slopes = jax.jit(derivative)(weights)
    growth = jnp.log(jnp.abs(slopes[:, 79] / slopes[:, 19])) / 60
    standard_error = float(growth.std(ddof=1) / jnp.sqrt(20.0))
    assert float(growth.mean()) == pytest.approx(
        float(sums[:, 79].mean() / 80), abs=4 * standard_error
    )
    assert standard_error < 0.02


@pytest.mark.parametrize(
    ("name", "every"),
    [("lif", 1), pytest.param("tanh", "auto", marks=pytest.mark.slow)],
)
def test_a_detached_warmup_leaves_the_gradient_of_counted_steps(name, every, network, x64):
    """Same value; the gradient is that of a spectrum which starts where the warm-up ends."""
    options = {"reset": "subtract"} if name == "lif" else {}
    cell, state, inputs = network(name, 12, **options)
    options = dict(num_exponents=3, key=jax.random.key(4), renormalise_every=every)
    warm = dict(state_warmup=2, warmup=4)
    each = dict(options, renormalise_every=1)
    before = fl.lyapunov_spectrum(cell, state, inputs[:6], state_warmup=2, **each)

    def gradient(start=(state, inputs), **options):
        @eqx.filter_jit
        @eqx.filter_grad(has_aux=True)
        def slope(parts):
            spectrum = fl.lyapunov_spectrum(*parts, **options)
            return jnp.mean(spectrum.exponents**2), spectrum.exponents

        return slope((cell, *start))[::-1]

    found, slope = gradient(**options, **warm, detach_warmup=True)
    later = dict(each, start=(before.final_state, inputs[6:]), basis=before.final_basis)
    counted, expected = gradient(**later)
    np.testing.assert_allclose(found, counted, rtol=1e-9)
    one, two = (ravel_pytree(s[0])[0] for s in (slope, expected))
    assert relative_error(one, two) < 1e-8
    assert np.all(ravel_pytree(slope[1])[0] == 0)
    assert np.all(slope[2][:6] == 0)
    assert np.any(slope[2][6:] != 0)
