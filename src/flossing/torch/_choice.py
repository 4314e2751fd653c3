"""The choice of an engine for a step, by trying one step of it."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from .._warn import warn
from ..lyapunov._check_run import StepWarning
from ._engine import Engine, Pusher
from ._memory import Saved
from ._tree import Layout, Step, map_tensors, tensors

Mode = Literal["auto", "forward", "reverse"]

_chosen: dict[Any, tuple[bool, Engine, int]] = {}
"""What was found for steps that have been tried, by the step, shapes and what was asked for."""
_MOST = 64


def try_step(
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
                    used = [x for x in leaf_tensors([moved]) if x.requires_grad]
                    torch.autograd.grad(moved.sum(), used, allow_unused=True)
            numbers = saved.bytes // rows.element_size()
            engine = Engine(copies, plain_kernels=plain, numbers=numbers)
            return as_batch, engine, saved.bytes_beside(leaf_tensors([moved])) + rows.nbytes
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


def graph_nodes(results: list[Tensor]) -> list[Any]:
    """The nodes of the graph behind these results."""
    nodes: dict[Any, None] = {}
    todo = [x.grad_fn for x in results if x.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node not in nodes:
            nodes[node] = None
            todo += [parent for parent, _ in node.next_functions if parent is not None]
    return list(nodes)


def leaf_tensors(results: list[Tensor]) -> list[Tensor]:
    """The leaf tensors that need gradients in the graph behind these results."""
    leaves = [getattr(node, "variable", None) for node in graph_nodes(results)]
    return list({id(leaf): leaf for leaf in leaves if leaf is not None}.values())


def _parameters(pusher: Pusher, at: tuple) -> list[Tensor]:
    rows, rest, input = at
    start = rows.detach().requires_grad_()
    with torch.enable_grad(), pusher.engine.kernels():
        new = pusher.step(pusher.layout.join(start, rest), input)
        results = [x for x in tensors(new) if x.requires_grad]
    return [x for x in leaf_tensors(results) if x is not start]


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
