"""Orthonormal rows, a mask for lost directions, and a derivative that survives them.

PyTorch's QR where no direction is lost. Else Householder with the conventions of the JAX side: the
derivative is that of QR (Walter & Lehmann 2012), restricted to the directions that are alive.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_SAFE = 1e15
"""Lengths between this and its inverse can be squared in single precision."""


class Factors(NamedTuple):
    """``x = l q`` for each matrix of a batch (k rows of n numbers), and which of its rows are lost.

    A row is lost where it depends on the ones before it to working precision, or where so many rows
    cannot be independent in the columns that are not zero. Its vector is zero. QR puts an arbitrary
    direction in the place of a lost row, and those behind it are orthogonalised against that: then
    ``vectors`` are the living rows as they are, sorted to the front by ``order``, and the next
    factorisation counts their growth.
    """

    vectors: Tensor
    """(batch, k, n)."""
    log_growth: Tensor
    """(batch, k); 0 for lost rows."""
    alive: Tensor | None
    """(batch, k); ``None`` where all are."""
    order: Tensor | None
    """(batch, k); ``None`` where it is that of the rows of ``x``."""


def orthonormalise(x: Tensor) -> Factors:
    """The factors of a batch of matrices, shape (batch, k, n) with k <= n; differentiable."""
    q, r = torch.linalg.qr(x.mT)
    if independent(r, x.shape[-1]):
        return Factors(q.mT, r.diagonal(dim1=-2, dim2=-1).abs().log(), None, None)
    return Factors(*_Householder.apply(x))  # pyright: ignore[reportGeneralTypeIssues]


@torch.no_grad()
def independent(r: Tensor, n: int) -> bool:
    """Whether triangles of QR, shape (..., k, k), are those of rows of n numbers of which none is lost."""
    sizes = r.abs()
    largest, smallest = sizes.amax((-2, -1)), sizes.diagonal(dim1=-2, dim2=-1).amin(-1)
    bound = _lost_below(n, r.dtype) * r.shape[-1] ** 0.5
    good = (smallest > bound * largest) & (largest < _SAFE) & (smallest > 1 / _SAFE)
    return bool(good.all())


def _lost_below(n: int, dtype: torch.dtype) -> float:
    """The part of a row's length, orthogonal to those before it, below which it counts as lost."""
    return 4 * n**0.5 * max(torch.finfo(dtype).eps, 1e-14)


def pulled_back(q: Tensor, r: Tensor, of_vectors: Tensor, of_growth: Tensor) -> Tensor:
    """Gradients of the rows ``x = (q r)^T``, from those of the rows ``q^T`` and of ``log |r_ii|``.

    The adjoint of QR (Walter & Lehmann 2012).
    """
    change = of_vectors @ q
    inner = torch.diag_embed(of_growth) - change.tril() - change.tril(-1).mT
    return torch.linalg.solve_triangular(r, of_vectors + inner @ q.mT, upper=True)


def power_of_two(size: Tensor) -> Tensor:
    """A power of two near each of these sizes; 1 for 0, NaN and infinity."""
    usual = torch.isfinite(size) & (size > 0)
    exponent = torch.frexp(torch.where(usual, size, 1))[1].clamp(-124, 124)
    return torch.where(usual, torch.ldexp(torch.ones_like(size), exponent), 1)


class _Householder(torch.autograd.Function):
    """Vectors, log growth, flags and order of matrices of which some rows may be lost."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        k = x.shape[-2]
        # Rows of any length: each is divided by a power of two before it is squared.
        unit = power_of_two(x.abs().amax(-1))
        scaled = x / unit[..., None]
        q, r = torch.linalg.qr(torch.nan_to_num(scaled).mT)
        finite = torch.isfinite(x).all(-1).all(-1)[..., None]
        diagonal = r.diagonal(dim1=-2, dim2=-1)
        length = torch.linalg.vector_norm(scaled, dim=-1)
        tolerance = _lost_below(x.shape[-1], x.dtype)
        dependent = diagonal.abs() <= tolerance * length
        arbitrary = dependent[..., :, None] | torch.eye(k, dtype=torch.bool, device=x.device)
        rest = torch.linalg.vector_norm(torch.where(arbitrary, r, 0), dim=-2)
        rest = rest / torch.where(length > 0, length, 1)
        excess = k - (x != 0).any(-2).sum(-1)
        ordered = rest.sort(-1)[0].gather(-1, (excess - 1).clamp(min=0)[..., None])[..., 0]
        smallest = torch.where(excess > 0, ordered, 0)[..., None]
        lost = (
            rest <= smallest.clamp(min=tolerance)
        ) & finite  # NaN counts as alive, so that it shows
        # A row that depends only on an arbitrary direction looks lost, and is not.
        seen = ~(lost | dependent)
        alive = ~lost
        hole = (~alive[..., :-1] & alive[..., 1:]).any(-1)[..., None]

        mask = seen.to(x.dtype)
        sign = torch.where(diagonal < 0, -mask, mask)
        rank = torch.arange(k, device=x.device).expand(alive.shape)
        order = torch.where(hole, (~alive).to(torch.int8).argsort(dim=-1, stable=True), rank)
        alive = alive.gather(-1, order)
        front = torch.where(alive[..., None], x.gather(-2, order[..., None].expand(x.shape)), 0)
        growth = torch.where(seen, torch.where(seen, diagonal * sign, 1).log() + unit.log(), 0)
        vectors = torch.where(hole[..., None], front, q.mT * sign[..., None])
        triangle = r.mT * sign[..., None, :] * unit[..., None]
        growth = torch.where(hole, 0, growth)
        nan = torch.full_like(growth, torch.nan)
        ctx.save_for_backward(vectors, triangle, mask, unit, hole, order, alive)
        return vectors, torch.where(finite, growth, nan), alive, order

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        of_vectors, of_growth = gradients[:2]
        vectors, triangle, mask, unit, hole, order, alive = ctx.saved_tensors
        # QR of the rows that were seen: the others have rows of the unit matrix in the triangle.
        square = mask[..., :, None] * mask[..., None, :]
        safe = triangle / unit[..., None] * square + torch.diag_embed(1 - mask)
        solved = pulled_back(vectors.mT, safe.mT, mask[..., None] * of_vectors, of_growth)
        solved = mask[..., None] * solved / unit[..., None]
        kept = torch.where(alive[..., None], of_vectors, 0)
        scattered = torch.zeros_like(kept).scatter(-2, order[..., None].expand(kept.shape), kept)
        return torch.where(hole[..., None], scattered, solved)
