"""QR with a sign convention, a mask for directions that were lost, and a derivative that survives them.

The derivative of ``x = q r`` is that of Walter & Lehmann 2012 (``dR R^-1`` is upper triangular and
``Q^T dQ`` is antisymmetric), restricted to the directions that are alive.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

SAVED = "flossing_factor"
"""Name under which a rematerialised loop keeps the factors instead of computing them again."""


class Factors(NamedTuple):
    """Reduced QR of a matrix ``x`` (n >= k), and which of its columns are lost.

    A column is lost where it depends on the ones before it to working precision, or where so many
    columns cannot be independent in the rows that are not zero (an exact reset leaves a zero row, which
    rounding errors do not blur). Its column of ``vectors`` is zero. NaN counts as alive, so that it shows.

    ``vectors`` is ``x @ transform``. Normally that is Q, and ``transform`` is the inverse of R. But QR puts
    an arbitrary direction in the place of a lost column, and the columns behind it are orthogonalised
    against that. When there are such columns, ``vectors`` are the living columns of ``x`` as they are,
    sorted to the front by ``order``; ``whole`` is 0, no growth is counted, and the next factorisation
    counts it instead, which keeps the total exact.
    """

    vectors: Float[Array, "n k"]
    transform: Float[Array, "k k"]
    r: Float[Array, "k k"]
    """Upper triangular, with a non-negative diagonal; rows of lost columns are zero."""
    log_growth: Float[Array, " k"]
    """Logarithms of the diagonal of R; 0 for lost columns."""
    alive: Bool[Array, " k"]
    order: Int[Array, " k"]
    whole: Float[Array, ""]


def _householder(x: Float[Array, "n k"]) -> Factors:
    q, r = jnp.linalg.qr(x)
    n, k = x.shape
    diagonal = jnp.diagonal(r)
    scale = jnp.linalg.norm(x, axis=0)
    tolerance = 4 * n**0.5 * max(float(jnp.finfo(x.dtype).eps), 1e-14)
    dependent = jnp.abs(diagonal) <= tolerance * scale
    arbitrary = dependent[:, None] | jnp.eye(k, dtype=bool)
    rest = jnp.linalg.norm(jnp.where(arbitrary, r, 0), axis=0) / jnp.where(scale > 0, scale, 1)
    excess = k - jnp.count_nonzero(jnp.any(x != 0, axis=1))
    smallest = jnp.where(excess > 0, jnp.sort(rest)[jnp.maximum(excess - 1, 0)], 0)
    lost = rest <= jnp.maximum(tolerance, smallest)
    # A column that depends only on an arbitrary direction looks lost, and is not.
    seen = ~(lost | dependent)
    alive = seen | (dependent & ~lost)
    hole = jnp.any(~alive[:-1] & alive[1:])

    mask = seen.astype(x.dtype)
    sign = jnp.where(diagonal < 0, -mask, mask)
    r = r * sign[:, None]
    square = mask[:, None] * mask
    inverse = _inverse(r * square + jnp.diag(1 - mask)) * square
    order = jnp.where(hole, jnp.argsort(~alive, stable=True), jnp.arange(k))
    kept = (jnp.arange(k)[:, None] == order) & alive[order]
    sort = kept.astype(x.dtype)
    growth = jnp.where(seen, jnp.log(jnp.where(seen, diagonal * sign, 1)), 0)
    return Factors(
        vectors=jnp.where(hole, x @ sort, q * sign),
        transform=jnp.where(hole, sort, inverse),
        r=r,
        log_growth=jnp.where(hole, 0, growth),
        alive=alive[order],
        order=order,
        whole=1 - hole.astype(x.dtype),
    )


def _inverse(r: Float[Array, "k k"]) -> Float[Array, "k k"]:
    return jax.lax.linalg.triangular_solve(r, jnp.eye(r.shape[0], dtype=r.dtype))


def _cholesky_or_householder(x: Float[Array, "n k"]) -> Factors:
    """Cholesky QR where the columns are independent enough, which is usual; else Householder.

    The vectors of Cholesky QR are orthonormal up to the rounding error times the squared condition
    number. The bound keeps that near 1e-3 in float32 and 1e-11 in float64. ``x = q r`` holds to working
    precision all the same, and what is missing is counted at the next factorisation.
    """
    k = x.shape[1]
    eps = float(jnp.finfo(x.dtype).eps)
    least = (eps / (1e-3 if eps > 1e-10 else 1e-11)) ** 0.5
    gram = x.T @ x
    r = jax.lax.linalg.cholesky(gram, symmetrize_input=False).T
    diagonal = jnp.diagonal(r)
    independent = jnp.all(diagonal > least * jnp.sqrt(jnp.diagonal(gram)))

    def fast() -> Factors:
        inverse = _inverse(r)
        return Factors(
            vectors=x @ inverse,
            transform=inverse,
            r=r,
            log_growth=jnp.log(diagonal),
            alive=jnp.ones(k, bool),
            order=jnp.arange(k),
            whole=jnp.ones((), x.dtype),
        )

    return jax.lax.cond(independent, fast, lambda: _householder(x))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def orthonormalise(x: Float[Array, "n k"], exact: bool = True) -> Factors:
    """The QR factors of ``x``; by Householder if ``exact``, else by whatever is fast and good enough."""
    return _householder(x) if exact else _cholesky_or_householder(x)


@orthonormalise.defjvp
def _orthonormalise_jvp(exact: bool, primals: tuple, tangents: tuple) -> tuple[Factors, Factors]:
    factors = orthonormalise(*primals, exact)
    factors = Factors(*(checkpoint_name(part, SAVED) for part in factors))
    dx = tangents[0] @ factors.transform
    inner = factors.whole * (factors.vectors.T @ dx)
    lower = jnp.tril(inner, -1)
    change = inner - (lower - lower.T)
    none: Any = np.zeros(factors.order.shape, jax.dtypes.float0)
    return factors, Factors(
        vectors=dx - factors.vectors @ change,
        transform=-factors.transform @ jnp.triu(change),
        r=jnp.triu(change) @ factors.r,
        log_growth=jnp.diagonal(inner),
        alive=none,
        order=none,
        whole=jnp.zeros_like(factors.whole),
    )
