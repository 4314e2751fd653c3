"""Estimators of gradients against brute enumeration, and against each other."""

import itertools

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from flossing import theory
from flossing.surrogates import SuperSpike

pytestmark = pytest.mark.usefixtures("x64")

INPUT = jnp.array([0.4, -0.7])
SIZES = (2, 3, 2, 1)


def output(spikes):
    return spikes.sum()


def flat(tree):
    return jax.flatten_util.ravel_pytree(tree)[0]


@pytest.fixture(scope="module")
def net():
    with jax.enable_x64(True):
        noises = [
            theory.SigmoidNoise(3.0),
            theory.ExponentialNoise(0.4, 0.8, saturation="hazard"),
            theory.SigmoidNoise(2.0),
        ]
        yield theory.StochasticNet(SIZES, noises, gain=1.5, key=jax.random.key(2))


def brute_force(net, loss, input=INPUT):
    """Expectation of a loss: a sum over every pattern of all neurons, one at a time."""
    total = 0.0
    layers = list(zip(net.weights, net.biases, net.noises, strict=True))
    for pattern in itertools.product([0.0, 1.0], repeat=net.num_neurons):
        before, start, probability = np.asarray(input), 0, 1.0
        for weight, bias, noise in layers:
            now = np.array(pattern[start : start + len(bias)])
            p = np.asarray(noise.probability(jnp.asarray(np.asarray(weight) @ before + bias)))
            probability *= np.where(now == 1, p, 1 - p).prod()
            before, start = now, start + len(bias)
        total += probability * float(loss(before))
    return total


def test_expected_loss_is_the_sum_over_all_patterns(net):
    wide = theory.StochasticNet((2, 3, 2), theory.SigmoidNoise(3.0), key=jax.random.key(1))

    def distance(spikes):
        return ((spikes - jnp.array([0.2, 0.9])) ** 2).sum()

    for network, loss in ((net, output), (wide, distance)):
        found = theory.expected_loss(network, INPUT, loss)
        np.testing.assert_allclose(found, brute_force(network, loss), rtol=1e-13)


def test_expected_spikes_are_expected_losses(net):
    rates = theory.expected_spikes(net, INPUT)
    assert [len(r) for r in rates] == [3, 2, 1]
    np.testing.assert_allclose(rates[-1][0], theory.expected_loss(net, INPUT, output), rtol=1e-14)
    x = net.weights[0] @ INPUT + net.biases[0]
    np.testing.assert_allclose(rates[0], net.noises[0].probability(x), rtol=1e-14)


def test_exact_gradient_is_the_slope_of_the_expected_loss(net):
    found = flat(theory.exact_gradient(net, INPUT, output))
    vector, unravel = jax.flatten_util.ravel_pytree((net.weights, net.biases))
    direction = jnp.asarray(np.random.default_rng(0).normal(size=vector.size))

    @jax.jit
    def value(vector):
        moved = eqx.tree_at(lambda n: (n.weights, n.biases), net, unravel(vector))
        return theory.expected_loss(moved, INPUT, output)

    up, down = (value(vector + s * 1e-5 * direction) for s in (1, -1))
    np.testing.assert_allclose(found @ direction, (up - down) / 2e-5, rtol=1e-7)


def test_score_function_is_unbiased_exactly(net):
    exact = flat(theory.exact_gradient(net, INPUT, output))
    for baseline in (None, 0.7):
        mean = theory.expected_gradient(theory.ScoreFunction(baseline), net, INPUT, output)
        np.testing.assert_allclose(flat(mean), exact, rtol=1e-11, atol=1e-14)


def test_surrogate_is_the_smoothed_stochastic_derivative_at_sampled_spikes(net):
    draws = [theory.Draw.random(net, key) for key in jax.random.split(jax.random.key(5), 20)]
    smoothed = eqx.filter_jit(theory.SmoothedStochasticDerivative())
    surrogate = eqx.filter_jit(theory.Surrogate())
    for draw in draws:
        one, two = (flat(e(net, INPUT, output, draw)) for e in (smoothed, surrogate))
        np.testing.assert_allclose(one, two, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("side", ["right", "left", "two-sided"])
def test_smoothed_derivatives_are_biased_in_depth_only(side):
    """One layer is exact in expectation from each side; two layers are not."""
    estimator = theory.SmoothedStochasticDerivative(side)
    for sizes, least, most in (((2, 1), 0, 1e-13), ((2, 3, 1), 0.01, 2)):
        net = theory.StochasticNet(sizes, theory.SigmoidNoise(4.0), gain=2.0, key=jax.random.key(3))
        exact = flat(theory.exact_gradient(net, INPUT, output))
        mean = flat(theory.expected_gradient(estimator, net, INPUT, output))
        off = jnp.linalg.norm(mean - exact) / jnp.linalg.norm(exact)
        assert least <= off <= most


def test_squared_error_biases_one_layer():
    """The expected loss is exact only if the loss is linear in the spikes: p' 2 (p - t) for p' (1 - 2 t)."""
    net = theory.StochasticNet((2, 1), theory.SigmoidNoise(4.0), key=jax.random.key(3))

    def loss(spikes):
        return ((spikes - 0.3) ** 2).sum()

    x = net.weights[0] @ INPUT + net.biases[0]
    p, slope = (f(x)[0] for f in (net.noises[0].probability, net.noises[0].slope))
    mean = theory.expected_gradient(theory.Surrogate(), net, INPUT, loss)
    np.testing.assert_allclose(mean[1][0][0], slope * 2 * (p - 0.3), rtol=1e-12)
    exact = theory.exact_gradient(net, INPUT, loss)
    np.testing.assert_allclose(exact[1][0][0], slope * (1 - 0.6), rtol=1e-12)


UNBIASED = [
    theory.ScoreFunction(),
    theory.ScoreFunction("mean"),
    theory.StochasticDerivative("right"),
    theory.StochasticDerivative("left"),
    theory.StochasticDerivative(),
    theory.StochasticDerivative(pruned=True),
]


@pytest.fixture(scope="module")
def fifty():
    """Samples of all unbiased estimators in 50 random networks, and of two others."""
    with jax.enable_x64(True):
        estimators = (*UNBIASED, theory.Surrogate(), theory.FiniteDifference(0.3))

        @eqx.filter_jit
        def draw(keys):
            def one(key):
                net_key, input_key, steep_key, draw_key = jax.random.split(key, 4)
                noise = theory.SigmoidNoise(jax.random.uniform(steep_key, (), minval=0.5, maxval=2))
                net = theory.StochasticNet(SIZES, noise, gain=1.0, key=net_key)
                input = jax.random.normal(input_key, (2,))
                exact = flat(theory.exact_gradient(net, input, output))
                return exact, [
                    theory.gradient_samples(e, net, input, output, 1000, draw_key)
                    for e in estimators
                ]

            return jax.lax.map(one, keys)

        exact, samples = draw(jax.random.split(jax.random.key(11), 50))
        names = [str(e) for e in estimators]
        yield {
            name: [
                theory.summarise(np.asarray(e), np.asarray(v))
                for e, v in zip(exact, s, strict=True)
            ]
            for name, s in zip(names, samples, strict=True)
        }


@pytest.mark.slow
@pytest.mark.parametrize("estimator", UNBIASED, ids=str)
def test_unbiased_estimators_hit_the_gradient_in_fifty_networks(estimator, fifty):
    scores = np.array([c.z_score for c in fifty[str(estimator)]])
    assert np.abs(scores).max() < 4
    # Not because the errors are too large: z-scores have a spread of one.
    assert 0.7 < scores.std() < 1.3


@pytest.mark.slow
def test_variances_are_ordered(fifty):
    def median(estimator):
        return np.median([c.variance for c in fifty[str(estimator)]])

    score, baseline, right, _, both, pruned = (median(e) for e in UNBIASED)
    assert baseline < score
    assert both < right < score
    assert both < pruned
    assert median(theory.FiniteDifference(0.3)) > median(theory.Surrogate())


def test_a_known_bias_is_found_in_samples():
    noise = theory.SigmoidNoise(8.0)
    net = theory.StochasticNet((2, 3, 1), noise, gain=2.0, key=jax.random.key(3))
    exact = flat(theory.exact_gradient(net, INPUT, output))
    mean = flat(theory.expected_gradient(theory.Surrogate(), net, INPUT, output))
    known = float(jnp.linalg.norm(mean - exact) / jnp.linalg.norm(exact))
    found = theory.compare(
        theory.Surrogate(), net, INPUT, output, num_samples=8000, key=jax.random.key(1)
    )
    assert known > 10 * found.bias_error
    assert abs(found.bias - known) < 4 * found.bias_error
    assert found.samples_for(0.9 * found.bias) == float("inf")


@pytest.mark.slow
def test_finite_differences_have_the_mean_of_exact_differences(net):
    vector, unravel = jax.flatten_util.ravel_pytree((net.weights, net.biases))

    @jax.jit
    def value(vector):
        moved = eqx.tree_at(lambda n: (n.weights, n.biases), net, unravel(vector))
        return theory.expected_loss(moved, INPUT, output)

    steps = 0.3 * jnp.eye(vector.size)
    wanted = np.array([(value(vector + e) - value(vector - e)) / 0.6 for e in steps])
    samples = jax.jit(
        lambda key: theory.gradient_samples(
            theory.FiniteDifference(0.3), net, INPUT, output, 4000, key
        )
    )(jax.random.key(7))
    assert abs(theory.summarise(wanted, np.asarray(samples)).z_score) < 4
    exact = flat(theory.exact_gradient(net, INPUT, output))
    assert np.linalg.norm(wanted - exact) > 1e-3 * np.linalg.norm(exact)


@pytest.mark.slow
def test_another_surrogate_in_the_backward_pass(net):
    draw = theory.Draw.random(net, jax.random.key(0))
    shape = SuperSpike(2.0, peak=0.5)
    weights, biases = theory.Surrogate(shape)(net, INPUT, output, draw)
    layers = [np.asarray(w) for w in net.weights]
    before = [np.asarray(s) for s in (INPUT, *net(INPUT, draw.uniforms)[:-1])]
    x = [w @ s + b for w, b, s in zip(layers, net.biases, before, strict=True)]
    signal = np.ones(1)
    for layer in (2, 1, 0):
        signal = signal / (2 * np.abs(x[layer]) + 1) ** 2 / 2
        np.testing.assert_allclose(biases[layer], signal, rtol=1e-12)
        np.testing.assert_allclose(weights[layer], np.outer(signal, before[layer]), rtol=1e-12)
        signal = layers[layer].T @ signal


def test_summary_of_known_samples():
    exact = np.array([3.0, 4.0])
    samples = np.array([[3.0, 0.0], [5.0, 4.0], [4.0, 2.0], [4.0, 2.0]])
    found = theory.summarise(exact, samples, passes=7)
    np.testing.assert_allclose(found.mean, [4, 2])
    variances = np.array([2 / 3, 8 / 3])
    np.testing.assert_allclose(found.standard_errors, np.sqrt(variances / 4))
    np.testing.assert_allclose(found.variance, variances.sum() / 25)
    np.testing.assert_allclose(found.bias, np.sqrt(5 - variances.sum() / 4) / 5)
    np.testing.assert_allclose(found.cosine, 20 / (5 * np.sqrt(20)))
    assert found.passes == 7
    np.testing.assert_allclose(found.samples_for(2.0), 1)
    left = 0.45**2 - found.bias**2
    np.testing.assert_allclose(found.samples_for(0.45), found.variance / left)
    np.testing.assert_allclose(found.z_scores, [2 * np.sqrt(1.5), -2 * 2 / np.sqrt(8 / 3)])
