"""A linear recurrent layer with a diagonal matrix, whose exponents are known exactly."""

import dataclasses
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_finite,
    check_fraction,
    check_integer,
    check_key,
    check_positive,
    check_single,
)
from ._base import Cell, product
from .spec import CellSpec


class LinearState(NamedTuple):
    """Real and imaginary parts of the modes: both arrays have shape ``(hidden_size,)``."""

    real: Float[Array, " hidden"]
    imaginary: Float[Array, " hidden"]


class LinearRecurrentCell(Cell):
    """A linear recurrent unit (LRU, Orvieto et al. 2023): a diagonal complex recurrence, then a nonlinearity.

    N complex modes and N outputs::

        z' = lambda * z + scale * (B s),   lambda = exp(-exp(nu) + i exp(theta))
        output = tanh(C [Re z, Im z] + b)

    Every mode decays whatever training does, because ``|lambda| = exp(-exp(nu)) < 1``. Its Lyapunov
    exponents are ``ln |lambda| = -exp(nu)``, each of them twice, whatever the input (property
    ``exponents``). The state is ``LinearState(real, imaginary)``: 2N tangent directions for N units.

    ``scale`` starts at ``sqrt(1 - |lambda|^2)``, which keeps the variance of a mode that of white input. In
    the paper a deeper nonlinearity follows each layer; here it is one tanh layer, so that a linear readout of
    the output can compute what is not linear in the inputs.

    Args:
        input_size: number of inputs.
        hidden_size: number of modes and of outputs N.
        input_gain: real and imaginary parts of ``B`` are drawn from N(0, input_gain^2 / (2 input_size)).
        min_radius, max_radius: ``|lambda|`` is drawn from a ring in the complex plane, uniform in area; at
            most 0.999999 and at least 1e-12.
        max_phase: angles are drawn uniformly from (0, max_phase), in radians.
        key: random key.
    """

    log_decay: Float[Array, " hidden"]
    """nu"""
    log_phase: Float[Array, " hidden"]
    """theta"""
    log_scale: Float[Array, " hidden"]
    input_weight: Float[Array, "modes2 input"]
    """``Re B``, and below it ``Im B``."""
    output_weight: Float[Array, "hidden modes2"]
    """C"""
    bias: Float[Array, " hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        input_gain: float = 1.0,
        min_radius: float = 0.0,
        max_radius: float = 1.0,
        max_phase: float = 2 * math.pi,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_finite("input_gain", input_gain)
        _check_radii(min_radius, max_radius)
        check_positive("max_phase", max_phase)
        check_single(input_gain=input_gain, max_phase=max_phase)
        check_key("key", key)
        n = hidden_size
        radius_key, phase_key, input_key, output_key = jax.random.split(key, 4)
        area = jax.random.uniform(radius_key, (n,), minval=min_radius**2, maxval=max_radius**2)
        area = jnp.clip(area, 1e-6 * min(1, max_radius**2), 1 - 1e-6)
        phase = jax.random.uniform(phase_key, (n,), maxval=max_phase)
        self.log_decay = jnp.log(-jnp.log(area) / 2)
        self.log_phase = jnp.log(jnp.maximum(phase, 1e-6 * min(1, max_phase)))
        self.log_scale = jnp.log1p(-area) / 2
        spread = input_gain / math.sqrt(2 * input_size)
        self.input_weight = spread * jax.random.normal(input_key, (2 * n, input_size))
        self.output_weight = jax.random.normal(output_key, (n, 2 * n)) / math.sqrt(n)
        self.bias = jnp.zeros(n)

    @property
    def exponents(self) -> Float[Array, " modes2"]:
        """All 2N Lyapunov exponents, largest first, in nats per step; exact."""
        rates = jnp.sort(-jnp.exp(self.log_decay), descending=True)
        return jnp.repeat(rates, 2)

    def __call__(self, state: LinearState, input: Float[Array, " input"]) -> LinearState:
        """The next state."""
        real, imaginary = state
        input = self._check({"state.real": real, "state.imaginary": imaginary}, input)
        radius, phase = jnp.exp(-jnp.exp(self.log_decay)), jnp.exp(self.log_phase)
        cosine, sine = radius * jnp.cos(phase), radius * jnp.sin(phase)
        from_real, from_imaginary = jnp.split(product(self.input_weight, input), 2)
        scale = jnp.exp(self.log_scale)
        return LinearState(
            cosine * real - sine * imaginary + scale * from_real,
            sine * real + cosine * imaginary + scale * from_imaginary,
        )

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> LinearState:
        """Zeros, or standard normal numbers from ``key``."""
        if key is None:
            zeros = jnp.zeros(self.hidden_size, self.bias.dtype)
            return LinearState(zeros, zeros)
        return LinearState(*jax.random.normal(key, (2, self.hidden_size), self.bias.dtype))

    def output(self, state: LinearState) -> Float[Array, " hidden"]:
        """``tanh`` of a linear map of the modes."""
        return jnp.tanh(product(self.output_weight, jnp.concatenate(state)) + self.bias)


def _check_radii(min_radius: float, max_radius: float) -> None:
    """Raises unless these are the radii of a ring within the unit circle."""
    check_fraction("min_radius", min_radius)
    check_fraction("max_radius", max_radius)
    check_single(min_radius=min_radius, max_radius=max_radius)
    if not min_radius < max_radius:
        raise ValueError(
            f"max_radius: expected more than min_radius = {min_radius}, got {max_radius}."
        )
    # Single precision has neither the square of a smaller radius nor the distance of a larger one from 1.
    if not (max_radius >= 1e-12 and min_radius <= 0.999999):
        raise ValueError(
            "min_radius, max_radius: expected at most 0.999999 and at least 1e-12, "
            f"got {min_radius} and {max_radius}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearSpec(CellSpec, name="linear"):
    """A linear recurrent unit with a diagonal matrix (``fl.LinearRecurrentCell``)."""

    input_gain: float = 1.0
    """Scale of the complex input weights, which have a variance of input_gain^2 / input_size."""
    min_radius: float = 0.0
    """Radius of the inner one of two circles between which the eigenvalues start."""
    max_radius: float = 1.0
    """Radius of the outer one of two circles between which the eigenvalues start, at most 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_single(input_gain=self.input_gain)
        _check_radii(self.min_radius, self.max_radius)

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> LinearRecurrentCell:
        """One cell with fresh weights."""
        return LinearRecurrentCell(
            input_size,
            self.hidden_size,
            input_gain=self.input_gain,
            min_radius=self.min_radius,
            max_radius=self.max_radius,
            key=key,
        )
