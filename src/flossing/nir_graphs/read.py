"""From a graph of NIR to a stack of cells."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import check_positive, check_single
from .._warn import warn
from ..cells import Cell, IntegrateFireCell, IntegratorCell, Stack
from ..cells._integrate import Integration
from ..cells._spikes import ResetGradient
from ..surrogates import Surrogate
from ._chain import Layer, Map, layers_of
from ._nodes import FIRING, NEURONS, SETTINGS, kind


def from_nir(
    graph: Any,
    *,
    time_step: float,
    integration: Integration = "exact",
    surrogate: Surrogate | None = None,
    reset_gradient: ResetGradient = "detached",
) -> Stack:
    """A graph of the Neuromorphic Intermediate Representation (NIR) as a stack of cells.

    A graph is in continuous time. What it leaves open is said here: the time step, how a step integrates,
    and the derivative of a spike. Spikes act on the layer above within the same step, and on their own layer
    one step later. A reset acts at the spike, before the next step integrates.

    Known are the neurons LIF, CubaLIF and IF (``fl.IntegrateFireCell``) and LI, CubaLI and I
    (``fl.IntegratorCell``, such as a readout at the end), the maps Affine, Linear and Scale, Flatten where
    one axis is left, Input, Output, and NIRGraph within a graph. Maps in a row become one. A map from
    neurons that fire back to themselves is their recurrence. Apart from that the graph has to be a chain.

    Args:
        graph: a ``nir.NIRGraph``, such as ``nir.read(path)``.
        time_step: duration of a step, in the unit that the time constants of the graph have.
        integration: ``"exact"`` for exponential decays, ``"euler"`` for forward Euler steps, as snnTorch,
            Norse and SpikingJelly take them.
        surrogate: spike nonlinearity of all layers; default ``SuperSpike(sharpness=1)``.
        reset_gradient: how derivatives see the reset, as for ``fl.LIFCell``.

    Raises:
        TypeError: ``graph`` is none.
        ValueError: a node that is not known, such as a delay, a convolution or pooling; a graph that
            branches, or ends in a map; shapes that do not fit; time constants of which the longest is less
            than a tenth of the time step, or, with Euler steps, the shortest less than a step.

    Warns:
        UserWarning: all time constants are longer than a thousand steps, or neurons without leak have a
            resistance of 1 and a short time step: units are likely to differ.

    Source: Pedersen et al. 2024, Nature Communications 15, 8122.
    """
    if kind(graph) != "NIRGraph":
        raise TypeError(
            f"graph: expected a nir.NIRGraph such as nir.read(path), got {graph!r} "
            f"({type(graph).__name__}); NIR comes with: pip install nir"
        )
    check_positive("time_step", time_step)
    check_single(time_step=time_step)
    layers = layers_of(graph)
    settings = [_settings(layer) for layer in layers]
    _check_unit(settings, time_step)
    common = {"time_step": time_step, "integration": integration}
    firing = {"surrogate": surrogate, "reset_gradient": reset_gradient}
    cells = []
    for layer, own in zip(layers, settings, strict=True):
        _check_current(layer, time_step)
        fires = kind(layer.neuron) in FIRING
        cells.append(_cell(layer, own | common | (firing if fires else {})))
    return Stack(cells)


def _settings(layer: Layer) -> dict[str, Any]:
    """The parameters of neurons by the names that cells have for them."""
    settings: dict[str, Any] = {"membrane_time_constant": None, "synapse_time_constant": None}
    for name in NEURONS[kind(layer.neuron)]:
        # Versions of NIR before 1.0.6 have no v_reset; then it is 0.
        value = np.asarray(getattr(layer.neuron, name, 0.0), float)
        title = f"graph: node {layer.name!r} ({kind(layer.neuron)}): {name}"
        if value.size != 1 and value.shape != (layer.size,):
            raise ValueError(
                f"{title}: expected 1 or {layer.size} numbers, got shape {value.shape}."
            )
        if not np.isfinite(value).all() or (name.startswith("tau") and (value <= 0).any()):
            kinds = "positive" if name.startswith("tau") else "finite"
            raise ValueError(f"{title}: expected {kinds} numbers, got {value}.")
        settings[SETTINGS[name]] = np.broadcast_to(value.reshape(-1), (layer.size,))
    return settings


def _cell(layer: Layer, settings: dict[str, Any]) -> Cell:
    weight, bias = layer.below
    weight = np.eye(layer.size) if weight is None else weight
    make: Any = IntegratorCell
    if kind(layer.neuron) in FIRING:
        make = IntegrateFireCell
        bias, recurrent = _both(bias, layer.recurrent, weight.dtype)
        settings = settings | {"recurrent": recurrent}
    arrays = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    cell = make(weight.shape[1], layer.size, bias=bias is not None, key=jax.random.key(0), **arrays)
    cell = eqx.tree_at(lambda cell: cell.input_weight, cell, jnp.asarray(weight))
    if bias is None:
        return cell
    return eqx.tree_at(lambda cell: cell.bias, cell, jnp.asarray(bias, cell.dtype))


def _both(
    bias: np.ndarray | None, recurrent: Map | None, dtype: Any
) -> tuple[np.ndarray | None, Any]:
    """The sum of two biases, and an initialiser that gives the recurrent weights."""
    if recurrent is None:
        return bias, None
    if recurrent.bias is not None:
        bias = recurrent.bias if bias is None else bias + recurrent.bias
    return bias, lambda key, size: jnp.asarray(np.asarray(recurrent.weight, dtype))


def _check_unit(settings: list[dict[str, Any]], time_step: float) -> None:
    """Raises or warns where time step and time constants do not seem to be in one unit."""
    names = ("membrane_time_constant", "synapse_time_constant")
    taus = [s[name] for s in settings for name in names if s[name] is not None]
    if not taus:
        return
    longest, shortest = max(tau.max() for tau in taus), min(tau.min() for tau in taus)
    if longest < time_step / 10:
        raise ValueError(
            f"time_step: {time_step:g} is {time_step / longest:.0f} times the longest time constant of the "
            f"graph, {longest:g}: nothing would be left after a step. It has to be in the unit of the graph, "
            "which is likely to be seconds: 0.001 for a step of 1 ms."
        )
    if shortest > 1000 * time_step:
        warn(
            f"time_step: the shortest time constant of the graph, {shortest:g}, is "
            f"{shortest / time_step:.0f} steps. The step has to be in the unit of the graph, which is likely "
            "to be milliseconds: 1.0 for a step of 1 ms.",
            UserWarning,
        )


def _check_current(layer: Layer, time_step: float) -> None:
    """Warns where a library that wrote the graph is likely to have meant currents per step."""
    if kind(layer.neuron) == "IF" and time_step < 0.1 and np.all(layer.neuron.r == 1):
        warn(
            f"graph: node {layer.name!r} (IF): r is 1, so that a current of 1 moves the "
            f"membrane by {time_step:g}, the time step. Norse and sinabs write r = 1 and mean a movement of "
            "1 in a step; for their graphs divide r by the time step.",
            UserWarning,
        )
