"""Surrogates for PyTorch: values and derivatives of ours, under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing as fl  # noqa: E402
import flossing.torch as ft  # noqa: E402

SHAPES = [
    "SuperSpike",
    "Sigmoid",
    "Arctan",
    "Triangular",
    "Gaussian",
    "Erf",
    "Exponential",
    "Boxcar",
]
X = torch.linspace(-1.3, 1.3, 15, dtype=torch.float64)


def pair(name):
    """Ours for PyTorch and for JAX."""
    settings = {"sharpness": 1.7, "peak": 0.6}
    return getattr(ft.surrogates, name)(**settings), getattr(fl.surrogates, name)(**settings)


@pytest.mark.parametrize("name", SHAPES)
def test_derivatives_of_first_and_second_order_are_those_of_jax(name, x64, untyped):
    torchs, jaxs = pair(name)
    x = X.clone().requires_grad_()
    spikes = torchs(x)
    first = torch.autograd.grad(spikes.sum(), x, create_graph=True)[0]
    given = jnp.asarray(X)
    np.testing.assert_array_equal(spikes.detach(), jaxs(given))
    np.testing.assert_allclose(first.detach(), jaxs.derivative(given), rtol=1e-12)
    if name != "Boxcar":
        second = torch.autograd.grad(first.sum(), x)[0]
        expected = jax.vmap(jax.grad(jaxs.derivative))(given)
        inner = X.abs().numpy() > 1e-9  # at a kink both have a convention of their own
        np.testing.assert_allclose(second.numpy()[inner], np.asarray(expected)[inner], atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("name", SHAPES)
def test_every_transformation_sees_the_declared_derivative(name):
    surrogate = pair(name)[0]
    expected = surrogate.derivative(X)
    pushed = torch.func.jvp(surrogate, (X,), (torch.ones_like(X),))[1]
    np.testing.assert_allclose(pushed, expected)
    np.testing.assert_allclose(torch.func.vmap(torch.func.grad(surrogate))(X), expected)
    np.testing.assert_allclose(torch.func.jacfwd(surrogate)(X).diagonal(), expected)
    np.testing.assert_allclose(torch.func.jacrev(surrogate)(X).diagonal(), expected)
    batches = torch.func.vmap(surrogate)(X.reshape(5, 3))
    np.testing.assert_array_equal(batches, surrogate(X).reshape(5, 3))


@pytest.mark.parametrize("name", SHAPES)
def test_descriptions_are_the_same(name):
    torchs, jaxs = pair(name)
    assert torchs.describe() == jaxs.describe()
    by_width = getattr(ft.surrogates, name).from_half_width(0.2, peak=0.5)
    assert (
        by_width.describe()
        == getattr(fl.surrogates, name).from_half_width(0.2, peak=0.5).describe()
    )


def test_area_one_has_the_peak_of_ours():
    ours = ft.surrogates.Sigmoid(8.0, normalise="area")
    assert ours.peak == pytest.approx(2.0)
    assert ft.surrogates.StraightThrough(peak=0.3).describe()["area"] == "infinity"


def test_errors_are_those_of_ours():
    with pytest.raises(ValueError, match="sharpness: expected a finite positive number, got -1"):
        ft.surrogates.SuperSpike(-1.0)
    with pytest.raises(TypeError, match="one of its kinds"):
        ft.surrogates.Surrogate()


def test_half_precision_does_not_overflow():
    x = torch.tensor([0.5, -0.01], dtype=torch.float16)
    found = ft.surrogates.SuperSpike(1000.0).derivative(x)
    np.testing.assert_allclose(found.double(), [1 / 501**2, 1 / 11**2], rtol=0.02)
    assert found.dtype == torch.float16


@pytest.mark.parametrize("library", ["snntorch", "spikingjelly"])
def test_they_serve_in_libraries(library):
    pytest.importorskip(library)
    surrogate = ft.surrogates.SuperSpike(3.0)
    if library == "snntorch":
        import snntorch

        module = snntorch.RLeaky(0.9, linear_features=4, spike_grad=surrogate)
    else:
        from spikingjelly.activation_based import layer, neuron

        node = neuron.LIFNode(surrogate_function=surrogate, detach_reset=True)
        module = layer.LinearRecurrentContainer(node, 4, 4)
    x = 2 * torch.rand(20, 2, 4)
    loss = ft.flossing_loss(*ft.as_step(module, x[0]), x, num_exponents=2)
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in module.parameters() if p.grad is not None) > 0
