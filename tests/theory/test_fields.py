"""Line integrals and curl: fields whose potential, circulation and Jacobian are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ortho_group

from flossing import theory
from flossing.surrogates import Sigmoid

pytestmark = pytest.mark.usefixtures("x64")

# NumPy arrays: JAX's would be made in single precision here.
CENTRE = np.array([0.3, -0.2, 0.5])
FIRST, SECOND, _ = np.eye(3)


def rotation(x):
    return jnp.array([-x[1], x[0], 0.0])


def potential(x):
    return jnp.sin(x[0]) * jnp.exp(x[1]) + x[2] ** 3


@pytest.fixture(scope="module")
def circle():
    with jax.enable_x64(True):
        yield theory.circle(CENTRE, FIRST, SECOND, radius=1.3)


def test_integral_around_a_rotation_is_twice_the_area(circle):
    found = theory.line_integral(rotation, circle, tolerance=1e-12)
    np.testing.assert_allclose(found.value, 2 * np.pi * 1.3**2, rtol=1e-13)
    assert found.converged
    assert found.error <= 1e-12
    assert found.evaluations == 16 * 15


def test_integral_around_an_ellipse_is_twice_its_area():
    path = theory.circle(CENTRE, FIRST, 3 * SECOND + FIRST, radius=0.5)
    found = theory.line_integral(rotation, path, num_points=64)
    np.testing.assert_allclose(found.value, 2 * np.pi * 3 * 0.25, rtol=1e-13)


def test_integral_of_a_gradient_is_a_difference_of_potentials(circle):
    field = jax.grad(potential)
    assert abs(theory.line_integral(field, circle, tolerance=1e-12).value) < 1e-12
    end = CENTRE + 1
    found = theory.line_integral(field, theory.segment(CENTRE, end), tolerance=1e-12)
    np.testing.assert_allclose(found.value, potential(end) - potential(CENTRE), rtol=1e-13)


def test_jumps_are_enclosed():
    def field(x):
        return jnp.where(x > 1 / 3, 2.0, -1.0) * jnp.ones_like(x)

    path = theory.segment(jnp.zeros(1), jnp.ones(1))
    found = theory.line_integral(field, path, tolerance=1e-9)
    assert found.converged
    assert abs(found.value - 1) < 1e-9
    assert found.error <= 1e-9
    assert found.evaluations < 2000
    coarse = theory.line_integral(field, path, num_points=100)
    assert 1e-4 < abs(coarse.value - 1) < 0.02
    assert not coarse.converged
    stopped = theory.line_integral(field, path, tolerance=1e-9, max_evaluations=300)
    assert not stopped.converged
    assert stopped.error > 1e-9
    assert stopped.evaluations <= 300


def test_paths_move_parameters_only():
    net = theory.TwoPathNet(np.zeros(5), Sigmoid(jnp.asarray(7.0), normalise="area"))
    first, second = theory.random_plane(net, key=jax.random.key(0))
    one, two = first.parameters, second.parameters
    np.testing.assert_allclose([one @ one, two @ two, one @ two], [1, 1, 0], atol=1e-14)
    moved = theory.circle(net, first, second, radius=2.0)(jnp.asarray(0.25))
    np.testing.assert_allclose(moved.parameters, 2 * two, atol=1e-14)
    assert moved.step.sharpness == 7


def output(net):
    return net()


def test_published_circle():
    """The integrals around the circle of Gygax & Zenke 2025, their orientation."""
    second, first = ortho_group.rvs(5, random_state=124)[:2]
    nets = [theory.TwoPathNet(p, 1e4) for p in (np.zeros(5), first, second)]
    path = theory.circle(*nets, radius=1.8)
    for beta, known in {1.0: -0.0425, 5.0: 0.3691, 20.0: 1.8176}.items():
        surrogate = Sigmoid(jnp.asarray(beta), normalise="area")
        field = theory.GradientField(output, surrogate)
        found = theory.line_integral(field, path, tolerance=1e-6)
        assert found.converged
        assert found.value == pytest.approx(known, abs=5e-5)


MATRIX = np.random.default_rng(5).normal(size=(4, 4))


def linear(x):
    return MATRIX @ x


def test_curl_of_a_linear_field_is_that_of_its_matrix():
    point = jnp.ones(4)
    odd, even = (np.linalg.norm(MATRIX + s * MATRIX.T) / 2 for s in (-1, 1))
    found = theory.curl(linear, point)
    np.testing.assert_allclose(found, [odd, even, odd / even, 0], rtol=1e-13)
    probed = theory.curl(linear, point, num_probes=4000, key=jax.random.key(1))
    assert 0 < probed.ratio_error < 0.03
    assert abs(probed.ratio - found.ratio) < 4 * probed.ratio_error
    plane = theory.plane_curl(linear, point, *np.eye(4)[:2])
    np.testing.assert_allclose(plane, MATRIX[1, 0] - MATRIX[0, 1], rtol=1e-13)


def test_curl_of_a_gradient_and_of_a_rotation():
    assert theory.curl(jax.grad(potential), CENTRE).ratio < 1e-15
    assert theory.curl(rotation, CENTRE).ratio == float("inf")


def test_small_loops_have_the_curl_of_the_surrogate_gradient():
    net = theory.TwoPathNet((0.3, -0.4, 0.9, 0.7, -0.2), 3.0)
    first, second = theory.random_plane(net, key=jax.random.key(0))
    field = theory.GradientField(output, Sigmoid(8.0, normalise="area"))
    curl = theory.plane_curl(field, net, first, second)
    assert abs(curl) > 0.01
    radius = 1e-4
    path = theory.circle(net, first, second, radius=radius)
    density = theory.line_integral(field, path, num_points=16).value / (np.pi * radius**2)
    # The next term is of order radius^2.
    np.testing.assert_allclose(density, curl, rtol=1e-5)
