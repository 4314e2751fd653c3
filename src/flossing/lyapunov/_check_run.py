"""Checks of a step, a state and inputs against each other, and what users are told about them."""

import weakref
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import check_integer, is_concrete
from .._warn import warn
from ._fresh import note_step
from ._steps import (
    ByReverseMode,
    PartialState,
    Step,
    StepOfPart,
    dimension,
    moving_floats,
    precision,
    push,
)
from ._structure import independent_rows, leaves_by_themselves


class StepWarning(UserWarning):
    """A step works, and perhaps is not what its user takes it for."""


def as_state(state: PyTree) -> PyTree:
    """Python and NumPy numbers of a state as JAX arrays."""
    return jax.tree.map(lambda x: jnp.asarray(x) if eqx.is_array_like(x) else x, state)


def check_run(
    step: Step, state: PyTree, inputs: PyTree, num_steps: int | None, tangents: PyTree = None
) -> tuple[Step, PyTree, PyTree, int]:
    """Checks step, state and inputs against each other; returns them and the number of steps.

    With ``tangents``, a filter of the state's leaves, step and state come back as a ``StepOfPart`` and a
    ``PartialState``. A step without forward mode comes back as ``ByReverseMode``, with a warning. Where
    nothing is traced, users are also told of leaves that are no part of the dynamics, of a batch (unless
    there is no forward mode), and of functions that are made anew. What is traced for all this is traced
    once for the same step and shapes.
    """
    if not callable(step):
        raise TypeError(
            f"step: expected a function step(state, input) -> state, got {type(step).__name__}."
        )
    for name, value in [("step", step), ("state", state), ("inputs", inputs)]:
        _refuse_torch(name, value)
    if isinstance(step, eqx.nn.GRUCell | eqx.nn.LSTMCell):
        raise TypeError(f"step: {_EQUINOX_ORDER}")
    state = as_state(state)
    if dimension(state) == 0:
        raise ValueError(f"state: expected floating-point arrays, got {_brief(state)}.")
    inputs = jax.tree.map(jnp.asarray, inputs)
    steps = count_steps(inputs, num_steps)
    _check_finite(state, inputs)
    first = first_of(inputs)
    # Within jax.jit nothing has a known value, not even a constant that is put on a device.
    traced = not is_concrete((state, inputs, jax.device_put(np.zeros(()))))
    key = None if traced else _identity((step, state, first, tangents))
    forward = _forward.get(key)
    if forward is None:
        _check_step(step, state, first)
    if not traced:
        _say_if_made_anew(step=step, tangents=tangents, state=state)
    if tangents is not None:
        step, state = _part(step, state, tangents)
    if forward is None:
        forward = _has_forward_mode(step, state, first)
        if forward and not traced:
            _advise(step, state, first, chosen=tangents is not None)
        if key is not None:
            if len(_forward) >= _MOST:
                _forward.clear()
            _forward[key] = forward
    return step if forward else ByReverseMode(step), state, inputs, steps


def first_of(inputs: PyTree) -> PyTree:
    """The inputs of the first step; known numbers are taken by NumPy, which compiles nothing."""

    def first(x: Any) -> Any:
        known = is_concrete(x) and not jnp.issubdtype(x.dtype, jax.dtypes.extended)
        return jnp.asarray(np.asarray(x)[0]) if known else x[0]

    return jax.tree.map(first, inputs)


def one_tangent(state: PyTree) -> jax.ShapeDtypeStruct:
    """What ``push`` takes beside this state for one direction, without its numbers."""
    return jax.ShapeDtypeStruct((1, dimension(state)), precision(state))


_MOST = 64
_forward: dict[Any, bool] = {}
"""Whether steps that have been looked at have forward mode, by ``_identity``."""


def _identity(tree: PyTree) -> Any:
    """What is the same for the same functions and for arrays of the same shapes; ``None`` if nothing is."""
    leaves, structure = jax.tree.flatten(tree)
    key = structure, tuple(map(_identity_of_leaf, leaves))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _identity_of_leaf(leaf: Any) -> Any:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return leaf.shape, str(leaf.dtype)
    try:
        return weakref.ref(leaf)
    except TypeError:
        return leaf


def _say_if_made_anew(*, state: PyTree, **parts: Any) -> None:
    for name, part in parts.items():
        if reason := note_step(part, state):
            warn(f"{name}: compiled for the third time, {reason}.", StepWarning)


_EQUINOX_ORDER = (
    "Equinox cells take (input, state), and a step takes (state, input): "
    "write lambda state, input: cell(input, state)."
)


def _refuse_torch(name: str, value: PyTree) -> None:
    for leaf in jax.tree.leaves(value):
        if type(leaf).__module__.split(".")[0] == "torch" or any(
            kind.__module__.startswith("torch.nn") for kind in type(leaf).__mro__
        ):
            raise TypeError(
                f"{name}: got a {type(leaf).__name__} of PyTorch; expected JAX arrays and a step made of "
                "JAX functions. For PyTorch there are functions of the same names in flossing.torch: write "
                "import flossing.torch as ft, and for modules step, state = ft.as_step(module, input). "
                "Arrays alone are converted by jnp.asarray(tensor.detach().numpy())."
            )


def _check_finite(state: PyTree, inputs: PyTree) -> None:
    if is_concrete(state):
        for path, leaf in jax.tree_util.tree_leaves_with_path(moving_floats(state)):
            count = int((~np.isfinite(np.asarray(leaf))).sum())
            if count:
                raise ValueError(
                    f"state{jax.tree_util.keystr(path)}: has {count} NaN or infinite entries."
                )
    if inputs is not None and is_concrete(inputs):
        for path, leaf in jax.tree_util.tree_leaves_with_path(moving_floats(inputs)):
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if bad.size:
                raise ValueError(
                    f"inputs{jax.tree_util.keystr(path)}: NaN or infinite entries, "
                    f"the first at time step {bad[0][0]}."
                )


def _check_step(step: Step, state: PyTree, input: PyTree) -> None:
    try:
        new = eqx.filter_eval_shape(step, state, input)
    except Exception as error:
        raise ValueError(
            f"step: step(state, input) failed with state {_brief(state)} and input {_brief(input)}: "
            f"{error}{_next_step(error) or _swapped(step, state, input)}"
        ) from error
    if _signature(new) != _signature(state):
        raise ValueError(
            f"step: must return a state like the one it got, {_brief(state)}; it returned {_brief(new)}."
            f"{_swapped(step, state, input)}"
        )


def _next_step(error: Exception) -> str:
    """What to do about an error of a step, where that is known."""
    if type(error).__name__ == "TraceContextError":
        return (
            " The step changes a Flax NNX module, for example the counters of its random numbers: call "
            "module.eval(), or split graphdef, counters, rest = nnx.split(module, nnx.RngState, ...), keep "
            "the counters in the state, and in the step call nnx.merge(graphdef, counters, rest)."
        )
    return ""


def _swapped(step: Step, state: PyTree, input: PyTree) -> str:
    try:
        new = eqx.filter_eval_shape(step, input, state)
    except Exception:
        return ""
    fits = _signature(new) == _signature(state)
    return f" It works as step(input, state): {_EQUINOX_ORDER}" if fits else ""


def _part(step: Step, state: PyTree, tangents: PyTree) -> tuple[StepOfPart, PartialState]:
    part = StepOfPart(step, tangents)
    try:
        split = part.split(state)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "tangents: expected a filter of the state's leaves as equinox.partition takes it, True or a "
            f"function for a leaf or a branch, in the form of the state {_brief(state)}: {error}"
        ) from error
    if dimension(split) == 0:
        raise ValueError(f"tangents: selects no floating-point array of the state {_brief(state)}.")
    return part, split


def _has_forward_mode(step: Step, state: PyTree, input: PyTree) -> bool:
    """Tries to push a tangent; without forward mode, warns that reverse mode is used if that is there."""
    arguments = state, one_tangent(state), input
    try:
        eqx.filter_eval_shape(push, step, *arguments)
        return True
    except Exception as error:
        if "custom_vjp" not in str(error):
            raise ValueError(f"step: has no derivative: {error}{_next_step(error)}") from error
    try:
        eqx.filter_eval_shape(push, ByReverseMode(step), *arguments)
    except Exception as error:
        raise ValueError(f"step: has neither forward nor reverse mode: {error}") from error
    warn(
        "step: has a function with jax.custom_vjp, which has no forward mode; its tangents are found by "
        "reverse mode twice. With jax.custom_jvp it would be faster.",
        StepWarning,
    )
    return False


def _advise(step: Step, state: PyTree, input: PyTree, chosen: bool) -> None:
    """Warns of a batch, and of leaves that are no part of the dynamics unless the leaves were chosen."""
    rows = independent_rows(step, state, input)
    if rows:
        warn(
            f"state: its {rows} rows along the first axis evolve without each other, as the examples of a "
            f"batch do. They are measured as one system of {dimension(state)} dimensions; for one "
            "result per example, use jax.vmap over the first axis of state and inputs.",
            StepWarning,
        )
    if chosen:
        return
    for path, factor in leaves_by_themselves(step, state, input):
        warn(
            f"state{path}: is no part of the dynamics of the rest, as a clock, a trace or a running mean is "
            f"not: a perturbation of it is only multiplied by {factor:.6g} in a step, which counts as "
            f"{np.log(abs(factor)):.4g} nats per step among the exponents. Leave it out by tangents=, "
            "a filter that is False there.",
            StepWarning,
        )


def count_steps(inputs: PyTree, num_steps: int | None) -> int:
    """The number of steps, by the inputs' leading axis or as given; raises where they disagree."""
    leaves = jax.tree.leaves(inputs)
    if not leaves:
        if num_steps is None:
            raise ValueError("num_steps: expected a number of steps, because there are no inputs.")
        return check_integer("num_steps", num_steps, 1)
    if any(jnp.ndim(leaf) == 0 for leaf in leaves):
        raise ValueError("inputs: expected arrays with time as their leading axis, got a scalar.")
    lengths = {leaf.shape[0] for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(f"inputs: arrays of different lengths along time: {sorted(lengths)}.")
    steps = lengths.pop()
    if steps == 0:
        raise ValueError("inputs: expected at least one time step, got none.")
    if num_steps is not None and num_steps != steps:
        raise ValueError(f"num_steps: got {num_steps}, but inputs has {steps} time steps.")
    return steps


def _signature(tree: PyTree) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [
        (jnp.shape(x), jnp.result_type(x))
        for x in leaves
        if eqx.is_array_like(x) or isinstance(x, jax.ShapeDtypeStruct)
    ]


def _brief(tree: PyTree) -> str:
    leaves = jax.tree.leaves(tree)
    parts = [f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else repr(x) for x in leaves]
    return parts[0] if len(parts) == 1 else f"{type(tree).__name__}({', '.join(parts)})"
