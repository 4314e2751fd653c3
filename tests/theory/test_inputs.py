"""Inputs, losses and settings of estimators of every dtype: right, or refused by name."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing import theory

pytestmark = pytest.mark.usefixtures("untyped")
DTYPES = ["bool", "uint8", "int64", "float16", "float32"]


def convert(values, dtype):
    return list(values) if dtype == "lists" else np.asarray(values).astype(jnp.dtype(dtype))


NET = theory.StochasticNet((2, 3, 1), theory.SigmoidNoise(3.0), key=jax.random.key(1))
ESTIMATORS = {
    "score": theory.ScoreFunction(),
    "surrogate": theory.Surrogate(),
    "stochastic": theory.StochasticDerivative(),
    "smoothed": theory.SmoothedStochasticDerivative(),
    "difference": theory.FiniteDifference(),
    "exact": theory.Exact(),
}


def total(spikes):
    return spikes.sum()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [*DTYPES, "lists"])
def test_inputs_of_stochastic_networks_in_every_dtype(dtype):
    draw = theory.Draw.random(NET, jax.random.key(2))
    known, given = jnp.array([1.0, 0.0]), convert([1, 0], dtype)
    for function in (theory.expected_loss, theory.exact_gradient):
        one, two = (function(NET, x, total) for x in (known, given))
        jax.tree.map(np.testing.assert_array_equal, one, two)
    for estimator in ESTIMATORS.values():
        one, two = (estimator(NET, x, total, draw) for x in (known, given))
        jax.tree.map(np.testing.assert_array_equal, one, two)
    one, two = (
        theory.expected_gradient(ESTIMATORS["score"], NET, x, total) for x in (known, given)
    )
    jax.tree.map(np.testing.assert_array_equal, one, two)


COUNTED = {
    "bool": lambda s: s[0] > 0.5,
    "uint8": lambda s: (1 - s[0]).astype(jnp.uint8) + jnp.uint8(255),
    "int32": lambda s: s.sum().astype(int),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTED)
def test_losses_that_count_are_numbers_where_they_are_not_differentiated(kind):
    """Against the same values as floats; 255 + 1 is 0 in uint8, on purpose of the loss."""
    loss = COUNTED[kind]
    on, off = (float(loss(jnp.array([s]))) for s in (1.0, 0.0))

    def as_float(s):
        return off + (on - off) * s[0]

    input, draw = jnp.array([1.0, 0.3]), theory.Draw.random(NET, jax.random.key(2))
    for name in ("score", "stochastic", "difference", "exact"):
        one, two = (ESTIMATORS[name](NET, input, f, draw) for f in (loss, as_float))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, two)
    for name in ("surrogate", "smoothed"):
        with pytest.raises(TypeError, match=f"loss: returns {kind}, which has no derivative"):
            ESTIMATORS[name](NET, input, loss, draw)


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.int8, jnp.asarray])
def test_a_baseline_of_any_kind_of_number_is_subtracted(kind):
    draw = theory.Draw.random(NET, jax.random.key(2))
    input = jnp.array([1.0, 0.3])
    plain, less = (
        theory.ScoreFunction(b)(NET, input, lambda s: 5.0 + s.sum(), draw) for b in (None, kind(4))
    )
    value = 5.0 + float(NET(input, draw.uniforms)[-1].sum())
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a * (value - 4) / value, rtol=1e-5), plain, less
    )


def test_a_difference_that_is_not_resolved_is_no_number():
    """Weights of order 1 in single precision do not feel 1e-9; those of 0 do."""
    net = eqx.tree_at(lambda n: n.biases, NET, (jnp.zeros(3), jnp.ones(1)))
    draw = theory.Draw.random(net, jax.random.key(2))
    weights, biases = theory.FiniteDifference(1e-9)(net, jnp.array([1.0, 0.3]), total, draw)
    assert all(np.isnan(w).all() for w in weights)
    assert np.isfinite(biases[0]).all()
    assert np.isnan(biases[1]).all()
    with pytest.raises(ValueError, match="estimator: samples are NaN or infinite"):
        theory.compare(
            theory.FiniteDifference(1e-9),
            net,
            jnp.array([1.0, 0.3]),
            total,
            num_samples=5,
            key=jax.random.key(0),
        )


def test_an_exact_estimator_has_no_deviation_in_single_precision():
    options = {"num_samples": 1000, "key": jax.random.key(0)}
    found = theory.compare(theory.Exact(), NET, jnp.array([1.0, 0.3]), total, **options)
    assert found.z_score == 0
    np.testing.assert_array_equal(found.z_scores, 0)
    assert found.bias < 1e-6
    exact = np.array([0.3, -0.4], np.float32)
    found = theory.summarise(exact, np.tile(np.nextafter(exact, np.float32(1)), (5, 1)))
    assert found.z_score == 0
    np.testing.assert_array_equal(found.z_scores, 0)


def test_means_of_many_single_precision_samples_are_sums_in_double():
    exact = np.array([3.0, 4.0], np.float32)
    samples = np.random.default_rng(0).normal(1000, 1, (200_000, 2)).astype(np.float32)
    found = theory.summarise(exact, samples)
    np.testing.assert_allclose(found.mean, samples.astype(float).mean(0), rtol=1e-14)
    integers = theory.summarise([3, 4], [[3, 0], [5, 4], [4, 2], [4, 2]])
    np.testing.assert_allclose(integers.mean, [4, 2])
    np.testing.assert_allclose(integers.variance, (2 / 3 + 8 / 3) / 25)
