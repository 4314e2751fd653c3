"""States as rows of numbers: one row per example of a batch, with the way back."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Step = Callable[[Any, Any], Any]


def leaves(tree: Any) -> list[Any]:
    """The leaves of nested tuples, lists, dicts and NamedTuples; ``None`` has none."""
    return [leaf for leaf in pytree.tree_leaves(tree) if leaf is not None]


def tensors(tree: Any) -> list[Tensor]:
    """The tensors among the leaves."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same tree with a function applied to its tensors."""
    return pytree.tree_map(lambda x: function(x) if isinstance(x, Tensor) else x, tree)


def is_inexact(leaf: Any) -> bool:
    """Whether it is a tensor of floating-point or complex numbers."""
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def take(inputs: Any, step: int | slice) -> Any:
    """One step of inputs, or some; ``None`` stays ``None``."""
    if isinstance(inputs, Tensor):
        return inputs[step]
    return map_tensors(lambda x: x[step], inputs)


def detached(tree: Any) -> Any:
    """The same numbers, as constants."""
    return map_tensors(Tensor.detach, tree)


def repeated(tree: Any, rows: int, times: int) -> Any:
    """Each row of tensors with a batch axis so many times in a row; all else as it is."""

    def repeat(x: Tensor) -> Tensor:
        if not x.ndim or x.shape[0] != rows:
            return x
        return x[:, None].expand(rows, times, *x.shape[1:]).reshape(rows * times, *x.shape[1:])

    if times == 1:
        return tree
    return repeat(tree) if isinstance(tree, Tensor) else map_tensors(repeat, tree)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the numbers of a batched state lie in the rows of a matrix, shape ``(batch, dimension)``.

    Leaves follow each other as PyTorch's pytrees order them, dicts by insertion. A complex number counts as
    two. Half precision is widened to float32, and narrowed on the way back.
    """

    spec: Any
    moves: tuple[bool, ...]
    """Which leaves carry perturbations."""
    shapes: tuple[torch.Size, ...]
    """Of the moving leaves, without the batch axis."""
    dtypes: tuple[torch.dtype, ...]
    dtype: torch.dtype
    """Of the matrix, and of tangents."""

    @classmethod
    def of(cls, state: Any, tangents: Any = None) -> "Layout":
        """The layout of a state whose tensors have a batch axis; ``tangents`` as in
        ``ft.lyapunov_spectrum``.
        """
        flat, spec = pytree.tree_flatten(state)
        wanted = _selected(state, tangents)
        moves = tuple(is_inexact(x) and w for x, w in zip(flat, wanted, strict=True))
        moving = [x for x, moved in zip(flat, moves, strict=True) if moved]
        bits = [torch.finfo(x.dtype).bits for x in moving]
        return cls(
            spec,
            moves,
            tuple(x.shape[1:] for x in moving),
            tuple(x.dtype for x in moving),
            torch.float64 if max(bits, default=0) > 32 else torch.float32,
        )

    @functools.cached_property
    def plain(self) -> bool:
        """Whether a state is one tensor of the matrix's own kind."""
        return self.spec.is_leaf() and self.moves == (True,) and self.dtypes == (self.dtype,)

    @functools.cached_property
    def sizes(self) -> list[int]:
        """Numbers of each moving leaf in a row."""
        return [
            shape.numel() * (2 if dtype.is_complex else 1)
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]

    @property
    def dimension(self) -> int:
        """Numbers in a row: the number of tangent directions."""
        return sum(self.sizes)

    def split(self, state: Any) -> tuple[Tensor, list[Any]]:
        """The matrix of moving numbers, and all other leaves."""
        if self.plain and isinstance(state, Tensor):
            return state.reshape(len(state), -1), []
        flat = pytree.tree_leaves(state)
        moving, rest = [], []
        for leaf, moved in zip(flat, self.moves, strict=True):
            (moving if moved else rest).append(leaf)
        rows = [
            (torch.view_as_real(x) if x.is_complex() else x).reshape(len(x), -1).to(self.dtype)
            for x in moving
        ]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 1), rest

    def join(self, rows: Tensor, rest: list[Any]) -> Any:
        """The state of these numbers and leaves."""
        if self.plain:
            return rows.reshape(len(rows), *self.shapes[0])
        pieces = rows.split(self.sizes, 1) if len(self.shapes) > 1 else (rows,)
        moving = iter(
            _like(piece, shape, dtype)
            for piece, shape, dtype in zip(pieces, self.shapes, self.dtypes, strict=True)
        )
        others = iter(rest)
        flat = [next(moving) if moved else next(others) for moved in self.moves]
        return pytree.tree_unflatten(flat, self.spec)


def _like(piece: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    if dtype.is_complex:
        real = torch.float64 if dtype == torch.complex128 else torch.float32
        return torch.view_as_complex(piece.to(real).reshape(len(piece), *shape, 2).contiguous())
    return piece.reshape(len(piece), *shape).to(dtype)


def _selected(state: Any, tangents: Any) -> list[bool]:
    """For each leaf of a state whether a filter selects it.

    A filter is True, False or a function of a leaf, or a tree of these in the form of the state's upper
    levels.
    """
    if tangents is None or isinstance(tangents, bool):
        return [tangents is not False] * len(pytree.tree_leaves(state))
    if callable(tangents):
        return [bool(tangents(leaf)) for leaf in pytree.tree_leaves(state)]
    if isinstance(tangents, dict) and isinstance(state, dict) and set(tangents) == set(state):
        parts = [(state[name], tangents[name]) for name in state]
    elif (
        isinstance(tangents, tuple | list)
        and isinstance(state, tuple | list)
        and len(tangents) == len(state)
    ):
        parts = list(zip(state, tangents, strict=True))
    else:
        raise ValueError(
            "tangents: expected a filter of the state's leaves, True, False or a function for a leaf or a "
            f"branch, in the form of the state {brief(state)}, got {tangents!r}."
        )
    return [chosen for part, filter_ in parts for chosen in _selected(part, filter_)]


def brief(tree: Any) -> str:
    """Types and shapes of a tree in a few words."""
    parts = [
        f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
        if isinstance(x, Tensor)
        else repr(x)
        for x in pytree.tree_leaves(tree)
    ]
    if isinstance(tree, Tensor) or tree is None:
        return parts[0]
    return f"{type(tree).__name__}({', '.join(parts)})"
