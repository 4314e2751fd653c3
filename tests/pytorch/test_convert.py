"""Modules as cells and back."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing as fl  # noqa: E402
import flossing.torch as ft  # noqa: E402


def lif(name, surrogate=None):
    """A spiking layer of snnTorch with a linear layer below, without biases."""
    snn = pytest.importorskip("snntorch")
    arguments = (0.8, 0.9) if name == "RSynaptic" else (0.9,)
    neuron = getattr(snn, name)(
        *arguments,
        linear_features=5,
        init_hidden=True,
        spike_grad=surrogate or ft.surrogates.Arctan(3.0),
    )
    with torch.no_grad():
        neuron.recurrent.bias.zero_()
        neuron.recurrent.weight.mul_(2.0)
    return torch.nn.Sequential(torch.nn.Linear(3, 5, bias=False), neuron).double()


@pytest.mark.parametrize("name", ["RSynaptic", "RLeaky"])
def test_spiking_layers_have_the_spectrum_and_the_gradient_of_the_cell(name, x64, untyped):
    module, k = lif(name), 4
    inputs = 1.5 * torch.rand(30, 3, dtype=torch.float64)
    step, state = ft.as_step(module, inputs[0])
    cell = ft.to_cell(module)
    rest = 1 - 0.9
    # Perturbations of membranes and synapses; spikes are perturbed as their membranes are.
    drawn = np.random.default_rng(0).normal(size=(10, k))
    membrane, synapse = drawn[:5], drawn[5:]
    slope = np.asarray(cell.surrogate.derivative(jnp.full(5, -1.0)))[:, None]  # all start at 0
    parts = {"1.spk": slope * membrane, "1.syn": rest * synapse, "1.mem": membrane}
    basis = np.concatenate([parts[key] for key in state])
    options = {"warmup": 0, "num_windows": 1}
    ours = ft.lyapunov_spectrum(
        step, state, inputs, basis=torch.tensor(basis), differentiable=True, **options
    )

    def total(cell):
        spectrum = fl.lyapunov_spectrum(
            cell, cell.initial_state(), jnp.asarray(inputs), basis=jnp.asarray(drawn), **options
        )
        return spectrum.exponents.sum(), spectrum

    (_, theirs), gradient = eqx.filter_value_and_grad(total, has_aux=True)(cell)
    # The start basis is measured in other units, which adds a constant and no gradient.
    start = (np.log(np.abs(np.diagonal(np.linalg.qr(b)[1]))) / 30 for b in (basis, drawn))
    ours_start, theirs_start = start
    del ours_start, theirs_start
    ours.exponents.sum().backward()
    found = module[1].recurrent.weight.grad * rest
    np.testing.assert_allclose(found, gradient.recurrent_weight, atol=1e-8)
    final = [s.detach().numpy() for s in ours.final_state.values()]
    np.testing.assert_allclose(final[-1], theirs.final_state.membrane, atol=1e-12)


@pytest.mark.parametrize("kind", ["atan", "fast_sigmoid", "sigmoid"])
def test_surrogates_of_snntorch_become_those_with_the_same_derivative(kind):
    kinds = pytest.importorskip("snntorch.surrogate")
    grad = getattr(kinds, kind)(4.0)
    cell = ft.to_cell(lif("RSynaptic", grad))
    x = torch.linspace(-0.8, 0.8, 9, requires_grad=True)
    grad(x).sum().backward()
    np.testing.assert_allclose(
        x.grad, cell.surrogate.derivative(jnp.asarray(x.detach())), rtol=1e-5
    )


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_changed_cells_are_loaded_back(kind):
    module = kind(3, 5, 2)
    cell = ft.to_cell(module)
    changed = eqx.tree_at(
        lambda c: [layer.recurrent_weight for layer in c.layers] + [c.layers[1].bias],
        cell,
        replace_fn=lambda x: x + 0.25,
    )
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    ft.load_cell(module, changed)
    np.testing.assert_allclose(
        module.weight_hh_l0.detach(), before["weight_hh_l0"] + 0.25, rtol=1e-6
    )
    again = ft.to_cell(module)
    for a, b in zip(changed.layers, again.layers, strict=True):
        np.testing.assert_allclose(a.bias, b.bias, atol=1e-6)
        np.testing.assert_allclose(a.recurrent_weight, b.recurrent_weight, atol=1e-6)


def test_flossing_in_jax_changes_the_module():
    module = torch.nn.GRUCell(2, 6)
    inputs = torch.randn(30, 2)
    found = ft.floss_in_jax(
        module, inputs, steps=30, num_exponents=2, window=20, warmup=5, state_warmup=5
    )
    assert float(found[-1].loss) < 0.5 * float(found[0].loss)
    step, state = ft.as_step(module, inputs[0])
    spectrum = ft.lyapunov_spectrum(
        step, state, inputs[:25], num_exponents=2, state_warmup=5, warmup=5
    )
    np.testing.assert_allclose(spectrum.exponents, found[-1].exponents, atol=0.15)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: torch.nn.RNNCell(2, 3, nonlinearity="relu"), "expected tanh units, got 'relu'"),
        (lambda: torch.nn.LSTM(2, 3, bidirectional=True), "expected one direction"),
        (lambda: torch.nn.Linear(2, 3), "expected a recurrent module of PyTorch, or RSynaptic"),
    ],
)
def test_what_has_no_cell_is_refused(module, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ft.to_cell(module())


def test_a_bias_that_would_be_lost_is_refused():
    module = lif("RSynaptic")
    with torch.no_grad():
        module[1].recurrent.bias.fill_(0.1)
    with pytest.raises(ValueError, match="recurrent has a bias"):
        ft.to_cell(module)
