"""Products of tangents with dense Jacobians, and QR between them, with one backward pass for many steps."""

from typing import Any

import torch
from torch import Tensor

from ._orthonormalise import independent, pulled_back


def products(
    matrices: Tensor, vectors: Tensor, ends: set[int]
) -> tuple[Tensor, list[Tensor]] | None:
    """Tangents that were multiplied by matrices one after the other, and orthonormalised at times.

    Args:
        matrices: shape (time, batch, n, n).
        vectors: rows, shape (batch, k, n).
        ends: after how many matrices there is a QR.

    Returns:
        The last rows, and their growth up to each QR, shape (batch, k); ``None`` if a direction is lost.
    """
    single = len(vectors) == 1  # of which products are faster without the batch axis
    if single:
        matrices, vectors = matrices[:, 0], vectors[0]
    last, growth, triangles = _Products.apply(matrices, vectors, ends)  # pyright: ignore
    if not independent(triangles, vectors.shape[-1]):
        return None
    return (last[None], list(growth[:, None])) if single else (last, list(growth))


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, matrices: Tensor, vectors: Tensor, ends: set[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        before, triangles = [vectors], []
        for t, matrix in enumerate(matrices.mT.unbind()):
            vectors = vectors @ matrix
            if t + 1 in ends:
                q, r = torch.linalg.qr(vectors.mT)
                vectors = q.mT
                triangles.append(r)
            before.append(vectors)
        none = vectors.new_ones(0, *vectors.shape[:-1], vectors.shape[-2])
        upper = torch.stack(triangles) if triangles else none
        ctx.ends = ends
        ctx.save_for_backward(matrices, upper, *before)
        ctx.mark_non_differentiable(upper)
        return vectors, upper.diagonal(dim1=-2, dim2=-1).abs().log(), upper

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, change: Tensor, of_growth: Tensor, _: Any) -> tuple[Any, ...]:
        matrices, upper, *before = ctx.saved_tensors
        triangles, growth = list(upper.unbind()), list(of_growth.unbind())
        changes = []
        for t in reversed(range(len(matrices))):
            if t + 1 in ctx.ends:
                change = pulled_back(before[t + 1].mT, triangles.pop(), change, growth.pop())
            changes.append(change)
            change = change @ matrices[t]
        of_matrices = torch.stack(changes[::-1]).mT @ torch.stack(before[:-1])
        return of_matrices, change, None
