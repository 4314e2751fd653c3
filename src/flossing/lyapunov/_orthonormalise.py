"""QR with a sign convention, a mask for directions that were lost, and a derivative that survives them.

The derivative of ``x = q r`` is that of Walter & Lehmann 2012 (``dR R^-1`` is upper triangular and
``Q^T dQ`` is antisymmetric), restricted to the directions that are alive.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def orthonormalise(
    x: Float[Array, "n k"],
) -> tuple[Float[Array, "n k"], Float[Array, "k k"], Float[Array, " k"], Float[Array, " k"]]:
    """Reduced QR of ``x`` (n >= k) with a non-negative diagonal of R.

    Returns ``(q, r, alive, hidden)``. ``alive[i]`` is 0 where column ``i`` depends on the ones before it
    to working precision, or where so many columns cannot be independent in the rows that are not zero
    (an exact reset leaves a zero row, which rounding errors do not blur). The columns of ``q`` and the
    rows of ``r`` that belong to it are zero. NaN counts as alive, so that it shows.

    QR puts an arbitrary direction in the place of a column that is not alive. ``hidden[i]`` is 1 where
    column ``i`` depends on such a direction only: it looks lost, and is not.
    """
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
    alive = 1 - (lost | dependent).astype(x.dtype)
    hidden = (dependent & ~lost).astype(x.dtype)
    sign = jnp.where(diagonal < 0, -alive, alive)
    return q * sign, r * sign[:, None], alive, hidden


@orthonormalise.defjvp
def _orthonormalise_jvp(primals: tuple, tangents: tuple) -> tuple:
    q, r, alive, hidden = orthonormalise(*primals)
    k = r.shape[0]
    both = alive[:, None] * alive
    safe = r * both + jnp.diag(1 - alive)
    dx_rinv = jax.lax.linalg.triangular_solve(safe, tangents[0] * alive)
    inner = q.T @ dx_rinv
    lower = jnp.tril(inner, -1)
    antisymmetric = lower - lower.T
    dq = dx_rinv + q @ (antisymmetric - inner)
    dr = jnp.triu(inner - antisymmetric) @ (r * both)
    zeros = jnp.zeros(k, alive.dtype)
    return (q, r, alive, hidden), (dq * alive, dr, zeros, zeros)
