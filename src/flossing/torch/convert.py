"""PyTorch modules as cells of this library and back: the same network in JAX, where flossing is faster."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor, nn

from .. import surrogates as declared
from ..cells import Cell, GRUCell, LIFCell, LSTMCell, Stack, TanhCell
from ..floss import Flosser, FlossInfo
from .adapters._adapted import library_of
from .surrogates import Surrogate

_KEY = 0
"""Of the random weights that are replaced at once."""


def to_cell(module: nn.Module) -> Cell:
    """The same step as a cell of ``fl``, with the weights that the module has now.

    Exact for ``nn.RNNCell`` and ``nn.RNN`` (tanh), ``GRUCell`` and ``GRU``, ``LSTMCell`` and ``LSTM``
    of any number of layers (an ``fl.Stack``), and for ``RSynaptic`` of snnTorch with subtractive reset,
    alone or as ``nn.Sequential(nn.Linear(..., bias=False), RSynaptic(...))``. Of its state (spikes,
    synapse, membrane) the cell needs the last two, with the synapse divided by ``1 - beta``. ``RLeaky``
    is the same with a synapse that forgets within a step.

    Raises:
        TypeError: another module.
        ValueError: a setting that cells do not have, such as two directions, projections or biases of
            spiking layers.
    """
    if isinstance(module, nn.RNNCellBase):
        return _cell(module, "")
    if isinstance(module, nn.RNNBase):
        if module.bidirectional or module.proj_size:
            raise ValueError("module: expected one direction and no projection of the outputs.")
        cells = [_cell(module, f"_l{i}") for i in range(module.num_layers)]
        return cells[0] if len(cells) == 1 else Stack(cells)
    linear, neuron = _spiking_parts(module)
    if neuron is None:
        raise TypeError(
            "module: expected a recurrent module of PyTorch, or RSynaptic or RLeaky of snnTorch, got "
            f"{type(module).__name__}."
        )
    return _lif(linear, neuron)


def load_cell(module: nn.Module, cell: Any) -> None:
    """Copies the weights of a cell that ``ft.to_cell`` made, and that was flossed or trained, back into
    its module.

    Raises:
        TypeError: a module that is none of those that ``ft.to_cell`` takes.
        ValueError: weights of other shapes, or biases for a module without.
    """
    if isinstance(module, nn.RNNCellBase | nn.RNNBase):
        layers = cell.layers if isinstance(cell, Stack) else (cell,)
        ends = [""] if isinstance(module, nn.RNNCellBase) else range(module.num_layers)
        if len(layers) != len(ends):
            raise ValueError(f"cell: expected {len(ends)} layers, got {len(layers)}.")
        for end, layer in zip(ends, layers, strict=True):
            _load(module, f"_l{end}" if end != "" else "", layer)
        return
    linear, neuron = _spiking_parts(module)
    if neuron is None:
        raise TypeError(f"module: expected one that ft.to_cell takes, got {type(module).__name__}.")
    rest = _rest(neuron)
    if linear is not None:
        _copy("weight", linear.weight, rest * np.asarray(cell.input_weight).T, transposed=True)
    _copy(
        "recurrent.weight", neuron.recurrent.weight, (rest * np.asarray(cell.recurrent_weight).T).T
    )


def floss_in_jax(
    module: nn.Module,
    inputs: Tensor,
    *,
    steps: int = 200,
    seed: int = 0,
    **settings: Any,
) -> list[FlossInfo]:
    """Flosses a module as a cell of ``fl``, and copies the weights back: the same in less time.

    Args:
        module: one that ``ft.to_cell`` takes; its weights are changed.
        inputs: shape ``(time, features)``, at least ``state_warmup + window`` steps.
        steps: flossing steps.
        seed: of the random bases.
        settings: of ``fl.Flosser``, such as ``num_exponents``.

    Returns:
        What each step found, as ``fl.Flosser.update`` returns it.

    Raises:
        ValueError, TypeError: as ``ft.to_cell`` and ``fl.Flosser``.
    """
    cell = to_cell(module)
    flosser = Flosser(**settings)
    state, memory = cell.initial_state(), flosser.init(cell)
    values = jnp.asarray(inputs.detach().cpu().numpy())
    history = []
    for key in jax.random.split(jax.random.key(seed), steps):
        cell, memory, info = flosser.update(cell, memory, state, values, key=key)
        history.append(info)
    load_cell(module, cell)
    return history


def _array(x: Any) -> Any:
    return jnp.asarray(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)


def _biases(module: Any, end: str) -> tuple[Tensor, Tensor]:
    if module.bias:
        return getattr(module, f"bias_ih{end}").detach(), getattr(module, f"bias_hh{end}").detach()
    zeros = (
        getattr(module, f"weight_hh{end}").detach().new_zeros(_gates(module) * module.hidden_size)
    )
    return zeros, zeros


def _gates(module: Any) -> int:
    if isinstance(module, nn.GRUCell | nn.GRU):
        return 3
    return 4 if isinstance(module, nn.LSTMCell | nn.LSTM) else 1


def _cell(module: Any, end: str) -> Any:
    """One layer as a cell."""
    weight, inputs = getattr(module, f"weight_hh{end}"), getattr(module, f"weight_ih{end}")
    below, own = _biases(module, end)
    sizes = inputs.shape[1], weight.shape[1]
    key = jax.random.key(_KEY)
    kind = _gates(module)
    if kind == 1:
        if getattr(module, "nonlinearity", "tanh") != "tanh":
            raise ValueError(f"module: expected tanh units, got {module.nonlinearity!r}.")
        cell: Any = TanhCell(*sizes, form="post-activation", key=key)
    else:
        cell = (GRUCell if kind == 3 else LSTMCell)(*sizes, key=key)
    new = {"recurrent_weight": weight, "input_weight": inputs, "bias": below + own}
    if kind == 3:
        size = weight.shape[1]
        gates = own.clone()
        gates[2 * size :] = 0
        new |= {"bias": below + gates, "recurrent_bias": own[2 * size :]}
    names = list(new)
    return eqx.tree_at(
        lambda cell: [getattr(cell, name) for name in names],
        cell,
        [_array(x) for x in new.values()],
    )


def _load(module: Any, end: str, cell: Any) -> None:
    """The weights of one layer."""
    _copy("weight_hh", getattr(module, f"weight_hh{end}"), cell.recurrent_weight)
    _copy("weight_ih", getattr(module, f"weight_ih{end}"), cell.input_weight)
    bias = torch.tensor(np.asarray(cell.bias))
    if not module.bias:
        own = getattr(cell, "recurrent_bias", None)
        if bool(bias.any()) or (own is not None and bool(np.asarray(own).any())):
            raise ValueError(
                "cell: has biases, and the module has none; floss weights alone, by where=, or let the "
                "module have bias=True."
            )
        return
    own = getattr(module, f"bias_hh{end}")
    if _gates(module) == 3:
        size = own.shape[0] // 3
        with torch.no_grad():
            own[2 * size :] = torch.tensor(np.asarray(cell.recurrent_bias)).to(own)
        gates = own.detach().clone()
        gates[2 * size :] = 0
    else:
        gates = own.detach()
    _copy("bias", getattr(module, f"bias_ih{end}"), bias.to(gates) - gates)


@torch.no_grad()
def _copy(name: str, parameter: Any, value: Any, *, transposed: bool = False) -> None:
    array = value if isinstance(value, Tensor) else torch.tensor(np.asarray(value))
    array = array.T if transposed else array
    if array.shape != parameter.shape:
        raise ValueError(
            f"cell: expected weights of shape {tuple(parameter.shape)} for {name}, got "
            f"{tuple(array.shape)}."
        )
    parameter.copy_(array)


def _spiking_parts(module: Any) -> tuple[Any, Any]:
    """The linear layer below, if any, and the recurrent neuron of snnTorch; ``None`` if it is no such
    module.
    """
    parts = list(module) if isinstance(module, nn.Sequential) else [module]
    neuron = parts[-1] if parts else None
    known = ("RSynaptic", "RLeaky")
    if neuron is None or "snntorch" not in library_of(neuron) or type(neuron).__name__ not in known:
        return None, None
    if len(parts) > 2 or (len(parts) == 2 and not isinstance(parts[0], nn.Linear)):
        return None, None
    return (parts[0] if len(parts) == 2 else None), neuron


def _rest(neuron: Any) -> np.ndarray:
    """``1 - beta``, by which a membrane of ``fl.LIFCell`` takes its current."""
    return 1 - np.asarray(neuron.beta.detach().clamp(0, 1).cpu().numpy(), float)


def _lif(linear: Any, neuron: Any) -> LIFCell:
    if neuron.reset_mechanism != "subtract" or not neuron.reset_delay or neuron.inhibition:
        raise ValueError(
            "module: expected a neuron with reset_mechanism='subtract', reset_delay=True and without "
            "inhibition."
        )
    if not isinstance(neuron.recurrent, nn.Linear):
        raise ValueError("module: expected a neuron with linear_features.")
    for name, layer in [("the linear layer", linear), ("recurrent", neuron.recurrent)]:
        if layer is not None and layer.bias is not None and bool(layer.bias.any()):
            raise ValueError(
                f"module: {name} has a bias, which fl.LIFCell has not; set it to zero, and keep it out "
                "of training."
            )
    size = neuron.linear_features
    inputs = torch.eye(size) if linear is None else linear.weight
    rest = _rest(neuron)
    beta = 1 - rest
    alpha = np.asarray(
        neuron.alpha.detach().clamp(0, 1).cpu().numpy() if hasattr(neuron, "alpha") else 0.0, float
    )
    for name, decay in [("alpha", alpha), ("beta", beta)]:
        if (decay >= 1).any():
            raise ValueError(f"module: expected {name} below 1, got {float(decay.max()):g}.")
    cell = LIFCell(
        inputs.shape[1],
        size,
        membrane_time_constant=_time_constant(beta),
        synapse_time_constant=_time_constant(alpha),
        threshold=_plain(neuron.threshold.detach().cpu().numpy()),
        reset="subtract",
        surrogate=_surrogate(neuron.spike_grad),
        key=jax.random.key(_KEY),
    )
    scale = np.broadcast_to(rest, (size,))[:, None]
    weights = [
        np.asarray(w.detach().cpu().numpy()) / scale for w in (neuron.recurrent.weight, inputs)
    ]
    weights = [w.astype(inputs.detach().cpu().numpy().dtype) for w in weights]
    return eqx.tree_at(
        lambda cell: [cell.recurrent_weight, cell.input_weight],
        cell,
        [jnp.asarray(w) for w in weights],
    )


def _time_constant(decay: np.ndarray) -> Any:
    """The time constant in steps of a decay; one of 0 gets such a small one that its exponential is 0."""
    with np.errstate(divide="ignore"):
        return _plain(np.maximum(-1 / np.log(decay), 1e-3))


def _plain(value: np.ndarray) -> Any:
    return float(value) if np.ndim(value) == 0 else jnp.asarray(value)


def _surrogate(spike_grad: Any) -> declared.Surrogate:
    """The surrogate of ``fl`` with the derivative of one of snnTorch, or of ours."""
    if isinstance(spike_grad, Surrogate):
        ours = type(spike_grad)._declared
        if ours is declared.StraightThrough:
            return declared.StraightThrough(peak=spike_grad.peak)
        return ours(spike_grad.sharpness, peak=spike_grad.peak)
    name = getattr(spike_grad, "__qualname__", type(spike_grad).__name__).split(".")[0]
    cells = [cell.cell_contents for cell in getattr(spike_grad, "__closure__", None) or ()]
    number = float(cells[0]) if len(cells) == 1 else math.nan
    if name == "atan":
        return declared.Arctan(math.pi / 2 * number, peak=number / 2)
    if name == "fast_sigmoid":
        return declared.SuperSpike(number)
    if name == "sigmoid":
        return declared.Sigmoid(number, peak=number / 4)
    raise ValueError(
        f"module: the surrogate {name} of snnTorch is not known; use atan, fast_sigmoid, sigmoid or one of "
        "ft.surrogates."
    )
