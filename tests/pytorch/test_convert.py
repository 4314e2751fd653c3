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


class InOurUnits(torch.nn.Module):
    """A spiking layer of snnTorch whose state is that of ``fl.LIFCell``, membranes and synapses."""

    def __init__(self, module):
        super().__init__()
        self.inner = ft.as_step(module, torch.zeros(3, dtype=torch.float64))[0]
        self.rest = 1 - module[1].beta

    def forward(self, state, input):
        """The next state."""
        neuron, (membrane, synapse) = self.inner.module[1], state
        theirs = {"1.spk": neuron.fire(membrane), "1.syn": self.rest * synapse, "1.mem": membrane}
        if not hasattr(neuron, "alpha"):
            del theirs["1.syn"]
        new = self.inner(theirs, input)
        if "1.syn" in new:
            return new["1.mem"], new["1.syn"] / self.rest
        current = neuron.recurrent(theirs["1.spk"]) + self.inner.module[0](input)
        return new["1.mem"], current / self.rest


@torch.no_grad()
def spikes_along(module, state, inputs):
    """Spikes along a trajectory."""
    step, total = InOurUnits(module), 0.0
    for x in inputs:
        state = step(state, x)
        total += float(module[1].fire(state[0]).sum())
    return total


@pytest.mark.parametrize(("name", "k"), [("RSynaptic", 6), ("RLeaky", 4)])
def test_spiking_layers_have_the_exponents_and_the_gradients_of_the_cell(name, k, x64, untyped):
    module = lif(name)
    inputs = 1.5 * torch.rand(30, 1, 3, dtype=torch.float64)
    start = torch.rand(1, 5, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64)
    basis = np.random.default_rng(0).normal(size=(10, k))
    ours = ft.lyapunov_spectrum(
        InOurUnits(module), start, inputs, basis=torch.tensor(basis), differentiable=True
    )
    cell = ft.to_cell(module)

    def loss(cell):
        state = fl.cells.LIFState(jnp.asarray(start[0][0]), jnp.asarray(start[1][0]))
        spectrum = fl.lyapunov_spectrum(
            cell, state, jnp.asarray(inputs[:, 0]), basis=jnp.asarray(basis)
        )
        return jnp.mean(spectrum.exponents**2), spectrum

    (_, theirs), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(cell)
    np.testing.assert_allclose(ours.exponents[0].detach(), theirs.exponents, atol=1e-10)
    assert 3 < spikes_along(module, start, inputs) < 147  # of 30 steps of 5 neurons
    ours.exponents.square().mean().backward()
    rest = 1 - float(module[1].beta)
    found = module[1].recurrent.weight.grad * rest
    np.testing.assert_allclose(found, gradient.recurrent_weight, atol=1e-8)
    found = module[0].weight.grad * rest
    np.testing.assert_allclose(found, gradient.input_weight, atol=1e-8)


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
