"""Checks of a step, a state and inputs against each other, and the choice of an engine."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .._checks import check_choice, check_integer
from .._warn import warn
from ..lyapunov._check_run import StepWarning
from ._engine import Engine, Pusher
from ._memory import Saved
from ._tree import Layout, Step, brief, is_inexact, leaves, map_tensors, take, tensors

Mode = Literal["auto", "forward", "reverse"]


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
    pusher, size, parameters = _try_step(
        Pusher(step, layout, Engine()),
        None if batched else single,
        (rows, rest, take(inputs, 0)),
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


_chosen: dict[Any, tuple[bool, Engine, int]] = {}
"""What was found for steps that have been tried, by the step, shapes and what was asked for."""
_MOST = 64


def _try_step(
    pusher: Pusher, single: Step | None, at: tuple, mode: Mode, differentiate: bool
) -> tuple[Pusher, int, list[Tensor]]:
    """The pusher with an engine that works, bytes per tangent, and the parameters that the step uses."""
    rows, rest, input = at
    key = _identity(single or pusher.step, (rows, rest, input), (mode, differentiate))
    if key in _chosen:
        as_batch, engine, size = _chosen[key]
    else:
        as_batch, engine, size = _choose(pusher, single, at, mode, differentiate)
        if key is not None:
            if len(_chosen) >= _MOST:
                _chosen.clear()
            _chosen[key] = as_batch, engine, size
    pusher.engine = engine
    if single is not None and as_batch:
        pusher.step = single
    return pusher, size, _parameters(pusher, at) if differentiate else []


def _identity(step: Step, at: Any, options: tuple) -> Any:
    module = getattr(step, "module", step)
    if not isinstance(module, torch.nn.Module):
        return None  # what a function calls may change without it
    shapes = tuple((x.shape, x.dtype, x.device) for x in tensors(at))
    training = tuple(part.training for part in module.modules())
    return weakref.ref(step), shapes, training, torch.is_grad_enabled(), options


def _choose(
    pusher: Pusher, single: Step | None, at: tuple, mode: Mode, differentiate: bool
) -> tuple[bool, Engine, int]:
    rows, rest, input = at
    as_batch = single is None
    copies = _rows_are_independent(pusher, at)
    if single is not None and (copies := _takes_batch(pusher, single, at)):
        pusher.step, as_batch = single, True
    tangents = _noise(rows)[:, None]
    if mode == "reverse":
        if differentiate:
            raise ValueError('mode: "reverse" measures only; derivatives need mode="forward".')
        return as_batch, Engine(copies, forward=False), 0
    error: Exception | None = None
    for plain in (False, True):
        pusher.engine = Engine(copies, plain_kernels=plain)
        try:
            with pusher.engine.kernels(), Saved() as saved, same_random_numbers():
                moved = pusher.push(rows, rest, tangents, input, True)[2]
            _check_adjoint(pusher, at, tangents, moved.detach())
            with pusher.engine.kernels():
                if differentiate and moved.requires_grad:
                    used = [x for x in leaf_tensors(moved) if x.requires_grad]
                    torch.autograd.grad(moved.sum(), used, allow_unused=True)
            return as_batch, pusher.engine, saved.bytes
        except (RuntimeError, NotImplementedError, TypeError) as caught:
            error = error or caught
    if differentiate or mode == "forward":
        raise ValueError(
            f"step: its backward pass cannot be differentiated: {error} Use a custom function with a "
            "smooth derivative made of PyTorch operations, such as those of ft.surrogates; ft.check "
            "says more. To "
            'measure only, there is mode="reverse".'
        ) from error
    warn(
        f"step: its backward pass cannot be differentiated ({error}); exponents are measured in "
        "reverse mode, along the trajectory backwards. They are the same over long times.",
        StepWarning,
    )
    return as_batch, Engine(copies, forward=False), 0


def _check_adjoint(pusher: Pusher, at: tuple, tangents: Tensor, moved: Tensor) -> None:
    """Raises ``RuntimeError`` unless ``<c, D q>`` from two backward passes is ``<D^T c, q>`` from one.

    It is not where a custom function hides from the second pass how its first depends on what comes in.
    """
    rows, rest, input = at
    errors = _noise(rows).roll(1, -1)[:, None]
    with pusher.engine.kernels(), same_random_numbers():
        pulled = pusher.pull(rows, rest, errors, input)
    forward, back = (moved * errors).sum(), (pulled * tangents).sum()
    size = moved.norm() * errors.norm() + pulled.norm() * tangents.norm()
    bits = min(torch.finfo(dtype).bits for dtype in pusher.layout.dtypes)
    if bool((forward - back).abs() > (1e-3 if bits >= 32 else 5e-2) * size):
        raise RuntimeError("a function in it gives another Jacobian when differentiated twice.")


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """Within this context, the random numbers of PyTorch on the CPU are the same each time, and not
    used up.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def leaf_tensors(*results: Tensor) -> list[Tensor]:
    """The leaf tensors that need gradients in the graph behind these results."""
    seen: set[Any] = set()
    found: dict[int, Tensor] = {}
    nodes = [x.grad_fn for x in results if x.grad_fn is not None]
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        nodes += [parent for parent, _ in node.next_functions if parent is not None]
    return list(found.values())


def _parameters(pusher: Pusher, at: tuple) -> list[Tensor]:
    rows, rest, input = at
    start = rows.detach().requires_grad_()
    with torch.enable_grad(), pusher.engine.kernels():
        new = pusher.step(pusher.layout.join(start, rest), input)
        results = [x for x in tensors(new) if x.requires_grad]
    return [x for x in leaf_tensors(*results) if x is not start]


def _elsewhere(rows: Tensor) -> Tensor:
    """Other numbers near those of some rows, the same each time."""
    return rows + 0.1 * _noise(rows)


def _noise(rows: Tensor) -> Tensor:
    """Random numbers in the form of some rows, the same each time."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows.shape, generator=generator, dtype=rows.dtype).to(rows.device)


def _rows_are_independent(pusher: Pusher, at: tuple) -> bool:
    """Whether a step of twice as many rows, others beside these, gives for these what it gave alone."""
    rows, rest, input = at
    both = torch.stack([rows, _elsewhere(rows)], 1).flatten(0, 1)
    many = map_tensors(
        lambda x: x.repeat_interleave(2, 0) if x.ndim and len(x) == len(rows) else x, (rest, input)
    )
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            alone = pusher.advance(rows, rest, input)[0]
            beside = pusher.advance(both, *many)[0][::2]
    except Exception:
        return False
    return _close(alone, beside, pusher.layout)


def _takes_batch(pusher: Pusher, single: Step, at: tuple) -> bool:
    """Whether a step of one state takes many states side by side as well."""
    rows, rest, input = at
    many = torch.cat([rows, _elsewhere(rows), _elsewhere(_elsewhere(rows))])
    others = map_tensors(lambda x: x.expand(3, *x.shape[1:]), (rest, input))
    layout = pusher.layout
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            each = [pusher.advance(row[None], rest, input)[0] for row in many]
            together = layout.split(single(layout.join(many, others[0]), others[1]))[0]
    except Exception:
        return False
    return _close(torch.cat(each), together, layout)


def _close(a: Tensor, b: Tensor, layout: Layout) -> bool:
    bits = min(torch.finfo(dtype).bits for dtype in layout.dtypes)
    tolerance = {64: 1e-5, 32: 1e-4}.get(bits, 3e-2)  # parts of float64 models compute in float32
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)
