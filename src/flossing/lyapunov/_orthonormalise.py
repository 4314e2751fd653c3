"""Orthonormal rows with a sign convention, a mask for lost directions, and a derivative that survives them.

The derivative of ``x = l q`` is that of Walter & Lehmann 2012 for QR (``L^-1 dL`` is lower triangular and
``dQ Q^T`` is antisymmetric), restricted to the directions that are alive.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from .._norms import power_of_two
from ._gram_schmidt import GramSchmidt
from ._triangles import inverse

SAVED = "flossing_factor"
"""Name under which a rematerialised loop keeps the factors instead of computing them again."""


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


Transform = Array | None
"""What takes ``x`` to ``vectors``, (k x k), normally the inverse of L; only derivatives need it."""


def _lost_below(x: Array) -> float:
    """The part of a row's length, orthogonal to those before it, below which it counts as lost.

    Householder's rounding errors are some ``sqrt(n) eps`` of a row's length, and 4 is the margin: a smaller
    rest says nothing about the row. 1e-14 stands in for the epsilon of float64, which is smaller: rows carry
    rounding errors of the step as well.
    """
    return 4 * x.shape[-1] ** 0.5 * max(float(jnp.finfo(x.dtype).eps), 1e-14)


def _householder(x: Float[Array, "k n"], differentiated: bool) -> tuple[Factors, Transform]:
    # Rows of any length: each is divided by a power of two near its largest entry before it is squared.
    unit = power_of_two(jnp.max(jnp.abs(x), axis=1))
    scaled = x / unit[:, None]
    q, r = jnp.linalg.qr(scaled.T)
    k = x.shape[0]
    index, eye = jnp.arange(k), jnp.eye(k, dtype=bool)
    diagonal = jnp.sum(jnp.where(eye, r, 0), 0)
    length = jnp.sqrt(jnp.sum(jnp.square(r), 0))
    tolerance = _lost_below(x)
    # A row is one of three kinds, by two shares of its length: the diagonal, and `rest`, what it has along
    # its own direction and along those that QR made up for dependent rows:
    #
    #                                             diagonal    rest
    #   independent of the rows before it         > tol       > tol    `seen`: growth is counted
    #   dependent on seen rows                    about 0     about 0  `lost`
    #   neither, along a made-up direction        about 0     > tol    alive: the next one counts or loses it
    #
    # Example: (1, 0, 0), (2, 0, 0), (0, 1, 0). The second row depends on the first, and QR makes up a
    # direction for it, perhaps (0, 1, 0). That is the direction of the third row, whose diagonal is now 0
    # although it depends on nothing: its rest of 1 tells. Then there is a `hole`, a living row behind a lost
    # one: no growth is counted now, and the living rows go on as they are, in front.
    dependent = jnp.abs(diagonal) <= tolerance * length
    rest = jnp.sum(jnp.where(dependent[:, None] | eye, jnp.square(r), 0), 0)
    rest = jnp.sqrt(rest) / jnp.where(length > 0, length, 1)
    # So many rows are too many for the columns that are not zero: those with the smallest rests are lost.
    excess = k - jnp.sum(jnp.any(x != 0, axis=0))
    smaller = jnp.sum((rest[None] < rest[:, None]) | jnp.isnan(rest)[:, None], 1)
    lost = (rest <= tolerance) | (smaller < excess)
    seen = ~(lost | dependent)
    alive = seen | (dependent & ~lost)
    hole = jnp.any(~alive[:-1] & alive[1:])
    # A sort by ``alive``, without the program that JAX makes of a sort.
    ahead = jnp.where(alive[None] == alive[:, None], index[None] < index[:, None], alive[None])
    kept = jnp.sum(ahead, 1)[None] == index[:, None]
    order = jnp.sum(jnp.where(kept, index[None], 0), 1)
    in_front = index < jnp.sum(alive)

    tiny = float(jnp.finfo(x.dtype).tiny)
    mask = seen.astype(x.dtype)
    sign = jnp.where(diagonal < 0, -mask, mask)
    triangle = r.T * sign[None]
    front = jnp.where(in_front[:, None], x[order], 0)
    growth = jnp.where(seen, jnp.log(jnp.where(seen, diagonal * sign, 1)) + jnp.log(unit), 0)
    factors = Factors(
        vectors=jnp.where(hole, front, q.T * sign[:, None]),
        triangle=triangle * unit[:, None],
        log_growth=jnp.where(hole, 0, growth),
        alive=in_front,
        order=order,
        whole=1 - hole.astype(x.dtype),
        lean=-jnp.log(jnp.maximum(jnp.min(jnp.where(length > 0, rest, 1)), tiny)),
    )
    if not differentiated:
        return factors, None
    square = mask[:, None] * mask[None]
    transform = inverse(triangle * square + jnp.diag(1 - mask)) * square / unit[None]
    return factors, jnp.where(hole, (kept & in_front[:, None]).astype(x.dtype), transform)


def _gram_schmidt(gram_schmidt: GramSchmidt, differentiated: bool) -> tuple[Factors, Transform]:
    k = gram_schmidt.triangle.shape[0]
    factors = Factors(
        vectors=gram_schmidt.vectors,
        triangle=gram_schmidt.triangle,
        log_growth=jnp.log(jnp.diagonal(gram_schmidt.triangle)),
        alive=jnp.ones(k, bool),
        order=jnp.arange(k),
        whole=jnp.ones((), gram_schmidt.triangle.dtype),
        lean=gram_schmidt.lean,
    )
    return factors, gram_schmidt.transform() if differentiated else None


@functools.cache
def _fast_or_householder(differentiated: bool) -> Callable[[Array], tuple[Factors, Transform]]:
    """Block Gram-Schmidt where that is enough, and Householder where it is not."""
    fast = functools.partial(_gram_schmidt, differentiated=differentiated)
    householder = functools.partial(_householder, differentiated=differentiated)

    @jax.custom_batching.custom_vmap
    def of_matrix(x: Float[Array, "k n"]) -> tuple[Factors, Transform]:
        return _choose(x, GramSchmidt.of(x), fast, householder)

    @jax.custom_batching.custom_vmap
    def many(x: Float[Array, "batch k n"]) -> tuple[Factors, Transform]:
        """The same for the whole batch, as the worst of it needs, so that there is still a choice."""
        return _choose(x, jax.vmap(GramSchmidt.of)(x), *map(jax.vmap, (fast, householder)))

    @of_matrix.def_vmap
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

    return of_matrix


def _choose(
    x: Array, gram_schmidt: GramSchmidt, fast: Callable, householder: Callable
) -> tuple[Factors, Transform]:
    each = jax.vmap if x.ndim > 2 else lambda function: function
    enough = jnp.all(each(lambda single: single.enough)(gram_schmidt))
    # A loop of one turn at most: where it is not entered, the fast factors stay where they are. A conditional
    # would copy them at every step.
    return jax.lax.while_loop(
        lambda chosen: ~chosen[0],
        lambda chosen: (jnp.asarray(True), householder(x)),
        (enough, fast(gram_schmidt)),
    )[1]


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
    outputs = _with_transform(*primals, exact)
    factors, transform = jax.tree.map(lambda part: checkpoint_name(part, SAVED), outputs)
    dx, due = tangents[0], primals[1]
    if due is None:
        changes = _derivative(factors, transform, dx)
    else:
        k = dx.shape[0]
        square = jnp.zeros((k, k), dx.dtype)
        changes = jax.lax.cond(
            checkpoint_name(due, SAVED),
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
    )
    return (factors, transform), (change, inverted)


@orthonormalise.defjvp
def _orthonormalise_jvp(exact: bool, primals: tuple, tangents: tuple) -> tuple[Factors, Factors]:
    outputs, changes = _jvp_with_transform(exact, primals, tangents)
    return outputs[0], changes[0]


def _derivative(
    factors: Factors, transform: Float[Array, "k k"], dx: Float[Array, "k n"]
) -> tuple[Array, Array, Array, Array]:
    """Of vectors, transform, triangle and log growth.

    Written such that little is computed from the factors alone (a transpose, a diagonal): within a
    conditional, JAX would store all of it for the backward pass.
    """
    # With x = L Q, dx = dL Q + L dQ. From the left times L^-1 and from the right times Q^T this is L^-1 dL
    # + dQ Q^T, ``inner``: a lower triangle plus an antisymmetric matrix. Above the diagonal there is the
    # second alone, which is thus known everywhere; what it leaves is L^-1 dL, of which ``change`` is the
    # negative. The rest follows: dQ = L^-1 dx - (L^-1 dL) Q, dL = L (L^-1 dL), d(L^-1) = -(L^-1 dL) L^-1, and
    # the derivative of the logarithms of the diagonal of L is the diagonal of L^-1 dL.
    dx = transform @ dx
    inner = factors.whole * jax.lax.dot_general(dx, factors.vectors, (((1,), (1,)), ((), ())))
    lower = np.tri(len(dx), dtype=bool)
    upper = jnp.where(lower, 0, inner)
    change = upper - upper.T - inner
    return (
        dx + change @ factors.vectors,
        jnp.where(lower, change, 0) @ transform,
        factors.triangle @ jnp.where(lower, -change, 0),
        factors.whole * jnp.sum(dx * factors.vectors, 1),
    )
