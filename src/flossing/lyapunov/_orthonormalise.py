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
    to working precision; the columns of ``q`` and the rows of ``r`` that belong to it are zero. NaN counts
    as alive, so that it shows. An arbitrary direction takes the place of a column that is not alive.
    ``hidden[i]`` is 1 where column ``i`` depends on such a direction only: it looks lost and is not.
    """
    q, r = jnp.linalg.qr(x)
    diagonal = jnp.diagonal(r)
    tolerance = 4 * x.shape[0] ** 0.5 * jnp.finfo(x.dtype).eps
    scale = jnp.linalg.norm(x, axis=0)
    lost = jnp.abs(diagonal) <= tolerance * scale
    alive = 1 - lost.astype(x.dtype)
    residual = jnp.linalg.norm(r * lost[:, None], axis=0)
    hidden = (lost & (residual > tolerance * scale)).astype(x.dtype)
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
