"""Converted cells: the same exponents and the same flossing gradients as on the JAX side, in double "
"precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing as fl  # noqa: E402
import flossing.torch as ft  # noqa: E402

pytestmark = pytest.mark.usefixtures("engine")

STEPS, INPUTS, HIDDEN, K = 40, 3, 6, 4

MODULES = {
    "RNNCell": lambda: torch.nn.RNNCell(INPUTS, HIDDEN),
    "GRUCell": lambda: torch.nn.GRUCell(INPUTS, HIDDEN),
    "LSTMCell": lambda: torch.nn.LSTMCell(INPUTS, HIDDEN),
    "RNN": lambda: torch.nn.RNN(INPUTS, HIDDEN),
    "GRU of two layers": lambda: torch.nn.GRU(INPUTS, HIDDEN, 2),
    "LSTM of two layers": lambda: torch.nn.LSTM(INPUTS, HIDDEN, 2),
}


def made(name):
    """A module with strong weights, a state and inputs."""
    torch.manual_seed(1)
    module = MODULES[name]().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
    return module, torch.randn(STEPS, INPUTS, dtype=torch.float64)


def as_jax_state(cell, state, name):
    """The state of a module in the form of its cell; layers are the first axis."""
    parts = [np.asarray(x) for x in (state if isinstance(state, tuple) else (state,))]
    if "layers" not in name:
        parts = [p.reshape(-1) for p in parts]
        return (
            fl.cells.LSTMState(*map(jnp.asarray, parts))
            if len(parts) == 2
            else jnp.asarray(parts[0])
        )
    if len(parts) == 1:
        return tuple(jnp.asarray(row) for row in parts[0])
    return tuple(fl.cells.LSTMState(*map(jnp.asarray, rows)) for rows in zip(*parts, strict=True))


def order(cell_state, name):
    """Where the numbers of the cell's state lie in that of the module."""
    sizes = np.arange(sum(x.size for x in jax.tree.leaves(cell_state)))
    if name != "LSTM of two layers":
        return sizes
    hidden, cell = sizes.reshape(2, 2, HIDDEN)  # of the module: all h, then all c
    return np.stack([hidden, cell], 1).reshape(-1)


def both(name, options):
    """Loss and gradients of exponents, here and on the JAX side, from the same basis."""
    module, inputs = made(name)
    step, state = ft.as_step(module, inputs[0])
    state = torch.utils._pytree.tree_map(lambda x: torch.randn_like(x) * 0.5, state)
    cell = ft.to_cell(module)
    start = as_jax_state(cell, state, name)
    places = order(start, name)
    basis = np.random.default_rng(0).normal(size=(len(places), K))
    ours = ft.lyapunov_spectrum(
        step, state, inputs, basis=torch.tensor(basis), differentiable=True, **options
    )

    def loss(cell):
        spectrum = fl.lyapunov_spectrum(
            cell, start, jnp.asarray(inputs), basis=jnp.asarray(basis[places]), **options
        )
        return jnp.mean(spectrum.exponents**2), spectrum

    (_, theirs), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(cell)
    ours.exponents.square().mean().backward()
    return module, ours, theirs, gradient


@pytest.mark.parametrize("name", MODULES)
def test_exponents_and_gradients_are_those_of_the_converted_cell(name, x64, untyped):
    module, ours, theirs, gradient = both(name, {"warmup": 5, "state_warmup": 3})
    np.testing.assert_allclose(ours.exponents.detach(), theirs.exponents, atol=1e-10)
    np.testing.assert_allclose(ours.finite_time.detach(), theirs.finite_time, atol=1e-10)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors, atol=1e-10)
    layers = gradient.layers if isinstance(gradient, fl.Stack) else (gradient,)
    ends = [""] if name.endswith("Cell") else [f"_l{i}" for i in range(len(layers))]
    for end, layer in zip(ends, layers, strict=True):
        for ours_name, theirs_name in [
            ("weight_hh", "recurrent_weight"),
            ("weight_ih", "input_weight"),
            ("bias_ih", "bias"),
        ]:
            found = getattr(module, ours_name + end).grad
            np.testing.assert_allclose(found, getattr(layer, theirs_name), atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"warmup": 6, "detach_warmup": True},
        {"detach_states": True},
        {"renormalise_every": 3, "warmup": 5, "store_every": 7},
    ],
)
def test_options_mean_the_same(options, x64, untyped):
    module, ours, theirs, gradient = both("GRUCell", options)
    np.testing.assert_allclose(ours.exponents.detach(), theirs.exponents, atol=1e-10)
    assert ours.window_steps == theirs.window_steps
    np.testing.assert_allclose(module.weight_hh.grad, gradient.recurrent_weight, atol=1e-8)


def test_flossing_loss_is_that_of_its_exponents(x64):
    module, inputs = made("GRUCell")
    step, state = ft.as_step(module, inputs[0])
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    loss, info = ft.flossing_loss(
        step, state, inputs, num_exponents=K, targets=[0.1, 0.0, -0.1, -0.2], which=[0, 2],
        penalty="below", generator=generators[0], has_aux=True,
    )  # fmt: skip
    spectrum = ft.lyapunov_spectrum(
        step, state, inputs, num_exponents=K, generator=generators[1], num_windows=1
    )
    missing = np.minimum(np.asarray(spectrum.exponents)[[0, 2]] - [0.1, -0.1], 0)
    assert float(loss.detach()) == pytest.approx(float(np.mean(missing**2)), rel=1e-12)
    np.testing.assert_allclose(info.exponents, spectrum.exponents, rtol=1e-12)


def test_lost_directions_are_lost_alike(x64, untyped):
    weight = np.random.default_rng(2).normal(size=(4, 4))
    weight[0] = 0
    basis = np.random.default_rng(3).normal(size=(4, 4))
    ours_weight = torch.tensor(weight, requires_grad=True)
    mask = torch.tensor([0.0, 1, 1, 1], dtype=torch.float64)

    def step(state, input):
        return torch.tanh(state) @ (mask[:, None] * ours_weight).T

    with pytest.warns(ft.result.LostDirectionsWarning, match="1 of 4 .* number 4 are minus"):
        ours = ft.lyapunov_spectrum(
            step, torch.ones(4, dtype=torch.float64), num_steps=20, basis=torch.tensor(basis),
            batched=False, differentiable=True,
        )  # fmt: skip

    def loss(weight):
        spectrum = fl.lyapunov_spectrum(
            lambda state, input: jnp.asarray(mask) * (weight @ jnp.tanh(state)),
            jnp.ones(4),
            num_steps=20,
            basis=jnp.asarray(basis),
        )
        return jnp.sum(jnp.where(spectrum.lost, 0, spectrum.exponents)), spectrum

    (_, theirs), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(weight))
    np.testing.assert_allclose(ours.exponents.detach(), theirs.exponents, atol=1e-10)
    np.testing.assert_allclose(ours.finite_time.detach(), theirs.finite_time, atol=1e-10)
    np.testing.assert_array_equal(ours.lost, theirs.lost)
    torch.where(ours.lost, 0, ours.exponents).sum().backward()
    np.testing.assert_allclose(ours_weight.grad, gradient, atol=1e-8)


@pytest.mark.parametrize("measure", ["gradient_norms", "log_singular_values", "condition_number"])
def test_jacobians_over_long_times_are_those_of_the_converted_cell(measure, x64, untyped):
    module, inputs = made("GRUCell")
    step, state = ft.as_step(module, inputs[0])
    cell = ft.to_cell(module)
    start, given = cell.initial_state(), jnp.asarray(inputs)
    if measure == "gradient_norms":
        weights = np.arange(1.0, HIDDEN + 1)
        ours = ft.gradient_norms(step, state, inputs, loss=lambda s: s @ torch.tensor(weights))
        theirs = fl.gradient_norms(cell, start, given, loss=lambda s: s @ weights)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
        return
    key, number = jax.random.key(0), 3
    ours = getattr(ft, measure)(step, state, inputs, num_directions=number, batched=False)
    theirs = getattr(fl, measure)(cell, start, given, num_directions=number, key=key)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_a_torch_object_is_led_to_this_package(untyped):
    with pytest.raises(TypeError, match=r"import flossing\.torch as ft"):
        fl.lyapunov_spectrum(lambda x, u: x, torch.zeros(3), num_steps=3, key=jax.random.key(0))
