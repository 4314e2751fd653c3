"""The smallest networks in which a surrogate gradient goes wrong (Gygax & Zenke 2025)."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import as_numbers, check_finite, check_single
from ..surrogates import Sigmoid, Surrogate
from .surrogate_gradient import SmoothStep


def logistic_step(sharpness: float, backward: float | None = None) -> SmoothStep:
    """A logistic function of this steepness, with the derivative of another one (default its own).

    Args:
        sharpness: beta of the value ``1 / (1 + exp(-beta x))``.
        backward: beta of the declared derivative; default ``sharpness``.

    Raises:
        ValueError, TypeError: a steepness that is not a positive number.
    """
    return SmoothStep(
        Sigmoid(sharpness, normalise="area"),
        None if backward is None else Sigmoid(backward, normalise="area"),
    )


class TwoPathNet(eqx.Module):
    """``y = s(u1 s(v1 s(w x)) + u2 s(v2 s(w x)))``: one input, two paths, one output.

    Five parameters, in this order: ``w``, ``v1``, ``v2``, ``u1``, ``u2``.

    Args:
        parameters: shape ``(5,)``.
        step: the nonlinearity ``s``: a ``SmoothStep``, a surrogate, or a sharpness for ``logistic_step``.
        input: x.

    Raises:
        ValueError, TypeError: parameters of another shape, or not finite.
    """

    parameters: Float[Array, "5"]
    step: Surrogate
    input: float = eqx.field(static=True)

    def __init__(self, parameters: Any, step: Surrogate | float, *, input: float = 1.0):
        parameters = jnp.asarray(as_numbers("parameters", parameters), float)
        if parameters.shape != (5,):
            raise ValueError(f"parameters: expected shape (5,), got {parameters.shape}.")
        check_finite("parameters", parameters)
        check_single(input=input)
        self.parameters = parameters
        self.step = step if isinstance(step, Surrogate) else logistic_step(step)
        self.input = float(input)

    def __call__(self) -> Float[Array, ""]:
        """The output y."""
        w, v1, v2, u1, u2 = self.parameters
        hidden = self.step(w * self.input)
        return self.step(u1 * self.step(v1 * hidden) + u2 * self.step(v2 * hidden))
