"""Bias along a line and on a plane, against functions whose minima and signs are known."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from flossing import theory
from flossing.surrogates import Sigmoid

pytestmark = pytest.mark.usefixtures("x64")


def logistic(beta):
    return Sigmoid(jnp.asarray(beta, float), normalise="area")


def valley(network):
    """Two steps: down at w = -0.5, up at w = 0.3."""
    w, step = network
    return step(-w - 0.5) + 0.5 * step(w - 0.3)


def ends():
    return ((jnp.asarray(w), theory.SmoothStep(logistic(40.0))) for w in (-1.0, 1.0))


def test_sign_agreement_counts_equal_signs():
    first = {"a": jnp.array([1.0, -2.0, 0.0]), "b": jnp.array([[3.0]]), "name": None}
    second = {"a": jnp.array([2.0, 5.0, 0.0]), "b": jnp.array([[-1.0]]), "name": None}
    assert theory.sign_agreement(first, second) == 0.5
    assert theory.sign_agreement(first, first) == 1


def test_profile_of_a_function_and_its_surrogate_gradient():
    found = theory.bias_profile(
        valley, theory.segment(*ends()), surrogate=logistic(1.0), num_points=801
    )
    w = 2 * found.positions - 1

    # By hand: true slopes and those of steepness 1, per unit of the path, which is 2 units of w.
    def slope(z, beta):
        e = 1 / (1 + np.exp(-beta * z))
        return beta * e * (1 - e)

    for values, beta in ((found.gradient, 40.0), (found.surrogate, 1.0)):
        by_hand = 2 * (-slope(-w - 0.5, beta) + 0.5 * slope(w - 0.3, beta))
        np.testing.assert_allclose(values, by_hand, atol=1e-12)
    # The true gradient integrates to the function; so does the trapezoidal rule, to its order.
    steps = (found.gradient[1:] + found.gradient[:-1]) / 2 * np.diff(found.positions)
    np.testing.assert_allclose(found.output[0] + steps.sum(), found.output[-1], atol=1e-4)

    def primitive(w):
        return 1 / (1 + np.exp(w + 0.5)) + 0.5 / (1 + np.exp(0.3 - w))

    np.testing.assert_allclose(
        found.integrated, found.output[0] + primitive(w) - primitive(-1.0), atol=1e-6
    )
    # The output is lowest where both slopes are equal, at -0.0913; the surrogate's falls for ever.
    assert -0.11 < 2 * found.minimum - 1 < -0.08
    assert found.surrogate_minimum == 1
    assert found.displacement == found.surrogate_minimum - found.minimum
    wrong = np.mean(np.sign(found.gradient) != np.sign(found.surrogate))
    assert found.wrong_sign() == wrong
    assert 0.5 < wrong < 0.6
    assert found.wrong_sign(0.01) != wrong


def test_map_of_a_plane_has_both_gradients():
    def product(network):
        x, y, step = network
        return step(x) * step(y)

    step = theory.SmoothStep(logistic(2.0))
    zero, one = jnp.zeros(()), jnp.ones(())
    found = theory.bias_map(
        product, (zero, zero, step), (one, zero, step), (zero, one, step),
        extent=1.5, surrogate=logistic(1.0), num_points=4,
    )  # fmt: skip

    def s(z, beta):
        return 1 / (1 + np.exp(-beta * z))

    x, y = np.meshgrid(found.first, found.second, indexing="ij")
    np.testing.assert_allclose(found.output, s(x, 2) * s(y, 2), rtol=1e-12)
    for values, beta in ((found.gradient, 2), (found.surrogate, 1)):
        slopes = [beta * s(z, beta) * (1 - s(z, beta)) for z in (x, y)]
        np.testing.assert_allclose(values[..., 0], slopes[0] * s(y, 2), rtol=1e-10)
        np.testing.assert_allclose(values[..., 1], slopes[1] * s(x, 2), rtol=1e-10)
    assert found.wrong_sign.tolist() == [0, 0]
    assert (found.cosine > 0.7).all()
    assert found.cosine.min() < 0.99


def test_a_profile_prints_and_draws_its_integral():
    """Around a circle the output comes back; the surrogate's integral misses it by the loop's integral."""
    step = theory.SmoothStep(logistic(5.0))
    nets = [
        theory.TwoPathNet(jnp.array(p, float), step)
        for p in ([0.1, 0.3, 0, 1, -1], *np.eye(5)[1:3])
    ]
    circle = theory.circle(*nets, radius=1.0)
    found = theory.bias_profile(lambda n: n(), circle, surrogate=logistic(2.0), num_points=2001)
    loop = theory.line_integral(
        theory.GradientField(lambda n: n(), logistic(2.0)), circle, tolerance=1e-8
    )
    np.testing.assert_allclose(found.integrated[-1] - found.integrated[0], loop.value, atol=1e-5)
    first, *lines = repr(found).splitlines()
    assert first == "surrogate gradient integrated along a path, 2001 points"
    numbers = [[float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-\d+)?", line)] for line in lines]
    np.testing.assert_allclose(
        numbers[0], [found.output[0], found.output[-1], found.minimum], rtol=1e-3
    )
    ends = [*found.integrated[[0, -1]], found.surrogate_minimum]
    np.testing.assert_allclose(numbers[1], ends, rtol=1e-3)
    np.testing.assert_allclose(numbers[2], [100 * found.wrong_sign()], atol=0.05)
    axis = Figure().subplots()
    assert found.plot(axis) is axis
    output, _, integrated, lowest = axis.get_lines()
    np.testing.assert_array_equal(output.get_ydata(), found.output)
    np.testing.assert_array_equal(integrated.get_ydata(), found.integrated)
    assert lowest.get_xdata()[0] == found.surrogate_minimum
    data = found.to_xarray()
    np.testing.assert_array_equal(data["position"], found.positions)
    for name in ("output", "gradient", "surrogate", "integrated"):
        np.testing.assert_array_equal(data[name], getattr(found, name))


def test_a_map_prints_and_draws_its_cosines():
    first = second = np.linspace(-1, 1, 3)
    gradient = np.ones((3, 3, 2))
    surrogate = gradient.copy()
    surrogate[0, :, 0] = -1
    found = theory.BiasMap(first, second, np.arange(9.0).reshape(3, 3), gradient, surrogate)
    assert repr(found).splitlines() == [
        "true and surrogate gradient in a plane, 3 x 3 points",
        "output: 0 to 8",
        "wrong sign: 33.3 % of the points along the first direction, 0.0 % along the second",
        "cosine of the angle between both gradients: mean 0.6667, lowest 0",
    ]
    axis = found.plot(Figure().subplots())
    image, true, declared = axis.collections
    np.testing.assert_allclose(image.get_array().reshape(3, 3), found.cosine.T)
    np.testing.assert_allclose(true.U, -np.sqrt(0.5) * np.ones(9))
    np.testing.assert_allclose(declared.U, np.sqrt(0.5) * np.repeat([1, -1, -1], 3))
    data = found.to_xarray()
    assert data["gradient"].dims == ("first", "second", "component")
    for name in ("output", "gradient", "surrogate", "cosine"):
        np.testing.assert_array_equal(data[name], getattr(found, name))


def test_a_comparison_prints_its_numbers():
    samples = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    found = theory.summarise(np.array([2.0, 0.0]), samples, passes=3)
    title, *lines = repr(found).splitlines()
    assert title == "3 samples of 3 passes each, 2 parameters"
    assert f"bias: {found.bias:.4g}, standard error {found.bias_error:.2g}," in lines[0]
    assert f"variance of a sample: {found.variance:.4g} " in lines[1]
    assert f": {found.cosine:.4g} of the mean, {found.sample_cosine:.4g} of single" in lines[2]
