"""Line integrals of a field in parameter space, with an error estimate.

A gradient has a potential, so that its integral over a closed path is zero. A surrogate gradient need not
(Gygax & Zenke 2025).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._checks import as_numbers, check_integer, check_positive, check_single
from ._parts import as_value

Field = Callable[[PyTree], PyTree]

# Gauss-Kronrod, 7 and 15 points on [-1, 1] (Kronrod 1965): positive half, from the outside in.
_NODES = np.array(
    [
        0.991455371120812639206854697526329,
        0.949107912342758524526189684047851,
        0.864864423359769072789712788640926,
        0.741531185599394439863864773280788,
        0.586087235467691130294144691693013,
        0.405845151377397166906606412076961,
        0.207784955007898467600689403773245,
        0.0,
    ]
)
_KRONROD = np.array(
    [
        0.022935322010529224963732008058970,
        0.063092092629978553290700663189204,
        0.104790010322250183839876322541518,
        0.140653259715525918745189590510238,
        0.169004726639267902826583426598550,
        0.190350578064785409913256402421014,
        0.204432940075298892414161999234649,
        0.209482141084727828012999174891714,
    ]
)
_GAUSS = np.array(
    [
        0.129484966168869693270611432679082,
        0.279705391489276667901467771423780,
        0.381830050505118944950369775488975,
        0.417959183673469387755102040816327,
    ]
)
_X = np.concatenate([-_NODES, _NODES[-2::-1]])
_K = np.concatenate([_KRONROD, _KRONROD[-2::-1]])
_G = np.zeros(15)
_G[1::2] = np.concatenate([_GAUSS, _GAUSS[-2::-1]])


class LineIntegral(NamedTuple):
    """The result of ``line_integral``."""

    value: float
    error: float
    """Estimate of the absolute error of quadrature, without rounding."""
    evaluations: int
    """How often the field was evaluated."""
    converged: bool
    """Whether the error is below the tolerance; false for too few evaluations."""


def line_integral(
    field: Field,
    path: Callable[[Array], PyTree],
    *,
    tolerance: float = 1e-6,
    max_evaluations: int = 200_000,
    num_points: int | None = None,
    block: int = 16,
) -> LineIntegral:
    """The integral of ``field(path(s)) @ d path / ds`` for ``s`` from 0 to 1.

    The arc-length element is in the derivative of the path, which is taken by automatic differentiation.
    By default quadrature is adaptive (Gauss-Kronrod with bisection), so that jumps of the field, such as
    those where a spike appears, are found and enclosed.

    Args:
        field: from a point in parameter space to a pytree of the same parameters, such as
            ``lambda network: fl.theory.surrogate_gradient(loss, network, surrogate=...)``.
        path: from a number between 0 and 1 to a point; see ``circle`` and ``segment``. Differentiable. What
            moves along it are floating-point arrays.
        tolerance: wanted absolute error.
        max_evaluations: of the field, at most.
        num_points: instead of adaptive quadrature, this number of equally spaced intervals, an even number
            (trapezoidal rule, which is spectrally accurate for smooth fields on closed paths). The error is
            estimated from the result with half of them.
        block: intervals that are evaluated at a time; lower it for large networks.

    Raises:
        ValueError: the field is NaN or infinite on the path, or its parameters do not match the path's; the
            path has none.
    """
    check_positive("tolerance", tolerance)
    check_single(tolerance=tolerance)
    check_integer("max_evaluations", max_evaluations, 15)
    check_integer("block", block, 1)
    if num_points is None:
        return _adaptive(field, path, tolerance, max_evaluations, block)
    check_integer("num_points", num_points, 2)
    if num_points % 2:
        raise ValueError(f"num_points: expected an even number, got {num_points}.")
    values = _many(field, path, np.linspace(0, 1, num_points + 1), 15 * block)
    fine, coarse = (float(np.trapezoid(v, dx=1 / (len(v) - 1))) for v in (values, values[::2]))
    error = abs(fine - coarse)
    return LineIntegral(fine, error, num_points + 1, error <= tolerance)


def along_path(
    field: Field, path: Callable[[Array], PyTree], points: Any, *, block: int = 256
) -> np.ndarray:
    """The integrand ``field(path(s)) @ d path / ds`` at the given ``s``, shape of ``points``.

    Raises:
        ValueError: as ``line_integral``.
    """
    check_integer("block", block, 1)
    points = np.asarray(as_numbers("points", points), float)
    if not points.size:
        return np.zeros(points.shape)
    return _many(field, path, points.ravel(), block).reshape(points.shape)


def _adaptive(
    field: Field, path: Callable, tolerance: float, max_evaluations: int, block: int
) -> LineIntegral:
    edges = np.linspace(0, 1, 17)
    left, right = edges[:-1], edges[1:]
    # A jump cannot be located better than the numbers between 0 and 1 resolve it.
    shortest = max(1e-13, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    done_value = done_error = 0.0
    evaluations = 0
    while True:
        middle, half = (left + right) / 2, (right - left) / 2
        points = middle[:, None] + half[:, None] * _X
        values = _many(field, path, points.ravel(), 15 * block).reshape(points.shape)
        evaluations += points.size
        kronrod = half * (values @ _K)
        errors = np.abs(kronrod - half * (values @ _G))
        # Where a jump is in such an interval, anything between its values may be right.
        errors = np.where(half < shortest, 2 * half * np.ptp(values, axis=1), errors)
        total_error = done_error + errors.sum()
        # Accept what is good for its length, and what cannot be halved any more.
        good = (errors <= 0.5 * tolerance * (right - left)) | (half < shortest)
        stop = total_error <= tolerance or good.all()
        if stop or evaluations + 30 * (~good).sum() > max_evaluations:
            value = float(done_value + kronrod.sum())
            return LineIntegral(
                value, float(total_error), evaluations, bool(total_error <= tolerance)
            )
        done_value += kronrod[good].sum()
        done_error += errors[good].sum()
        left, middle, right = left[~good], middle[~good], right[~good]
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])


def _many(field: Field, path: Callable, points: np.ndarray, block: int) -> np.ndarray:
    dtype = jnp.result_type(float)
    padded = np.resize(points, -(-len(points) // block) * block).reshape(-1, block)
    values = [np.asarray(_integrand(field, path, jnp.asarray(part, dtype))) for part in padded]
    integrand = np.concatenate(values).astype(float)[: len(points)]
    if not np.isfinite(integrand).all():
        where = float(points[np.argmin(np.isfinite(integrand))])
        raise ValueError(f"field: NaN or infinite on the path at s = {where:.3g}.")
    return integrand


@eqx.filter_jit
def _integrand(field: Field, path: Callable, points: Array) -> Array:
    return jax.vmap(lambda s: _along(field, path, s))(points)


def _along(field: Field, path: Callable, s: Array) -> Array:
    # A closure: a path may hold arrays that are not differentiated.
    point, tangent = eqx.filter_jvp(lambda s: path(s), (s,), (jnp.ones_like(s),))
    if not any(map(eqx.is_inexact_array, jax.tree.leaves(point))):
        raise ValueError("path: its points hold no floating-point array, so that nothing moves.")
    return inner(field(point), tangent)


def inner(first: PyTree, second: PyTree) -> Array:
    """Sum of the products of all entries that two pytrees have in common, where the second has floats.

    Raises:
        ValueError: their structures or shapes differ.
    """

    def product(a: Any, b: Any) -> Array | None:
        if not (eqx.is_array_like(a) and eqx.is_inexact_array(b)):
            return None
        if jnp.shape(a) != b.shape:
            raise ValueError(
                f"field: an entry has shape {jnp.shape(a)} where the path has {b.shape}."
            )
        return (as_value(b, a) * b).sum()

    try:
        products = jax.tree.map(product, first, second, is_leaf=lambda x: x is None)
    except (ValueError, TypeError) as error:
        if str(error).startswith("field:"):
            raise
        raise ValueError(
            "field: must return a pytree like the points of the path; got "
            f"{jax.tree.structure(first)}, expected {jax.tree.structure(second)}."
        ) from None
    return sum(jax.tree.leaves(products), jnp.zeros(()))
