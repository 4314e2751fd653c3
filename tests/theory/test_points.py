"""Points, fields, inputs and losses of every dtype: right, or refused by name, in single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flossing import theory
from flossing.surrogates import Sigmoid

pytestmark = pytest.mark.usefixtures("untyped")
PROPERTY = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
STEP = theory.SmoothStep(Sigmoid(jnp.asarray(2.0), normalise="area"))


def convert(values, dtype):
    return list(values) if dtype == "lists" else np.asarray(values).astype(jnp.dtype(dtype))


@given(
    start=st.sampled_from([*DTYPES, "lists"]),
    stop=st.sampled_from([*DTYPES, "lists"]),
    values=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=3),
)
@PROPERTY
def test_a_line_integral_of_a_gradient_is_the_difference_of_its_potential(start, stop, values):
    """Of ``x . x + x_0``, between points of any dtype; half precision knows it to 1 %."""
    one, two = (np.array(v) for v in zip(*values, strict=True))
    path = theory.segment(convert(one, start), convert(two, stop))

    def field(x):
        return (2 * x).at[0].add(1)

    found = theory.line_integral(field, path, tolerance=1e-2)
    coarse = bool({start, stop} & {"float16", "bfloat16"})
    expected = (two @ two + two[0]) - (one @ one + one[0])
    np.testing.assert_allclose(found.value, expected, atol=2e-2 if coarse else 1e-5)


def test_single_numbers_are_points_too():
    for path in (theory.segment(0, 2), theory.segment(0.0, np.float64(2))):
        found = theory.line_integral(lambda x: x, path)
        np.testing.assert_allclose(found.value, 2.0, rtol=1e-6)
        assert found.converged


@pytest.mark.parametrize(
    "constant", [[3, -1], [3.0, -1.0], np.array([3, -1], np.int8), jnp.array([3, -1])], ids=repr
)
def test_a_field_of_integers_is_a_field(constant):
    """The entries are constant: from (0, 0) to (1, 2) that is 3 - 2."""
    path = theory.segment([0, 0], [1, 2])
    found = theory.line_integral(lambda x: jnp.asarray(constant), path)
    np.testing.assert_allclose(found.value, 1.0, rtol=1e-6)
    pair = theory.line_integral(lambda x: tuple(constant), lambda s: (s, 2 * s), tolerance=1e-4)
    np.testing.assert_allclose(pair.value, 1.0, rtol=1e-6)
    assert theory.curl(lambda x: jnp.asarray(constant), [1, 2]).ratio == 0


@pytest.mark.parametrize("dtype", [*DTYPES, "lists"])
def test_circulation_and_curl_of_a_rotation_for_every_dtype(dtype):
    def rotation(x):
        return jnp.stack([-x[1], x[0]])

    centre, first, second = (convert(v, dtype) for v in ([1, 0], [1, 0], [0, 1]))
    path = theory.circle(centre, first, second, radius=np.int8(1))
    exact = dtype not in ("float16", "bfloat16")
    found = theory.line_integral(rotation, path, num_points=64, tolerance=0.1)
    np.testing.assert_allclose(found.value, 2 * np.pi, rtol=1e-5 if exact else 2e-2)
    assert theory.curl(rotation, centre)[:3] == (np.sqrt(2), 0, float("inf"))
    assert float(theory.plane_curl(rotation, centre, first, second)) == 2
    assert theory.curl(rotation, centre, num_probes=2, key=jax.random.key(0)).symmetric == 0


def test_a_map_has_directions_of_integers():
    def product(network):
        return STEP(network[0][0]) * STEP(network[0][1])

    options = {"extent": 1, "num_points": 3}
    zero, one, two = ((jnp.asarray(v, float), STEP) for v in ([0, 0], [1, 0], [0, 1]))
    known = theory.bias_map(product, zero, one, two, **options)
    with pytest.raises(ValueError, match="first: holds no floating-point array"):
        theory.bias_map(product, zero, (jnp.array([1, 0]), STEP), two, **options)
    assert (known.gradient > 0).all()


@pytest.mark.parametrize("dtype", [*DTYPES, "lists"])
def test_signs_agree_for_every_dtype(dtype):
    first, second = convert([1, 0, 1, 0], dtype), convert([1, 0, 0, 1], dtype)
    assert theory.sign_agreement(first, second) == 0.5
    assert theory.sign_agreement(first, np.array([1.0, 0.0, 1.0, 0.0])) == 1


def test_networks_of_integers_have_no_gradient_and_are_told_so():
    def output(network):
        return network[1](jnp.asarray(network[0]).sum())

    for weights in (jnp.array([1, 2]), [1, 2], [1.0, 2.0], np.array([True])):
        for gradient in (theory.surrogate_gradient, theory.true_gradient):
            with pytest.raises(ValueError, match="network: holds no floating-point array"):
                gradient(output, (weights, STEP))
        with pytest.raises(ValueError, match="start: holds no floating-point array"):
            theory.segment((weights, STEP), (weights, STEP))


class Net(eqx.Module):
    weight: jax.Array
    lag: int
    key: jax.Array


def test_a_segment_between_networks_that_differ_in_what_does_not_move_is_refused():
    one, two = jnp.zeros(2), jnp.ones(2)
    with pytest.raises(ValueError, match="stop: differs from start in 2, which is no floating"):
        theory.segment((one, 1), (two, 2))
    with pytest.raises(ValueError, match="stop: differs from start"):
        theory.segment((one, jnp.array([1, 2])), (two, jnp.array([1, 3])))
    nets = [Net(w, 3, jax.random.key(i)) for i, w in enumerate((one, two))]
    np.testing.assert_array_equal(theory.segment(*nets)(jnp.asarray(1.0)).weight, two)


def test_a_jump_is_not_located_better_than_single_precision_can():
    """At 1/3, which has a rounding error: a smaller error is not claimed."""

    def field(x):
        return jnp.where(x > 1 / 3, 2.0, -1.0)

    path = theory.segment(jnp.zeros(1), jnp.ones(1))
    fine = theory.line_integral(field, path, tolerance=1e-10)
    assert not fine.converged
    assert abs(fine.value - 1) <= fine.error
    coarse = theory.line_integral(field, path, tolerance=1e-5)
    assert coarse.converged
    assert abs(coarse.value - 1) <= coarse.error <= 1e-5


def test_no_points_give_no_integrand():
    path = theory.segment([0], [1])
    assert theory.along_path(lambda x: x, path, []).shape == (0,)
    assert theory.along_path(lambda x: x, path, np.zeros((2, 0))).shape == (2, 0)
    np.testing.assert_allclose(theory.along_path(lambda x: x, path, [0, 1]), [0, 1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_directions_of_a_plane_in_every_precision(dtype):
    first, second = theory.random_plane(jnp.zeros((3, 2), dtype), key=jax.random.key(0))
    assert first.dtype == dtype
    one, two = (np.asarray(x, float).ravel() for x in (first, second))
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose([one @ one, two @ two, one @ two], [1, 1, 0], atol=4 * eps)
    np.testing.assert_allclose(
        np.linalg.det(np.stack(theory.random_plane(jnp.zeros(2), key=jax.random.key(0)))) ** 2,
        1,
        rtol=1e-5,
    )


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


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: theory.line_integral(lambda x: x, lambda s: jnp.array([1, 2])),
            ValueError,
            "path: its points hold no floating-point array, so that nothing moves.",
        ),
        (
            lambda: theory.line_integral(lambda x: x, theory.segment([0], [1]), tolerance=[1.0]),
            ValueError,
            r"tolerance: expected one number, got shape \(1,\).",
        ),
        (lambda: theory.segment([[0, 1], [2]], [1, 2]), TypeError, "start: expected an array"),
        (lambda: theory.segment("ab", "cd"), ValueError, "start: holds no floating-point array"),
        (lambda: theory.curl(lambda x: x, None), ValueError, "point: holds no floating-point"),
        (
            lambda: theory.curl(lambda x: x[:1], [1, 2]),
            ValueError,
            r"field: expected parameters of shapes \[\(2,\)\], got \[\(1,\)\].",
        ),
        (
            lambda: theory.plane_curl(lambda x: x, [1, 2], [1], [0, 1]),
            ValueError,
            r"first: expected parameters of shapes \[\(2,\)\], got \[\(1,\)\].",
        ),
        (
            lambda: theory.circle([0, 0], [1, 0], [0, 1], radius=[1.0, 2.0]),
            ValueError,
            r"radius: expected one number, got shape \(2,\).",
        ),
        (
            lambda: theory.random_plane(jnp.ones(1), key=jax.random.key(0)),
            ValueError,
            "network: a plane needs at least two parameters, got one.",
        ),
        (
            lambda: theory.bias_map(jnp.sum, [0, 0], [1, 0], [0, 1], extent=0.0),
            ValueError,
            "extent: expected a finite positive number, got 0.0.",
        ),
        (lambda: theory.ScoreFunction(True), TypeError, "baseline: expected a number, got True"),
        (lambda: theory.ScoreFunction(np.ones(2)), ValueError, "baseline: expected one number"),
        (lambda: theory.FiniteDifference(np.ones(2)), ValueError, "step: expected one number"),
        (
            lambda: theory.StochasticNet((1, 1), gain=np.ones(1), key=jax.random.key(0)),
            ValueError,
            "gain: expected one number",
        ),
        (
            lambda: theory.StochasticNet((1, 1), theory.SigmoidNoise, key=jax.random.key(0)),
            TypeError,
            r"noise: expected an escape noise such as SigmoidNoise\(\), got",
        ),
        (
            lambda: theory.expected_loss(NET, [1, 0], lambda s: s),
            ValueError,
            r"loss: expected shape \(\), got \(1,\)\.",
        ),
        (
            lambda: theory.expected_loss(NET, [1, [0]], total),
            TypeError,
            "input: expected an array of numbers",
        ),
        (lambda: theory.summarise([1.0], [[1.0]]), ValueError, "samples: expected at least two"),
        (lambda: theory.summarise([1.0], np.ones((3, 2))), ValueError, "samples: expected at"),
        (
            lambda: theory.TwoPathNet([1, 2, 3, 4, "5"], 1.0),
            TypeError,
            "parameters: expected numbers, got dtype",
        ),
        (lambda: theory.TwoPathNet(range(5), 1.0, input=[1, 2]), ValueError, "input: expected one"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
