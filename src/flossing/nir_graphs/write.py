"""From a stack of cells to a graph of NIR."""

import itertools
from typing import Any

import numpy as np

from ..cells import Cell, IntegrateFireCell, IntegratorCell, Stack
from ._nodes import FIRING, NEURONS, SETTINGS, SMOOTH


def to_nir(stack: Cell) -> Any:
    """A stack of cells as a graph of the Neuromorphic Intermediate Representation (NIR).

    What ``fl.from_nir`` reads, it writes: the parameters of neurons as they are, and the weights that
    training and flossing have changed. Each layer becomes Affine (Linear without a bias) and its neurons;
    with recurrence the neurons become a graph of their own, with the nodes ``lif`` and ``w_rec``. The time
    step, the integration and the surrogate are not part of a graph; say them beside the file.

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
    nir = _nir()
    layers = stack.layers if isinstance(stack, Stack) else (stack,)
    nodes: dict[str, Any] = {}
    for index, layer in enumerate(layers):
        name = f"layers[{index}]" if isinstance(stack, Stack) else "stack"
        if not isinstance(layer, IntegrateFireCell | IntegratorCell):
            raise TypeError(
                f"{name}: expected an fl.IntegrateFireCell or fl.IntegratorCell, got "
                f"{type(layer).__name__}, whose neurons cannot be said in NIR."
            )
        kind = _kind(name, layer)
        bias = None if layer.bias is None else np.asarray(layer.bias)
        weight = np.asarray(layer.input_weight)
        linear = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
        nodes[f"{type(linear).__name__.lower()}_{index}"] = linear
        nodes[f"{kind.lower()}_{index}"] = _neurons(nir, kind, layer)
    first, last = layers[0].input_size, layers[-1].hidden_size
    ends = nir.Input(np.array([first])), nir.Output(np.array([last]))
    nodes = {"input": ends[0], **nodes, "output": ends[1]}
    names = list(nodes)
    return nir.NIRGraph(nodes, list(itertools.pairwise(names)))


def _nir() -> Any:
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            f"NIR graphs need the package nir ({error}); install it with: pip install 'flossing[nir]'"
        ) from error
    if "v_reset" not in nir.LIF.__dataclass_fields__:
        raise ImportError(
            f"nir: version {nir.version} has no v_reset; install a later one with: "
            "pip install 'flossing[nir]'"
        )
    return nir


def _kind(name: str, layer: IntegrateFireCell | IntegratorCell) -> str:
    """The primitive that has what a layer has."""
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
        "w_rec": nir.Linear(np.asarray(weight)),
        "output": nir.Output(size),
    }
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges)
