"""How far a field in parameter space is from being a gradient, at a point.

The Jacobian of a gradient is a Hessian, so it is symmetric. The antisymmetric part of the Jacobian of a
surrogate gradient is its curl: what a line integral around a small loop picks up, by Stokes' theorem.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key
from ._parts import as_network, entries, split
from .line_integrals import Field, inner

_DENSE = 3000


class Curl(NamedTuple):
    """The result of ``curl``: Frobenius norms of the two parts of the Jacobian of a field."""

    antisymmetric: float
    """Norm of ``(J - J.T) / 2``."""
    symmetric: float
    """Norm of ``(J + J.T) / 2``."""
    ratio: float
    """Antisymmetric over symmetric norm; infinite for a pure rotation, 0 for a gradient."""
    ratio_error: float
    """Standard error of the ratio; 0 without probes."""


def curl(
    field: Field,
    point: PyTree,
    *,
    num_probes: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Curl:
    """Norms of the antisymmetric and the symmetric part of the Jacobian of a field at a point.

    Args:
        field: as for ``line_integral``; it is differentiated by JAX. ``surrogate_gradient`` has its true
            derivatives, also for spikes (zero for the value of a spike, away from threshold). What the
            network itself holds constant (``jax.lax.stop_gradient``) is constant here too, as in
            ``LIFCell(reset_gradient="ignored")``; a line integral around a small circle knows better.
        point: network (its parameters are floating-point arrays) or vector, also of integers, or a list.
        num_probes: without it the whole Jacobian is computed. With it, its parts are applied to this number
            of random sign vectors, at least 2, each of which costs two products with the Jacobian: for
            large networks.
        key: random key of the probes.

    Raises:
        ValueError: a Jacobian that is NaN or infinite, more than 3000 parameters without probes, or none; a
            field that does not match the point.
        TypeError: ``key`` is no random key.
    """
    point = as_network("point", point)
    size = sum(x.size for x in jax.tree.leaves(split(point).parameters))
    if num_probes is None:
        if size > _DENSE:
            raise ValueError(
                f"num_probes: expected a number of probes for {size} parameters; "
                f"the whole Jacobian is for at most {_DENSE}."
            )
        jacobian = np.asarray(_dense(field, point), float)
        _check_jacobian(jacobian)
        odd, even = ((jacobian + sign * jacobian.T) / 2 for sign in (-1, 1))
        norms = float(np.linalg.norm(odd)), float(np.linalg.norm(even))
        return Curl(*norms, _ratio(*norms), 0.0)
    check_integer("num_probes", num_probes, 2)
    check_key("key", key)
    assert key is not None
    squares = np.asarray(_probe(field, point, num_probes, key), float)
    _check_jacobian(squares)
    odd, even = squares.mean(0)
    ratio = _ratio(np.sqrt(odd), np.sqrt(even))
    error = 0.0
    if odd > 0 and even > 0:
        # Delta method for the square root of a quotient of means.
        relative = squares[:, 0] / odd - squares[:, 1] / even
        error = ratio / 2 * relative.std(ddof=1) / np.sqrt(num_probes)
    return Curl(float(np.sqrt(odd)), float(np.sqrt(even)), ratio, float(error))


def plane_curl(field: Field, point: PyTree, first: PyTree, second: PyTree) -> Float[Array, ""]:
    """The curl in a plane: ``second @ J first - first @ J second``.

    The line integral around a small circle from ``first`` towards ``second`` is this number times the
    enclosed area. Two products with the Jacobian; directions as for ``circle``.
    """
    parts = split(as_network("point", point))

    def flow(parameters: PyTree) -> PyTree:
        return entries("field", field(parts.join(parameters)), parts.parameters)

    def pushed(name: str, direction: PyTree) -> tuple[PyTree, PyTree]:
        direction = entries(name, as_network(name, direction), parts.parameters)
        return direction, jax.jvp(flow, (parts.parameters,), (direction,))[1]

    first_entries, from_first = pushed("first", first)
    second_entries, from_second = pushed("second", second)
    return inner(second_entries, from_first) - inner(first_entries, from_second)


def _flat(field: Field, point: PyTree) -> tuple:
    parts = split(point)
    start, unravel = jax.flatten_util.ravel_pytree(parts.parameters)

    def flow(vector: Array) -> Array:
        values = entries("field", field(parts.join(unravel(vector))), parts.parameters)
        return jax.flatten_util.ravel_pytree(values)[0]

    return flow, start


@eqx.filter_jit
def _dense(field: Field, point: PyTree) -> Array:
    flow, start = _flat(field, point)
    return jax.jacfwd(flow)(start)


@eqx.filter_jit
def _probe(field: Field, point: PyTree, num_probes: int, key: PRNGKeyArray) -> Array:
    flow, start = _flat(field, point)
    pull = jax.vjp(flow, start)[1]

    def of_probe(key: PRNGKeyArray) -> Array:
        probe = jax.random.rademacher(key, start.shape, start.dtype)
        forward = jax.jvp(flow, (start,), (probe,))[1]
        (backward,) = pull(probe)
        return jnp.stack([jnp.square(forward + s * backward).sum() / 4 for s in (-1, 1)])

    return jax.lax.map(of_probe, jax.random.split(key, num_probes))


def _ratio(odd: float, even: float) -> float:
    if even > 0:
        return float(odd / even)
    return float("inf") if odd > 0 else 0.0


def _check_jacobian(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError("field: its derivative is NaN or infinite at this point.")
