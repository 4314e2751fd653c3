"""From a stack of cells to a graph of NIR."""

import itertools
from typing import Any

import numpy as np

from .._readable import library
from ..cells import Cell, IntegrateFireCell, IntegratorCell, Stack
from ._nodes import FIRING, NEURONS, SETTINGS, SMOOTH


def to_nir(stack: Cell) -> Any:
    """A stack of cells as a graph of the Neuromorphic Intermediate Representation (NIR).

    What ``fl.from_nir`` reads, it writes: the parameters of neurons as they are, and the weights that
    training and flossing have changed. Each layer becomes Affine (Linear without a bias) and its neurons,
    called ``layer_0_map`` and ``layer_0_neurons``. Neurons with recurrence are a graph of their own, with the
    nodes ``lif`` and ``w_rec``. The time step, the integration and the surrogate are not part of a graph; say
    them beside the file.

    Args:
        stack: a ``fl.Stack`` of ``fl.IntegrateFireCell`` and ``fl.IntegratorCell``, or one of them.

    Returns:
        A ``nir.NIRGraph``, for ``nir.write(path, graph)``.

    Raises:
        ImportError: NIR is not installed.
        TypeError: another kind of cell. That of ``fl.LIFCell`` is none of NIR: its reset is subtractive, or
            removes the current of the step after a spike.
        ValueError: stochastic spikes, or a synapse on a membrane without leak.
    """
    layers: dict[str, Any] = {"stack": stack}
    if isinstance(stack, Stack):
        layers = {f"layers[{i}]": layer for i, layer in enumerate(stack.layers)}
    kinds = [_kind(name, layer) for name, layer in layers.items()]
    nir = _nir()
    # Files sort nodes by name, and nirtorch 2.6 needs what feeds a graph within a graph before it.
    nodes: dict[str, Any] = {}
    digits = len(str(len(kinds) - 1))
    for index, (kind, layer) in enumerate(zip(kinds, layers.values(), strict=True)):
        name = f"layer_{index:0{digits}d}"
        nodes[f"{name}_map"] = _map(nir, layer.input_weight, layer.bias)
        nodes[f"{name}_neurons"] = _neurons(nir, kind, layer)
    ends = nir.Input(np.array([stack.input_size])), nir.Output(np.array([stack.hidden_size]))
    nodes = {"input": ends[0], **nodes, "output": ends[1]}
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)))


def _nir() -> Any:
    nir = library("nir", "to_nir")
    if "v_reset" not in nir.LIF.__dataclass_fields__:
        raise ImportError(
            f"nir: version {nir.version} has no v_reset; install a later one with: "
            "pip install --upgrade nir"
        )
    return nir


def _kind(name: str, layer: Any) -> str:
    """The primitive that has what a layer has."""
    if not isinstance(layer, IntegrateFireCell | IntegratorCell):
        raise TypeError(
            f"{name}: expected an fl.IntegrateFireCell or fl.IntegratorCell, got {type(layer).__name__}, "
            "which NIR cannot say."
        )
    if getattr(layer, "escape", None) is not None:
        raise ValueError(
            f"{name}: fires stochastically, which NIR cannot say; take fl.with_escape(stack, None)."
        )
    kinds = FIRING if isinstance(layer, IntegrateFireCell) else SMOOTH
    plain, synaptic, leakless = kinds
    if layer.membrane_time_constant is not None:
        return plain if layer.synapse_time_constant is None else synaptic
    if layer.synapse_time_constant is not None:
        raise ValueError(
            f"{name}: has synapses and no leak, which NIR has not; give it a membrane_time_constant."
        )
    return leakless


def _map(nir: Any, weight: Any, bias: Any) -> Any:
    """The node of a dense layer."""
    weight = np.array(weight)  # a copy: other libraries want arrays that can be written to
    return nir.Linear(weight) if bias is None else nir.Affine(weight, np.array(bias))


def _neurons(nir: Any, kind: str, layer: Any) -> Any:
    """The neurons of a layer, in a graph with their recurrent weights if there are some."""
    absent = {"leak_potential": 0.0, "synapse_gain": 1.0}
    parameters = {}
    for name in NEURONS[kind]:
        value = getattr(layer, SETTINGS[name])
        value = absent[SETTINGS[name]] if value is None else value
        parameters[name] = np.full(layer.hidden_size, np.asarray(value), layer.dtype)
    neurons = getattr(nir, kind)(**parameters)
    weight = getattr(layer, "recurrent_weight", None)
    if weight is None:
        return neurons
    size = np.array([layer.hidden_size])
    nodes = {
        "input": nir.Input(size),
        "lif": neurons,
        "w_rec": _map(nir, weight, None),
        "output": nir.Output(size),
    }
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges)
