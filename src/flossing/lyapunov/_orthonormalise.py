"""Orthonormal rows with a sign convention, a mask for lost directions, and a derivative that survives them.

The derivative of ``x = l q`` is that of Walter & Lehmann 2012 for QR (``L^-1 dL`` is lower triangular and
``dQ Q^T`` is antisymmetric), restricted to the directions that are alive.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from ._triangles import cholesky, inverse

SAVED = "flossing_factor"
"""Name under which a rematerialised loop keeps the factors instead of computing them again."""


BLOCK = 32
"""Rows of which block Gram-Schmidt takes a Cholesky factor at once."""


PROBES = 4
"""Vectors by which the orthonormality of Gram-Schmidt is tested."""


class Factors(NamedTuple):
    """``x = l q`` for a matrix ``x`` (k x n, k <= n), and which of its rows are lost.

    Tangent vectors are rows here, because a batch of vectors that leads goes through a matrix product
    without being transposed. ``l`` is the transpose of the R of the usual QR.

    A row is lost where it depends on the ones before it to working precision, or where so many rows
    cannot be independent in the columns that are not zero (an exact reset leaves a zero column, which
    rounding errors do not blur). Its row of ``vectors`` is zero. NaN counts as alive, so that it shows.

    Normally ``vectors`` is Q. But QR puts an arbitrary direction in the place of a lost one, and those
    behind it are orthogonalised against that. When there are such rows, ``vectors`` are the living rows
    of ``x`` as they are, sorted to the front by ``order``; ``whole`` is 0, no growth is counted, and the
    next factorisation counts it instead, which keeps the total exact.
    """

    vectors: Float[Array, "k n"]
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


Transform = Array | None
"""What takes ``x`` to ``vectors``, (k x k), normally the inverse of L; only derivatives need it."""


def _lost_below(x: Array) -> float:
    """The part of a row's length, orthogonal to those before it, below which it counts as lost."""
    return 4 * x.shape[-1] ** 0.5 * max(float(jnp.finfo(x.dtype).eps), 1e-14)


def _householder(x: Float[Array, "k n"], differentiated: bool) -> tuple[Factors, Transform]:
    q, r = jnp.linalg.qr(x.T)
    k = x.shape[0]
    diagonal = jnp.diagonal(r)
    scale = jnp.linalg.norm(x, axis=1)
    tolerance = _lost_below(x)
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
    order = jnp.where(hole, jnp.argsort(~alive, stable=True), jnp.arange(k))
    kept = (order[:, None] == jnp.arange(k)) & alive[order][:, None]
    front = jnp.where(alive[order][:, None], x[order], 0)
    growth = jnp.where(seen, jnp.log(jnp.where(seen, diagonal * sign, 1)), 0)
    factors = Factors(
        vectors=jnp.where(hole, front, q.T * sign[:, None]),
        triangle=triangle,
        log_growth=jnp.where(hole, 0, growth),
        alive=alive[order],
        order=order,
        whole=1 - hole.astype(x.dtype),
        lean=-jnp.log(jnp.maximum(jnp.min(jnp.where(scale > 0, rest, 1)), tiny)),
        done=jnp.asarray(True),
    )
    if not differentiated:
        return factors, None
    square = mask[:, None] * mask
    transform = inverse(triangle * square + jnp.diag(1 - mask)) * square
    return factors, jnp.where(hole, kept.astype(x.dtype), transform)


class _GramSchmidt(NamedTuple):
    """Block Gram-Schmidt: Cholesky QR of the upper half, projection of the lower one, and so on.

    ``x = l q`` holds to working precision however nearly dependent the rows of ``x`` are. Its vectors
    are less orthonormal than that, and what is missing is counted at the next factorisation.
    """

    vectors: Float[Array, "k n"]
    triangle: Float[Array, "k k"]
    inverses: tuple[Float[Array, "j j"], ...]
    """Of the blocks on the diagonal of the triangle."""

    @classmethod
    def of(cls, x: Float[Array, "k n"]) -> "_GramSchmidt":
        k = x.shape[0]
        if k <= BLOCK:
            triangle = cholesky(x @ x.T)
            transform = inverse(triangle)
            return cls(transform @ x, triangle, (transform,))
        half = _half(k)
        first = cls.of(x[:half])
        along = x[half:] @ first.vectors.T
        second = cls.of(x[half:] - along @ first.vectors)
        zero = jnp.zeros((half, k - half), x.dtype)
        return cls(
            jnp.concatenate([first.vectors, second.vectors]),
            jnp.block([[first.triangle, zero], [along, second.triangle]]),
            first.inverses + second.inverses,
        )

    @property
    def lean(self) -> Float[Array, ""]:
        length = 0.5 * jnp.log(jnp.sum(jnp.square(self.triangle), 1))
        return jnp.max(length - jnp.log(jnp.diagonal(self.triangle)))

    @property
    def missing(self) -> Float[Array, ""]:
        """Estimate of the Frobenius norm of ``Q Q^T - I``, from a few vectors of random signs."""
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, len(self.vectors)))
        probes = jnp.asarray(signs, self.vectors.dtype)
        error = (probes @ self.vectors) @ self.vectors.T - probes
        return jnp.sqrt(jnp.sum(jnp.square(error)) / PROBES)

    @property
    def enough(self) -> Bool[Array, ""]:
        """Whether the vectors are orthonormal to 1e-3 in float32 or 1e-9 in float64."""
        return self.missing < (1e-3 if jnp.finfo(self.vectors.dtype).eps > 1e-10 else 1e-9)

    @property
    def nearly(self) -> Bool[Array, ""]:
        """Whether a second pass makes them so, and none is near to being lost."""
        return (self.missing < 0.1) & (self.lean < -math.log(2 * _lost_below(self.vectors)))

    def transform(self) -> Float[Array, "k k"]:
        return _joined(self.triangle, list(self.inverses))

    def again(self, differentiated: bool) -> tuple[Factors, Transform]:
        """A second pass, which makes nearly orthonormal vectors orthonormal to working precision."""
        second = _GramSchmidt.of(self.vectors)
        both = second._replace(triangle=self.triangle @ second.triangle)
        factors, _ = both.factors(differentiated=False)
        return factors, second.transform() @ self.transform() if differentiated else None

    def factors(self, differentiated: bool) -> tuple[Factors, Transform]:
        k = self.triangle.shape[0]
        factors = Factors(
            vectors=self.vectors,
            triangle=self.triangle,
            log_growth=jnp.log(jnp.diagonal(self.triangle)),
            alive=jnp.ones(k, bool),
            order=jnp.arange(k),
            whole=jnp.ones((), self.triangle.dtype),
            lean=self.lean,
            done=jnp.asarray(True),
        )
        return factors, self.transform() if differentiated else None


def _half(k: int) -> int:
    """Where a matrix is cut, at a multiple of the block."""
    return -(-k // (2 * BLOCK)) * BLOCK


def _joined(triangle: Float[Array, "k k"], blocks: list[Array]) -> Float[Array, "k k"]:
    """The inverse of a triangle whose diagonal blocks have these inverses (which are used up)."""
    k = triangle.shape[0]
    if k <= BLOCK:
        return blocks.pop(0)
    half = _half(k)
    first = _joined(triangle[:half, :half], blocks)
    second = _joined(triangle[half:, half:], blocks)
    zero = jnp.zeros((half, k - half), triangle.dtype)
    return jnp.block([[first, zero], [-second @ (triangle[half:, :half] @ first), second]])


@functools.cache
def _fast_or_householder(differentiated: bool) -> Callable[[Array], tuple[Factors, Transform]]:
    """Block Gram-Schmidt, or two passes of it, or Householder, as the matrix needs."""
    once = functools.partial(_GramSchmidt.factors, differentiated=differentiated)
    twice = functools.partial(_GramSchmidt.again, differentiated=differentiated)
    householder = functools.partial(_householder, differentiated=differentiated)

    @jax.custom_batching.custom_vmap
    def one(x: Float[Array, "k n"]) -> tuple[Factors, Transform]:
        return _choose(x, _GramSchmidt.of(x), once, twice, householder)

    @jax.custom_batching.custom_vmap
    def many(x: Float[Array, "batch k n"]) -> tuple[Factors, Transform]:
        """The same for the whole batch, as the worst of it needs, so that there is still a choice."""
        return _choose(x, jax.vmap(_GramSchmidt.of)(x), *map(jax.vmap, (once, twice, householder)))

    @one.def_vmap
    def batched(size: int, batched: list, x: Float[Array, "batch k n"]) -> tuple[Any, Any]:
        del size, batched
        out = many(x)
        return out, jax.tree.map(lambda part: True, out)

    @many.def_vmap
    def merged(size: int, batched: list, x: Float[Array, "outer batch k n"]) -> tuple[Any, Any]:
        del size, batched
        out = many(x.reshape(-1, *x.shape[2:]))
        out = jax.tree.map(lambda part: part.reshape(*x.shape[:2], *part.shape[1:]), out)
        return out, jax.tree.map(lambda part: True, out)

    return one


def _choose(
    x: Array, first: _GramSchmidt, once: Callable, twice: Callable, householder: Callable
) -> tuple[Factors, Transform]:
    each = jax.vmap if x.ndim > 2 else lambda function: function

    def slow(x: Array) -> tuple[Factors, Transform]:
        if x.shape[-2] <= BLOCK:
            return householder(x)
        nearly = jnp.all(each(lambda one: one.nearly)(first))
        return jax.lax.cond(nearly, lambda x: twice(first), householder, x)

    enough = jnp.all(each(lambda one: one.enough)(first))
    return jax.lax.cond(enough, lambda x: once(first), slow, x)


def _unchanged(x: Float[Array, "k n"], differentiated: bool) -> tuple[Factors, Transform]:
    k = x.shape[0]
    zero, square = jnp.zeros((), x.dtype), jnp.zeros((k, k), x.dtype)
    factors = Factors(
        vectors=x,
        triangle=square,
        log_growth=jnp.zeros(k, x.dtype),
        alive=jnp.ones(k, bool),
        order=jnp.arange(k),
        whole=zero,
        lean=zero,
        done=jnp.asarray(False),
    )
    return factors, square if differentiated else None


def _factorise(
    x: Float[Array, "k n"], due: Bool[Array, ""] | None, exact: bool, differentiated: bool
) -> tuple[Factors, Transform]:
    if exact:
        now = functools.partial(_householder, differentiated=differentiated)
    else:
        now = _fast_or_householder(differentiated)
    if due is None:
        return now(x)
    return jax.lax.cond(due, now, functools.partial(_unchanged, differentiated=differentiated), x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def orthonormalise(
    x: Float[Array, "k n"], due: Bool[Array, ""] | None = None, exact: bool = True
) -> Factors:
    """The factors of ``x``; by Householder if ``exact``, else by whatever is fast and good enough.

    With ``due``, only if that is true; else ``vectors`` is ``x`` itself and nothing is counted.
    """
    return _factorise(x, due, exact, differentiated=False)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _with_transform(
    x: Float[Array, "k n"], due: Bool[Array, ""] | None, exact: bool
) -> tuple[Factors, Transform]:
    return _factorise(x, due, exact, differentiated=True)


@_with_transform.defjvp
def _jvp_with_transform(exact: bool, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    found = _with_transform(*primals, exact)
    factors, transform = jax.tree.map(lambda part: checkpoint_name(part, SAVED), found)
    dx = tangents[0]
    if primals[1] is None:
        changes = _derivative(factors, transform, dx)
    else:
        k = dx.shape[0]
        square = jnp.zeros((k, k), dx.dtype)
        changes = jax.lax.cond(
            factors.done,
            lambda dx: _derivative(factors, transform, dx),
            lambda dx: (dx, square, square, jnp.zeros(k, dx.dtype)),
            dx,
        )
    vectors, inverted, triangle, growth = changes

    def none(part: Array) -> Any:
        return np.zeros(part.shape, jax.dtypes.float0)

    change = Factors(
        vectors=vectors,
        triangle=triangle,
        log_growth=growth,
        alive=none(factors.alive),
        order=none(factors.order),
        whole=jnp.zeros_like(factors.whole),
        lean=jnp.zeros_like(factors.lean),
        done=none(factors.done),
    )
    return (factors, transform), (change, inverted)


@orthonormalise.defjvp
def _orthonormalise_jvp(exact: bool, primals: tuple, tangents: tuple) -> tuple[Factors, Factors]:
    found, changes = _jvp_with_transform(exact, primals, tangents)
    return found[0], changes[0]


def _derivative(
    factors: Factors, transform: Float[Array, "k k"], dx: Float[Array, "k n"]
) -> tuple[Array, Array, Array, Array]:
    """Of vectors, transform, triangle and log growth."""
    dx = transform @ dx
    inner = factors.whole * (dx @ factors.vectors.T)
    upper = jnp.triu(inner, 1)
    change = inner - (upper - upper.T)
    return (
        dx - change @ factors.vectors,
        -jnp.tril(change) @ transform,
        factors.triangle @ jnp.tril(change),
        jnp.diagonal(inner),
    )
