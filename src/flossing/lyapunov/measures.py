"""Numbers that follow from a spectrum: attractor dimension and entropy rate."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import is_concrete


def kaplan_yorke_dimension(
    exponents: Float[Array, " k"], state_dimension: int | None = None
) -> Float[Array, ""]:
    """The Kaplan-Yorke (Lyapunov) dimension ``D = K + sum_{i<=K} lambda_i / |lambda_{K+1}|``.

    ``K`` is the largest number of leading exponents whose sum is not negative. Zero when all exponents are
    negative. Exponents are sorted first; minus infinity is allowed.

    Args:
        exponents: shape ``(k,)``.
        state_dimension: N. With ``k = N`` and a sum that is still positive the dimension is N. With
            ``k < N`` (or N unknown) the exponents do not determine it.

    Raises:
        ValueError: exponents are NaN, or too few to determine the dimension (infinity when traced).

    Source: Kaplan & Yorke 1979.
    """
    exponents = jnp.asarray(exponents)
    _check_exponents(exponents)
    k = exponents.size
    ordered = jnp.sort(exponents)[::-1]
    sums = jnp.cumsum(ordered)
    count = jnp.sum(sums >= 0)
    total = jnp.where(count > 0, sums[jnp.maximum(count - 1, 0)], 0)
    following = jnp.abs(ordered[jnp.minimum(count, k - 1)])
    beyond = float(k) if state_dimension == k else jnp.inf
    fraction = jnp.where(total > 0, total / jnp.where(following > 0, following, 1), 0)
    dimension = jnp.where(count == k, beyond, count + fraction)
    if is_concrete(dimension) and jnp.isinf(dimension):
        raise ValueError(
            f"exponents: the sum of all {k} is still {float(sums[-1]):.4g}; more exponents are needed to "
            "find the dimension (or state that they are all there are by state_dimension)."
        )
    return dimension


def entropy_rate(
    exponents: Float[Array, " k"], state_dimension: int | None = None
) -> Float[Array, ""]:
    """The sum of the positive exponents, an upper bound of the Kolmogorov-Sinai entropy rate.

    Equal to it for smooth systems with an SRB measure (Pesin 1977). In the unit of the exponents.

    Raises:
        ValueError: exponents are NaN, or all of them are positive and ``state_dimension`` does not say
            that there are no more (infinity when traced).
    """
    exponents = jnp.asarray(exponents)
    _check_exponents(exponents)
    rate = jnp.sum(jnp.maximum(exponents, 0))
    if state_dimension == exponents.size:
        return rate
    rate = jnp.where(jnp.min(exponents) > 0, jnp.inf, rate)
    if is_concrete(rate) and jnp.isinf(rate):
        raise ValueError(
            f"exponents: all {exponents.size} are positive; more exponents are needed to find the entropy "
            "rate (or state that they are all there are by state_dimension)."
        )
    return rate


def _check_exponents(exponents: Array) -> None:
    if exponents.ndim != 1 or exponents.size == 0:
        raise ValueError(f"exponents: expected shape (k,) with k >= 1, got {exponents.shape}.")
    if is_concrete(exponents) and not np.all(np.asarray(exponents) < np.inf):
        raise ValueError("exponents: NaN or plus infinity among them.")
