"""Neurons of every library: exponents from dense Jacobians, and flossing gradients from finite "
"differences."""

import warnings

import dense
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402

N, STEPS = 4, 25


def snn(name, *args, **options):
    """A neuron of snnTorch."""
    return getattr(pytest.importorskip("snntorch"), name)(*args, **options)


def norse(name, *args):
    """A module of Norse, with a surrogate that keeps its width."""
    module = pytest.importorskip("norse.torch")
    if name == "SequentialState":
        parts = [torch.nn.Linear(N, N), norse("LIFCell"), norse("LIFRecurrentCell", N, N)]
        return module.SequentialState(*parts, module.LICell())
    kinds = {"LSNNRecurrentCell": "LSNNParameters"}
    parameters = getattr(module, kinds.get(name, "LIFParameters"))(method="tanh", alpha=1.0)
    return getattr(module, name)(*args, p=parameters)


def jelly(name, **options):
    """A node of SpikingJelly, alone or with recurrent weights."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    node = getattr(neuron, name)(**options)
    return layer.LinearRecurrentContainer(node, N, N)


def sinabs(name, *args, **options):
    """A layer of sinabs."""
    return getattr(pytest.importorskip("sinabs.layers"), name)(*args, **options)


NEURONS = {
    "snntorch Leaky": lambda: snn("Leaky", 0.9),
    "snntorch Leaky, hidden": lambda: snn("Leaky", 0.9, init_hidden=True),
    "snntorch Synaptic": lambda: snn("Synaptic", 0.8, 0.9),
    "snntorch Alpha": lambda: snn("Alpha", 0.8, 0.7, reset_mechanism="subtract"),
    "snntorch Lapicque": lambda: snn("Lapicque", 0.9),
    "snntorch RLeaky": lambda: snn("RLeaky", 0.9, linear_features=N),
    "snntorch RSynaptic": lambda: snn("RSynaptic", 0.8, 0.9, linear_features=N, init_hidden=True),
    "snntorch SLSTM": lambda: snn("SLSTM", N, N),
    "snntorch layers": lambda: torch.nn.Sequential(
        torch.nn.Linear(N, N),
        snn("RLeaky", 0.9, linear_features=N, init_hidden=True),
        torch.nn.Linear(N, 3),
        snn("Leaky", 0.8, init_hidden=True),
    ),
    "norse LIFCell": lambda: norse("LIFCell"),
    "norse LIFRecurrentCell": lambda: norse("LIFRecurrentCell", N, N),
    "norse LSNNRecurrentCell": lambda: norse("LSNNRecurrentCell", N, N),
    "norse SequentialState": lambda: norse("SequentialState"),
    "spikingjelly LIFNode": lambda: jelly("LIFNode"),
    "spikingjelly IFNode": lambda: jelly("IFNode", detach_reset=True),
    "spikingjelly ParametricLIFNode": lambda: jelly("ParametricLIFNode"),
    "sinabs LIF": lambda: sinabs("LIF", 10.0, tau_syn=5.0),
    "sinabs LIFRecurrent": lambda: sinabs("LIFRecurrent", 10.0, torch.nn.Linear(N, N)),
    "sinabs ExpLeak": lambda: sinabs("ExpLeak", 10.0),
}


SINGLE = {"snntorch SLSTM", "snntorch layers", "sinabs LIFRecurrent"}
"""Those which by themselves work in single precision only."""


def made(name):
    """Step, start state and inputs of a neuron, in double precision where it works so, for a batch of "
    "one."""
    dtype = torch.float32 if name in SINGLE else torch.float64
    module = NEURONS[name]().to(dtype)
    inputs = 1.5 * torch.rand(STEPS, 1, N, dtype=dtype)
    return module, *ft.as_step(module, inputs[0]), inputs


@pytest.mark.parametrize("name", NEURONS)
def test_exponents_are_those_of_dense_jacobians(name):
    _, step, state, inputs = made(name)
    matrices, final = dense.jacobians(step, state, inputs)
    k = 2 if name != "snntorch Leaky" else 1
    basis = np.random.default_rng(0).normal(size=(len(matrices[0]), k))
    found = ft.lyapunov_spectrum(step, state, inputs, basis=torch.tensor(basis))
    tolerance = 1e-4 if name in SINGLE else 2e-6
    # Spikes of some libraries are float32, and so are surrogate derivatives then.
    np.testing.assert_allclose(found.exponents[0], dense.exponents(matrices, basis), atol=tolerance)
    final_state = dense.flat(found.final_state)
    np.testing.assert_allclose(final_state, dense.flat(final), rtol=1e-5, atol=1e-6)


SINGLE_WITHIN = {"snntorch RLeaky", "snntorch RSynaptic", "sinabs LIF"}
"""Those of which a part is computed in single precision, whatever comes in."""


@pytest.mark.parametrize("name", NEURONS)
def test_jacobians_at_once_and_copies_of_the_state_give_the_same(name, monkeypatch):
    module, _, _, inputs = made(name)
    inputs = inputs * torch.rand(STEPS, 3, 1, dtype=inputs.dtype)
    step, state = ft.as_step(module, inputs[0])
    size = sum(x[0].numel() for x in torch.utils._pytree.tree_leaves(state) if x is not None)
    basis = torch.randn(size, min(size, 3), dtype=inputs.dtype)
    parameters = [p for p in module.parameters() if p.requires_grad]

    def found():
        spectrum = ft.lyapunov_spectrum(step, state, inputs, basis=basis, differentiable=True)
        exponents, gradients = spectrum.exponents, []
        if exponents.requires_grad and parameters:
            gradients = torch.autograd.grad(exponents.sum(), parameters, materialize_grads=True)
        return spectrum.engine, [exponents.detach(), *gradients]

    engine, ours = found()
    monkeypatch.setattr("flossing.torch._engine.MOST_WORK", -1)
    other, theirs = found()
    assert ("Jacobians" in engine, "copies" in other) == (True, True)
    exact = 1e-4 if name in SINGLE else 1e-5 if name in SINGLE_WITHIN else None
    np.testing.assert_allclose(ours[0], theirs[0], atol=exact or 1e-10)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(a, b, atol=exact or 1e-8, rtol=exact or 1e-8)


@pytest.mark.parametrize("name", NEURONS)
def test_a_module_is_left_as_it_was(name):
    module, step, state, inputs = made(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the surrogates are
        module(inputs[0] if "sinabs" not in name else inputs[0][:, None])
    before = {key: value.clone() for key, value in module.state_dict(keep_vars=False).items()}
    held = [x for part in module.modules() for x in vars(part).get("_memories", {}).values()]
    ft.lyapunov_spectrum(step, state, inputs, num_exponents=1, differentiable=True)
    for key, value in module.state_dict().items():
        torch.testing.assert_close(value, before[key])
    after = [x for part in module.modules() for x in vars(part).get("_memories", {}).values()]
    assert all(a is b for a, b in zip(held, after, strict=True))


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("snntorch RLeaky", "recurrent.weight"),
        ("snntorch RSynaptic", "recurrent.weight"),
        ("norse LIFRecurrentCell", "recurrent_weights"),
        ("spikingjelly IFNode", "rc.weight"),
    ],
)
def test_gradients_through_one_step_are_finite_differences(name, parameter):
    """States move with a weight as their first derivatives say, and Jacobians as they are at these "
    "states."""
    module, _, _, inputs = made(name)
    if "snntorch" in name:
        module.spike_grad = ft.surrogates.SuperSpike(2.0)
    if "spikingjelly" in name:
        module.sub_module.surrogate_function = ft.surrogates.SuperSpike(2.0)
    step, state = ft.as_step(module, inputs[0])
    weight = dict(module.named_parameters())[parameter]
    with torch.no_grad():
        state = step(state, inputs[0])
    basis = np.random.default_rng(0).normal(size=(dense.flat(state).numel(), 2))
    found = ft.lyapunov_spectrum(
        step, state, inputs, basis=torch.tensor(basis), detach_states=True, differentiable=True
    )
    gradient = torch.autograd.grad(found.exponents.sum(), weight)[0]
    direction = torch.randn_like(weight)
    if "norse" in name:  # neurons without connections to themselves
        direction.fill_diagonal_(0)

    states, changes = [state], [torch.zeros_like(dense.flat(state))]
    for input in inputs:
        new = dense.flat(step(states[-1], input))
        rows = [torch.autograd.grad(x, weight, retain_graph=True)[0] for x in new]
        changes.append(torch.stack([(row * direction).sum() for row in rows]))
        states.append(dense.unflat(new.detach(), state))

    def moved(size):
        with torch.no_grad():
            weight.add_(size * direction)
        at = [
            dense.unflat(dense.flat(s) + size * c, s) for s, c in zip(states, changes, strict=True)
        ]
        matrices = [dense.jacobian(step, s, x) for s, x in zip(at, inputs, strict=False)]
        with torch.no_grad():
            weight.sub_(size * direction)
        return dense.exponents(matrices, basis).sum()

    expected = (moved(1e-6) - moved(-1e-6)) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-4, abs=1e-7)
