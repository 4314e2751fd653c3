"""The measurements behind ``fl.examine``: one run of each instrument of the library."""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, check_positive
from ..cells import (
    BinaryCell,
    Cell,
    ConvLIFCell,
    GRUCell,
    LIFCell,
    LinearRecurrentCell,
    LSTMCell,
    ReLUCell,
    Stack,
    TanhCell,
)
from ..cells._lif import LIFNeurons
from ..lyapunov import (
    LostDirectionsWarning,
    StepWarning,
    gradient_norms,
    log_singular_values,
    lyapunov_spectrum,
)
from ..lyapunov._check_run import as_state, check_run
from ..lyapunov._steps import dimension, moving_floats
from ..lyapunov._structure import independent_rows, leaves_by_themselves
from ..lyapunov.signs import Signs, signs
from ..training import Network
from .measured import Leaf, Measured, Spikes

SETTLE = 3
"""The first of so many parts of the steps is not counted in what is said of units."""
KINDS: dict[type, str] = {
    TanhCell: "tanh", ReLUCell: "relu", GRUCell: "gru", LSTMCell: "lstm", LinearRecurrentCell: "linear",
    LIFCell: "spiking", ConvLIFCell: "spiking", BinaryCell: "binary", Stack: "stack",
}  # fmt: skip


def measure(
    step: Callable[[Any, Any], Any],
    state: PyTree,
    inputs: PyTree,
    *,
    horizon: int | None,
    loss: Callable[[PyTree], Float[Array, ""]] | None,
    num_exponents: int,
    time_step: float | None,
    key: PRNGKeyArray,
) -> Measured:
    """Everything that rules look at; arguments are those of ``fl.examine``."""
    if isinstance(step, Network):
        raise TypeError(
            "step: got a Network, whose step is its cell; give network.cell as step and "
            "network.initial_state as state."
        )
    check_integer("num_exponents", num_exponents, 1)
    check_key("key", key)
    if time_step is not None:
        check_positive("time_step", time_step)
    if inputs is None and horizon is None:
        raise ValueError("horizon: expected a number of steps, because there are no inputs.")
    if horizon is not None:
        check_integer("horizon", horizon, 1)
    total = None if inputs is not None else max(int(horizon or 0), 300)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StepWarning)
        warnings.simplefilter("ignore", LostDirectionsWarning)
        state = as_state(state)
        _, _, inputs, steps = check_run(step, state, inputs, total, jax.tree.map(_yes, state))
        reach = steps if horizon is None else int(horizon)
        if reach > steps:
            raise ValueError(f"horizon: got {reach}, but inputs has only {steps} time steps.")
        first = jax.tree.map(lambda x: x[0], inputs)
        apart = leaves_by_themselves(step, state, first)
        rows = independent_rows(step, state, first)
        tangents = _without(state, {path for path, _ in apart})
        numbers = _numbers(
            step, state, inputs, steps, reach, tangents, loss, num_exponents, key,
        )  # fmt: skip
    return Measured(
        **numbers,
        **_words(step),
        horizon=reach,
        time_step=_time_step(step) if time_step is None else float(time_step),
        apart=tuple(apart),
        rows=rows,
        has_inputs=inputs is not None,
        inputs_vary=any(bool((x[1:] != x[:-1]).any()) for x in jax.tree.leaves(inputs)),
        checked=tuple(
            ("step", str(w.message).removeprefix("step: "))
            for w in caught
            if w.category is StepWarning and _news(str(w.message))
        ),
    )


def _yes(_: Any) -> bool:
    return True


def _news(message: str) -> bool:
    """Whether a warning is none of those that the report says in its own words."""
    return "rows along the first axis" not in message


def _without(state: PyTree, paths: set[str]) -> PyTree:
    """The filter of the leaves that carry perturbations: all but those at ``paths``."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path) not in paths, state
    )


def _numbers(
    step: Any,
    state: PyTree,
    inputs: PyTree,
    steps: int,
    horizon: int,
    tangents: PyTree,
    loss: Any,
    num_exponents: int,
    key: Array,
) -> dict[str, Any]:
    """Spectrum, gradient norms, singular values, and what happens to each state variable."""
    spectrum_key, gradient_key, value_key, sign_key = jax.random.split(key, 4)
    part, split, inputs, _ = check_run(
        step, state, inputs, None if inputs is not None else steps, tangents
    )
    n = dimension(split)
    count = min(num_exponents, n)
    spectrum = lyapunov_spectrum(
        step, state, inputs, num_exponents=count, warmup=steps // 4, tangents=tangents,
        num_steps=steps, key=spectrum_key,
    )  # fmt: skip
    early = jax.tree.map(lambda x: x[:horizon], inputs)
    gradient = gradient_norms(
        step, state, early, loss=loss, num_steps=horizon, log=True, tangents=tangents,
        key=gradient_key,
    )  # fmt: skip
    values = log_singular_values(
        step, state, early, num_directions=count, num_steps=horizon, max_sweeps=3,
        tangents=tangents, key=value_key,
    )  # fmt: skip
    history = signs(
        part, split, inputs, steps, _observable_of(step), _blocks(step, split), key=sign_key
    )
    history = jax.tree.map(np.asarray, history)
    settled = jax.tree.map(lambda x: x[steps // SETTLE :], history)
    leaves = tuple(_leaves(split))
    return {
        "exponents": np.asarray(spectrum.exponents, float),
        "standard_errors": np.asarray(spectrum.standard_errors, float),
        "state_dimension": n,
        "num_steps": spectrum.num_steps,
        "log_gradient": np.asarray(gradient, float),
        "log_singular_values": np.asarray(values, float),
        "leaves": leaves,
        "states": settled.states.astype(float),
        "activity": _activity(step, split, settled.states.astype(float)),
        "kept": settled.kept.mean(0),
        "change": np.sqrt(settled.change.mean(0)),
        "response": np.sqrt(settled.response.mean(0)),
        "sensitivity": np.sqrt(settled.sensitivity.mean(0)),
        "layers": _layer_exponents(step, settled),
        "spikes": tuple(_spikes(step, settled, leaves)),
    }


def _leaves(state: PyTree) -> list[Leaf]:
    """Names and places of the arrays that carry perturbations."""
    paths = jax.tree_util.tree_leaves_with_path(moving_floats(state))
    leaves, start = [], 0
    for path, leaf in paths:
        size = leaf.size * (1 + jnp.iscomplexobj(leaf))
        name = jax.tree_util.keystr(path) or "state"
        leaves.append(Leaf(name=name, start=start, stop=start + size))
        start += size
    return leaves


def _words(step: Any) -> dict[str, Any]:
    name = getattr(step, "__name__", type(step).__name__)
    return {
        "model": "a function" if name == "<lambda>" else name,
        "kind": next((kind for cell, kind in KINDS.items() if type(step) is cell), "step"),
        "library": "jax",
        "has_weights": bool(jax.tree.leaves(eqx.filter(step, eqx.is_inexact_array))),
    }


def _layers(step: Any) -> tuple[Any, ...]:
    return step.layers if isinstance(step, Stack) else (step,)


def _time_step(step: Any) -> float | None:
    """Of the first layer that has one, in ms."""
    return next((x.time_step for x in _layers(step) if isinstance(x, LIFNeurons)), None)


def _blocks(step: Any, state: PyTree) -> Float[Array, "blocks n"] | None:
    """Which state variables belong to which layer of a stack."""
    if not isinstance(step, Stack):
        return None
    floats = moving_floats(state)
    sizes = [dimension(part) for part in floats]
    number = np.repeat(np.arange(len(sizes)), sizes)
    present = [i for i, size in enumerate(sizes) if size]
    return jnp.asarray(np.stack([number == i for i in present]), float)


def _activity(step: Any, state: PyTree, states: np.ndarray) -> np.ndarray:
    """States, and the tanh of those that are the input of one."""
    if isinstance(step, Stack):
        sizes = [dimension(part) for part in moving_floats(state)]
    else:
        sizes = [states.shape[1]]
    parts = np.split(states, np.cumsum(sizes)[:-1], axis=1)
    inner = [isinstance(x, TanhCell) and x.form == "pre-activation" for x in _layers(step)]
    return np.hstack([np.tanh(x) if tanh else x for x, tanh in zip(parts, inner, strict=True)])


def _layer_exponents(step: Any, settled: Signs) -> tuple[tuple[str, float], ...]:
    if not isinstance(step, Stack):
        return ()
    means = settled.growth.mean(0)
    names = [f"{i + 1}, {type(layer).__name__}" for i, layer in enumerate(step.layers)]
    return tuple((name, float(x)) for name, x in zip(names, means, strict=False))


def _observable_of(step: Any) -> Callable[[Any], PyTree]:
    """What is observed of each state: spikes, and how far from threshold they are, layer by layer."""
    if not isinstance(step, Cell):
        return _nothing
    return jax.tree_util.Partial(_seen, _layers(step), isinstance(step, Stack))


def _nothing(state: PyTree) -> PyTree:
    return ()


def _seen(layers: tuple[Any, ...], stacked: bool, state: PyTree) -> PyTree:
    states = state if stacked else (state,)
    return tuple(_seen_of(layer, its) for layer, its in zip(layers, states, strict=True))


def _seen_of(layer: Any, state: Any) -> PyTree:
    if isinstance(layer, LIFNeurons):
        distance = state.membrane - layer._threshold(state)
    elif isinstance(layer, BinaryCell):
        distance = layer._membrane(state)
    else:
        return None
    spikes = layer.output(state) + (0.5 if getattr(layer, "centred", False) else 0)
    if layer.escape is None:
        derivative = layer.surrogate.derivative(distance) / layer.surrogate.peak
    else:
        derivative = jnp.full_like(distance, jnp.nan)
    return {"spikes": spikes, "distance": distance, "open": derivative}


def _spikes(step: Any, settled: Signs, leaves: tuple[Leaf, ...]) -> list[Spikes]:
    """What is said of each spiking layer."""
    spikes = []
    layers = _layers(step)
    for number, (layer, seen) in enumerate(zip(layers, settled.seen, strict=False)):
        if seen is None:
            continue
        lif = isinstance(layer, LIFNeurons)
        known: dict[str, Any] = {}
        if layer.escape is None:
            surrogate = layer.surrogate
            width = np.asarray(surrogate.half_width, float)
            known = {
                "surrogate": surrogate.describe(),
                "second_derivative": surrogate.has_second_derivative,
                "open": float(seen["open"].mean()),
                "within": float((np.abs(seen["distance"]) <= width).mean()),
            }
        prefix = f"[{number}]" if isinstance(step, Stack) else ""
        membrane = next((x for x in leaves if x.name == f"{prefix}.membrane"), None)
        if lif and membrane is not None:
            known |= _kept_by_spike(np.asarray(settled.kept)[:, membrane.span], seen["spikes"])
        known["response"] = _response(layer) if lif else 1.0
        if lif and layer.adaptation_time_constant is not None:
            tau = float(np.max(layer.adaptation_time_constant))
            known["slow"] = ("the adaptive threshold", -layer.time_step / tau)
        spikes.append(
            Spikes(
                layer=f"layer {number + 1}" if len(layers) > 1 else "",
                rates=seen["spikes"].reshape(len(seen["spikes"]), -1).mean(0).astype(float),
                has_rates=lif,
                spread=float(seen["distance"].std()),
                **known,
            )
        )
    return spikes


def _response(layer: LIFNeurons) -> float:
    """Steps for which a signal stays in membrane and synapse, in the mean of the neurons."""
    taus = np.mean(layer.membrane_time_constant) + np.mean(layer.synapse_time_constant)
    return float(taus) / layer.time_step


def _kept_by_spike(kept: np.ndarray, spikes: np.ndarray) -> dict[str, float | None]:
    """What a step keeps of a membrane, with and without a spike in the state before it."""
    kept, spiked = kept[1:], spikes.reshape(kept.shape)[:-1] > 0.5
    return {
        "kept_after_spike": float(kept[spiked].mean()) if spiked.any() else None,
        "kept_without_spike": float(kept[~spiked].mean()) if (~spiked).any() else None,
    }
