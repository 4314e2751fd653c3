"""Points and fields of every dtype: right, or refused by name, in single precision."""

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
DTYPES = ["bool", "uint8", "int64", "float16", "float32"]
STEP = theory.SmoothStep(Sigmoid(jnp.asarray(2.0), normalise="area"))


def convert(values, dtype):
    return list(values) if dtype == "lists" else np.asarray(values).astype(jnp.dtype(dtype))


def slope_of_a_square(x):
    """Of ``x . x + x_0``."""
    return (2 * x).at[0].add(1)


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
    found = theory.line_integral(slope_of_a_square, path, tolerance=1e-2)
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


@pytest.mark.slow
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
