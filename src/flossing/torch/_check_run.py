"""Checks of a step, a state and inputs against each other, and the choice of an engine."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .._checks import check_choice, check_integer
from ._choice import Mode as Mode, try_step
from ._engine import Engine, Pusher
from ._tree import Layout, Step, brief, is_inexact, leaves, map_tensors, take, tensors


class Run(NamedTuple):
    """A checked run; state and inputs have a batch axis."""

    pusher: Pusher
    rows: Tensor
    rest: list[Any]
    inputs: Any
    num_steps: int
    batched: bool
    """Whether the user's arrays have a batch axis."""
    bytes_per_tangent: int
    """That the graph of one step keeps for each tangent of a batch."""
    parameters: list[Tensor]
    """Leaf tensors that the step uses and that need gradients."""

    def state(self, rows: Tensor, rest: list[Any]) -> Any:
        """A state in its user's form."""
        state = self.pusher.layout.join(rows, rest)
        return state if self.batched else map_tensors(lambda x: x[0], state)

    def given(self, result: Tensor) -> Tensor:
        """A result in its user's form."""
        return result if self.batched else result[0]


def check_run(
    step: Step,
    state: Any,
    inputs: Any,
    num_steps: int | None,
    *,
    tangents: Any = None,
    batched: bool | None = None,
    mode: Mode = "auto",
    differentiate: bool = False,
) -> Run:
    """Checks step, state and inputs against each other, and chooses an engine by trying one step."""
    check_choice("mode", mode, ("auto", "forward", "reverse"))
    _check_kinds(step, state, inputs)
    steps = count_steps(inputs, num_steps)
    if batched is None:
        batched = has_batch(state, inputs)
    if not any(is_inexact(x) for x in leaves(state)):
        raise ValueError(f"state: expected floating-point tensors, got {brief(state)}.")
    _check_finite(state, inputs)
    if batched:
        _check_batch(state, inputs)
    _check_step(step, state, take(inputs, 0))
    single = step
    if not batched:
        state, inputs = (
            map_tensors(lambda x: x[None], state),
            map_tensors(lambda x: x[:, None], inputs),
        )
        step = OneByOne(step)
    layout = Layout.of(state, tangents)
    if layout.dimension == 0:
        raise ValueError(f"tangents: selects no floating-point tensor of the state {brief(state)}.")
    rows, rest = layout.split(state)
    first = map_tensors(
        Tensor.clone, take(inputs, 0)
    )  # without the others, whose memory is not its own
    pusher, size, parameters = try_step(
        Pusher(step, layout, Engine()),
        None if batched else single,
        (rows, rest, first),
        mode,
        differentiate,
    )
    return Run(pusher, rows, rest, inputs, steps, batched, size, parameters)


class OneByOne:
    """A step of one state without a batch axis, as a step of a batch of one."""

    def __init__(self, step: Step):
        self.step = step

    def __call__(self, state: Any, input: Any) -> Any:
        """The next state."""
        new = self.step(*(map_tensors(lambda x: x[0], part) for part in (state, input)))
        return map_tensors(lambda x: x[None], new)


def _check_kinds(step: Any, state: Any, inputs: Any) -> None:
    if not callable(step):
        raise TypeError(
            f"step: expected a function step(state, input) -> state, got {type(step).__name__}."
        )
    if isinstance(step, torch.nn.RNNCellBase | torch.nn.RNNBase):
        raise TypeError(
            "step: modules of PyTorch take (input, state), and a step takes (state, input): "
            f"write step, state = ft.as_step(module, input), with your {type(step).__name__} as module."
        )
    for name, value in [("state", state), ("inputs", inputs)]:
        for leaf in leaves(value):
            if type(leaf).__module__.split(".")[0] in ("jax", "jaxlib", "numpy"):
                raise TypeError(
                    f"{name}: got a {type(leaf).__name__} of {type(leaf).__module__.split('.')[0]}; "
                    "expected tensors. Convert arrays by torch.as_tensor(numpy.asarray(array))."
                )


def count_steps(inputs: Any, num_steps: int | None) -> int:
    """The number of steps, by the inputs' leading axis or as given; raises where they disagree."""
    arrays = tensors(inputs)
    if not arrays:
        if num_steps is None:
            raise ValueError("num_steps: expected a number of steps, because there are no inputs.")
        return check_integer("num_steps", num_steps, 1)
    if any(x.ndim == 0 for x in arrays):
        raise ValueError("inputs: expected tensors with time as their leading axis, got a scalar.")
    lengths = {len(x) for x in arrays}
    if len(lengths) > 1:
        raise ValueError(f"inputs: tensors of different lengths along time: {sorted(lengths)}.")
    steps = lengths.pop()
    if steps == 0:
        raise ValueError("inputs: expected at least one time step, got none.")
    if num_steps is not None and num_steps != steps:
        raise ValueError(f"num_steps: got {num_steps}, but inputs has {steps} time steps.")
    return steps


def has_batch(state: Any, inputs: Any) -> bool:
    """By inputs of shape (time, batch, ...), or without inputs by states of shape (batch, ...)."""
    if tensors(inputs):
        return tensors(inputs)[0].ndim > 2
    return all(x.ndim > 1 for x in tensors(state) if is_inexact(x))


def _check_batch(state: Any, inputs: Any) -> None:
    counts = {x.shape[0] if x.ndim else 0 for x in leaves(state) if is_inexact(x)}
    counts |= {x.shape[1] if x.ndim > 1 else 0 for x in tensors(inputs)}
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            f"state, inputs: expected the same batch axis in all tensors, first in the state and "
            f"second in the inputs, got a state {brief(state)} and inputs {brief(inputs)}. For one "
            "trajectory without a batch axis give inputs of shape (time, features), or batched=False."
        )


def _check_finite(state: Any, inputs: Any) -> None:
    for path, leaf in pytree.tree_leaves_with_path(state):
        if is_inexact(leaf) and not bool(torch.isfinite(leaf).all()):
            count = int((~torch.isfinite(leaf)).sum())
            raise ValueError(f"state{pytree.keystr(path)}: has {count} NaN or infinite entries.")
    for path, leaf in pytree.tree_leaves_with_path(inputs):
        if is_inexact(leaf) and not bool(torch.isfinite(leaf).all()):
            first = int((~torch.isfinite(leaf)).flatten(1 if leaf.ndim > 1 else 0).nonzero()[0, 0])
            raise ValueError(
                f"inputs{pytree.keystr(path)}: NaN or infinite entries, the first at time step {first}."
            )


def _check_step(step: Step, state: Any, input: Any) -> None:
    try:
        with torch.no_grad():
            new = step(state, input)
    except Exception as error:
        raise ValueError(
            f"step: step(state, input) failed with state {brief(state)} and input {brief(input)}: "
            f"{error}{_swapped(step, state, input)}"
        ) from error
    if _signature(new) != _signature(state):
        raise ValueError(
            f"step: must return a state like the one it got, {brief(state)}; it returned {brief(new)}."
            f"{_swapped(step, state, input)}"
        )


def _swapped(step: Step, state: Any, input: Any) -> str:
    try:
        with torch.no_grad():
            if _signature(step(input, state)) != _signature(state):
                return ""
    except Exception:
        return ""
    return (
        " It works as step(input, state): a step takes the state first; for modules write "
        "step, state = ft.as_step(module, input)."
    )


def _signature(tree: Any) -> Any:
    flat, spec = pytree.tree_flatten(tree)
    return spec, [(x.shape, x.dtype) if isinstance(x, Tensor) else type(x) for x in flat]
