"""Membranes that integrate what comes through a dense layer, with or without synapses and leaks."""

import math
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_key,
    check_positive,
    check_single,
    is_concrete,
)
from ._base import Cell, PerUnit, decay, per_unit, product, signed_per_unit

Integration = Literal["exact", "euler"]


class Integrators(Cell):
    """Dense input weights, synapses and leaky membranes, which several cells share."""

    input_weight: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"] | None
    membrane_time_constant: PerUnit | None
    synapse_time_constant: PerUnit | None
    resistance: PerUnit
    synapse_gain: PerUnit | None
    leak_potential: PerUnit | None
    time_step: float = eqx.field(static=True)
    integration: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time_step: float = 1.0,
        integration: Integration = "exact",
        membrane_time_constant: PerUnit | None = 10.0,
        synapse_time_constant: PerUnit | None = None,
        resistance: PerUnit = 1.0,
        synapse_gain: PerUnit | None = None,
        leak_potential: PerUnit | None = None,
        input_gain: float = 1.0,
        bias: bool = False,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = n = check_integer("hidden_size", hidden_size, 1)
        check_positive("time_step", time_step)
        check_finite("input_gain", input_gain)
        check_single(time_step=time_step, input_gain=input_gain)
        check_choice("integration", integration, get_args(Integration))
        check_key("key", key)
        self.time_step, self.integration = float(time_step), integration
        taus = [membrane_time_constant, synapse_time_constant]
        names = ["membrane_time_constant", "synapse_time_constant"]
        self.membrane_time_constant, self.synapse_time_constant = (
            None if tau is None else per_unit(name, tau, n)
            for name, tau in zip(names, taus, strict=True)
        )
        self.resistance = signed_per_unit("resistance", resistance, n)
        self.synapse_gain = self._beside("synapse_gain", synapse_gain, names[1])
        self.leak_potential = self._beside("leak_potential", leak_potential, names[0])
        self._check_step()
        weight = jax.random.normal(key, (hidden_size, input_size))
        self.input_weight = input_gain / math.sqrt(input_size) * weight
        self.bias = jnp.zeros(n) if bias else None

    def _beside(self, name: str, value: PerUnit | None, needed: str) -> PerUnit | None:
        """A constant that works with a time constant only."""
        if value is None:
            return None
        if getattr(self, needed) is None:
            raise ValueError(f"{name}: works with {needed} only; give that, too, or leave it out.")
        return signed_per_unit(name, value, self.hidden_size)

    def _check_step(self) -> None:
        """Raises where a step of Euler would overshoot."""
        if self.integration == "exact":
            return
        for name in ("membrane_time_constant", "synapse_time_constant"):
            tau = getattr(self, name)
            if tau is None or not is_concrete(tau):
                continue
            if (shortest := float(np.min(np.asarray(tau)))) < self.time_step:
                raise ValueError(
                    f"time_step: an Euler step of {self.time_step:g} is longer than the shortest {name}, "
                    f'{shortest:g}, and would overshoot; use integration="exact" or a shorter step.'
                )

    @property
    def dtype(self) -> Any:
        """Of weights and states."""
        return self.input_weight.dtype

    def feedforward(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead hidden"]:
        """``U input + b``, for one step or for all of them at once."""
        weight = self.input_weight
        current = product(weight, inputs) if inputs.ndim == 1 else inputs @ weight.T
        if self.bias is None:
            return current
        return current + jnp.broadcast_to(self.bias, current.shape)

    def _constant(self, value: PerUnit, like: Array) -> Array:
        value = jax.lax.stop_gradient(jnp.asarray(value, self.dtype))
        return jnp.broadcast_to(value, like.shape)

    def _relax(self, value: Array, time_constant: PerUnit, to: Array) -> Array:
        """A step from ``value`` towards ``to``."""
        if self.integration == "exact":
            keep, rest = decay(self.time_step, time_constant, self.dtype)
        else:
            rest = self.time_step / jax.lax.stop_gradient(jnp.asarray(time_constant))
            keep, rest = (1 - rest).astype(self.dtype), rest.astype(self.dtype)
        return jnp.broadcast_to(keep, value.shape) * value + jnp.broadcast_to(rest, to.shape) * to

    def _integrate(
        self, membrane: Array, synapse: Array | None, current: Array
    ) -> tuple[Array, Array | None]:
        """Membranes and synapses after a step under a current."""
        if self.synapse_time_constant is None:
            synapse, drive = None, current
        else:
            assert synapse is not None
            if self.synapse_gain is not None:
                current = self._constant(self.synapse_gain, current) * current
            synapse = drive = self._relax(synapse, self.synapse_time_constant, current)
        drive = self._constant(self.resistance, drive) * drive
        if self.membrane_time_constant is None:
            return membrane + self.time_step * drive, synapse
        if self.leak_potential is not None:
            drive = drive + self._constant(self.leak_potential, drive)
        return self._relax(membrane, self.membrane_time_constant, drive), synapse

    def _rest(self) -> tuple[Array, Array | None]:
        """Membranes and synapses without any input since ever."""
        zeros = jnp.zeros(self.hidden_size, self.dtype)
        leak = self.leak_potential
        membrane = zeros if leak is None else self._constant(leak, zeros)
        return membrane, None if self.synapse_time_constant is None else zeros

    def _variables(self, state: Any) -> dict[str, Any]:
        fields = {"state.membrane": state.membrane}
        if self.synapse_time_constant is not None:
            fields["state.synapse"] = state.synapse
        return fields
