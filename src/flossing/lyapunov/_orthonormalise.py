"""Orthonormal rows with a sign convention, a mask for lost directions, and a derivative that survives them.

The derivative of ``x = l q`` is that of Walter & Lehmann 2012 for QR (``L^-1 dL`` is lower triangular and
``dQ Q^T`` is antisymmetric), restricted to the directions that are alive.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from ._triangles import cholesky, inverse

SAVED = "flossing_factor"
"""Name under which a rematerialised loop keeps the factors instead of computing them again."""


class Factors(NamedTuple):
    """``x = l q`` for a matrix ``x`` (k x n, k <= n), and which of its rows are lost.

    Tangent vectors are rows here, because a batch of vectors that leads goes through a matrix product
    without being transposed. ``l`` is the transpose of the R of the usual QR.

    A row is lost where it depends on the ones before it to working precision, or where so many rows
    cannot be independent in the columns that are not zero (an exact reset leaves a zero column, which
    rounding errors do not blur). Its row of ``vectors`` is zero. NaN counts as alive, so that it shows.

    ``vectors`` is ``transform @ x``. Normally that is Q, and ``transform`` is the inverse of L. But QR puts
    an arbitrary direction in the place of a lost one, and those behind it are orthogonalised against
    that. When there are such rows, ``vectors`` are the living rows of ``x`` as they are, sorted to the
    front by ``order``; ``whole`` is 0, no growth is counted, and the next factorisation counts it
    instead, which keeps the total exact.
    """

    vectors: Float[Array, "k n"]
    transform: Float[Array, "k k"]
    triangle: Float[Array, "k k"]
    """Lower triangular, with a non-negative diagonal; columns of lost rows are zero."""
    log_growth: Float[Array, " k"]
    """Logarithms of the diagonal of L; 0 for lost rows."""
    alive: Bool[Array, " k"]
    order: Int[Array, " k"]
    whole: Float[Array, ""]
    lean: Float[Array, ""]
    """Largest logarithm of a row's length over its part that is orthogonal to those before it."""
    done: Bool[Array, ""]
    """Whether there was a factorisation at all; see ``due`` of ``orthonormalise``."""


def _householder(x: Float[Array, "k n"]) -> Factors:
    q, r = jnp.linalg.qr(x.T)
    k, n = x.shape
    diagonal = jnp.diagonal(r)
    scale = jnp.linalg.norm(x, axis=1)
    tolerance = 4 * n**0.5 * max(float(jnp.finfo(x.dtype).eps), 1e-14)
    dependent = jnp.abs(diagonal) <= tolerance * scale
    arbitrary = dependent[:, None] | jnp.eye(k, dtype=bool)
    rest = jnp.linalg.norm(jnp.where(arbitrary, r, 0), axis=0) / jnp.where(scale > 0, scale, 1)
    excess = k - jnp.count_nonzero(jnp.any(x != 0, axis=0))
    smallest = jnp.where(excess > 0, jnp.sort(rest)[jnp.maximum(excess - 1, 0)], 0)
    lost = rest <= jnp.maximum(tolerance, smallest)
    # A row that depends only on an arbitrary direction looks lost, and is not.
    seen = ~(lost | dependent)
    alive = seen | (dependent & ~lost)
    hole = jnp.any(~alive[:-1] & alive[1:])

    tiny = float(jnp.finfo(x.dtype).tiny)
    mask = seen.astype(x.dtype)
    sign = jnp.where(diagonal < 0, -mask, mask)
    triangle = r.T * sign
    square = mask[:, None] * mask
    transform = inverse(triangle * square + jnp.diag(1 - mask)) * square
    order = jnp.where(hole, jnp.argsort(~alive, stable=True), jnp.arange(k))
    kept = (order[:, None] == jnp.arange(k)) & alive[order][:, None]
    front = jnp.where(alive[order][:, None], x[order], 0)
    growth = jnp.where(seen, jnp.log(jnp.where(seen, diagonal * sign, 1)), 0)
    return Factors(
        vectors=jnp.where(hole, front, q.T * sign[:, None]),
        transform=jnp.where(hole, kept.astype(x.dtype), transform),
        triangle=triangle,
        log_growth=jnp.where(hole, 0, growth),
        alive=alive[order],
        order=order,
        whole=1 - hole.astype(x.dtype),
        lean=-jnp.log(jnp.maximum(jnp.min(jnp.where(scale > 0, rest, 1)), tiny)),
        done=jnp.asarray(True),
    )


class _Cholesky(NamedTuple):
    triangle: Float[Array, "k k"]
    lean: Float[Array, ""]
    enough: Bool[Array, ""]

    @classmethod
    def of(cls, x: Float[Array, "k n"]) -> "_Cholesky":
        """Factors the Gram matrix, and says whether that is good enough for Cholesky QR.

        Its vectors are orthonormal up to the rounding error times the squared condition number. The
        bound keeps that near 1e-3 in float32 and 1e-11 in float64. ``x = l q`` holds to working
        precision all the same, and what is missing is counted at the next factorisation.
        """
        eps = float(jnp.finfo(x.dtype).eps)
        most = -0.5 * math.log(eps / (1e-3 if eps > 1e-10 else 1e-11))
        gram = x @ x.T
        triangle = cholesky(gram)
        lean = jnp.max(0.5 * jnp.log(jnp.diagonal(gram)) - jnp.log(jnp.diagonal(triangle)))
        return cls(triangle, lean, lean < most)

    def factors(self, x: Float[Array, "k n"]) -> Factors:
        transform = inverse(self.triangle)
        k = x.shape[0]
        return Factors(
            vectors=transform @ x,
            transform=transform,
            triangle=self.triangle,
            log_growth=jnp.log(jnp.diagonal(self.triangle)),
            alive=jnp.ones(k, bool),
            order=jnp.arange(k),
            whole=jnp.ones((), x.dtype),
            lean=self.lean,
            done=jnp.asarray(True),
        )


@jax.custom_batching.custom_vmap
def _cholesky_or_householder(x: Float[Array, "k n"]) -> Factors:
    """Cholesky QR where it is good enough, which is usual; else Householder."""
    maybe = _Cholesky.of(x)
    return jax.lax.cond(maybe.enough, maybe.factors, _householder, x)


@_cholesky_or_householder.def_vmap
def _batched(size: int, batched: list, x: Float[Array, "batch k n"]) -> tuple[Factors, Factors]:
    """Householder for a whole batch if one of it needs it, so that there is still a choice."""
    del size, batched
    maybe = jax.vmap(_Cholesky.of)(x)
    factors = jax.lax.cond(
        jnp.all(maybe.enough),
        lambda x: jax.vmap(_Cholesky.factors)(maybe, x),
        jax.vmap(_householder),
        x,
    )
    everything: Any = [True] * len(factors)
    return factors, Factors(*everything)


def _unchanged(x: Float[Array, "k n"]) -> Factors:
    k = x.shape[0]
    zero = jnp.zeros((), x.dtype)
    return Factors(
        vectors=x,
        transform=jnp.zeros((k, k), x.dtype),
        triangle=jnp.zeros((k, k), x.dtype),
        log_growth=jnp.zeros(k, x.dtype),
        alive=jnp.ones(k, bool),
        order=jnp.arange(k),
        whole=zero,
        lean=zero,
        done=jnp.asarray(False),
    )


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def orthonormalise(
    x: Float[Array, "k n"], due: Bool[Array, ""] | None = None, exact: bool = True
) -> Factors:
    """The factors of ``x``; by Householder if ``exact``, else by whatever is fast and good enough.

    With ``due``, only if that is true; else ``vectors`` is ``x`` itself and nothing is counted.
    """
    factorise = _householder if exact else _cholesky_or_householder
    return factorise(x) if due is None else jax.lax.cond(due, factorise, _unchanged, x)


@orthonormalise.defjvp
def _orthonormalise_jvp(exact: bool, primals: tuple, tangents: tuple) -> tuple[Factors, Factors]:
    factors = orthonormalise(*primals, exact)
    factors = Factors(*(checkpoint_name(part, SAVED) for part in factors))
    dx = tangents[0]
    if primals[1] is None:
        vectors, transform, triangle, growth = _derivative(factors, dx)
    else:
        k = dx.shape[0]
        nothing = jnp.zeros((k, k), dx.dtype), jnp.zeros((k, k), dx.dtype), jnp.zeros(k, dx.dtype)
        vectors, transform, triangle, growth = jax.lax.cond(
            factors.done, lambda dx: _derivative(factors, dx), lambda dx: (dx, *nothing), dx
        )

    def none(part: Array) -> Any:
        return np.zeros(part.shape, jax.dtypes.float0)

    return factors, Factors(
        vectors=vectors,
        transform=transform,
        triangle=triangle,
        log_growth=growth,
        alive=none(factors.alive),
        order=none(factors.order),
        whole=jnp.zeros_like(factors.whole),
        lean=jnp.zeros_like(factors.lean),
        done=none(factors.done),
    )


def _derivative(factors: Factors, dx: Float[Array, "k n"]) -> tuple[Array, Array, Array, Array]:
    """Of vectors, transform, triangle and log growth."""
    dx = factors.transform @ dx
    inner = factors.whole * (dx @ factors.vectors.T)
    upper = jnp.triu(inner, 1)
    change = inner - (upper - upper.T)
    return (
        dx - change @ factors.vectors,
        -jnp.tril(change) @ factors.transform,
        factors.triangle @ jnp.tril(change),
        jnp.diagonal(inner),
    )
