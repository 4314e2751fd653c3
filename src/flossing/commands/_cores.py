"""CPU cores as devices."""

import contextlib

import jax

from .._system import cores


def use_cores(count: int | None = None, most: int | None = None) -> None:
    """Makes ``count`` devices of the CPU, or one of each core (at most ``most``), unless JAX is in use."""
    count = count or cores()
    with contextlib.suppress(RuntimeError):  # devices are what they are by then
        jax.config.update("jax_num_cpu_devices", min(count, most or count))
