"""Inputs of stochastic cells: values with uniform numbers beside them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import check_key, real_array


class Noisy(NamedTuple):
    """Input of a stochastic cell; time leads in both when there are many steps."""

    input: Array
    uniform: Array
    """Numbers from [0, 1), as many as the cell's ``noise_size``."""


def with_noise(cell: Any, inputs: Float[Array, "time *trial input"], *, key: PRNGKeyArray) -> Any:
    """``Noisy`` inputs with fresh uniform numbers, or the inputs as they are for a deterministic cell.

    Args:
        cell: any cell; ``cell.noise_size`` numbers are drawn for each step of each trial.
        inputs: shape ``(time, *trial, input_size)``.
        key: random key. Under ``jax.vmap`` a key per trial makes trials that differ.
    """
    check_key("key", key)
    if not cell.noise_size:
        return inputs
    inputs = real_array("inputs", inputs)
    shape = (*inputs.shape[:-1], cell.noise_size)
    return Noisy(inputs, jax.random.uniform(key, shape, jnp.result_type(float)))


def parts(
    input: Any, noise_size: int, name: str = "input", dtype: Any = None
) -> tuple[Array, Array | None]:
    """Input and uniform numbers, checked against what the cell needs; integers become ``dtype``."""
    if not noise_size:
        if isinstance(input, Noisy):
            raise TypeError("input: got uniform numbers (Noisy), but no layer is stochastic.")
        return real_array(name, input, dtype), None
    if not isinstance(input, Noisy):
        raise TypeError(
            f"input: a stochastic layer needs {noise_size} uniform numbers with each input; "
            "make them with escape_noise.with_noise(cell, inputs, key=key)."
        )
    values, uniform = real_array(name, input.input, dtype), input.uniform
    if not hasattr(uniform, "dtype") or not jnp.issubdtype(uniform.dtype, jnp.floating):
        raise TypeError(
            "input.uniform: expected an array of floating-point numbers from [0, 1), "
            f"got {getattr(uniform, 'dtype', type(uniform).__name__)}."
        )
    if uniform.shape[-1:] != (noise_size,) and uniform.ndim:
        raise ValueError(
            f"input.uniform: expected {noise_size} numbers per step, got {uniform.shape[-1]}."
        )
    if uniform.shape != (*values.shape[:-1], noise_size):
        raise ValueError(
            f"input.uniform: expected shape {(*values.shape[:-1], noise_size)} for inputs of shape "
            f"{values.shape}, got {uniform.shape}."
        )
    return values, jnp.asarray(uniform)
