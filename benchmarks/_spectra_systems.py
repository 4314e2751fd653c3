"""The systems whose spectra the libraries are compared on: one map each, in JAX, NumPy and PyTorch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class System:
    """A map ``state -> state``: given as such, or as a flow that is stepped by classical Runge-Kutta.

    ``rhs`` and ``jacobian`` take an array of NumPy or PyTorch; ``step`` is the map in JAX.
    """

    name: str
    step: Function
    rhs: Function
    jacobian: Function
    start: np.ndarray
    time_step: float | None
    """Length of a step in time units; ``None`` for a map."""
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.start)

    @property
    def unit(self) -> float:
        return 1.0 if self.time_step is None else self.time_step


def runge_kutta(rhs: Function, dt: float) -> Function:
    """One classical step of order 4."""

    def step(x: Any) -> Any:
        a = rhs(x)
        b = rhs(x + 0.5 * dt * a)
        c = rhs(x + 0.5 * dt * b)
        d = rhs(x + dt * c)
        return x + dt / 6 * (a + 2 * b + 2 * c + d)

    return step


def on_attractor(step: Function, start: np.ndarray, steps: int) -> np.ndarray:
    """The state after so many steps."""
    run = jax.jit(lambda x: jax.lax.scan(lambda x, _: (step(x), None), x, None, length=steps)[0])
    return np.array(run(jnp.asarray(start)))


def lorenz_63(time_step: float = 0.01) -> System:
    """Lorenz 1963 with sigma = 10, rho = 28, beta = 8 / 3."""

    def rhs(x: Any, stack: Any = jnp.stack) -> Any:
        a, b, c = x[0], x[1], x[2]
        return stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])

    def jacobian(x: Any) -> Any:
        a, b, c = map(float, x)
        rows = [[-10.0, 10.0, 0.0], [28 - c, -1.0, -a], [b, a, -8 / 3]]
        return _like(x, rows)

    def numbers(x: Any) -> Any:
        a, b, c = map(float, x)
        return _like(x, [10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])

    step = runge_kutta(rhs, time_step)
    start = on_attractor(step, np.array([1.0, 1.0, 1.0]), 2000)
    return System("Lorenz 63", step, numbers, jacobian, start, time_step)


def lorenz_96(size: int = 40, time_step: float = 0.01, forcing: float = 8.0) -> System:
    """Lorenz 1996."""

    def rhs(x: Any, roll: Any) -> Any:
        return (roll(x, -1) - roll(x, 2)) * roll(x, 1) - x + forcing

    here = np.arange(size)
    after, before, last = (here + 1) % size, here - 1, here - 2

    def numbers(x: Any) -> Any:
        return (x[after] - x[last]) * x[before] - x + forcing

    def jacobian(x: Any) -> Any:
        full = _like(x, -np.eye(size))
        full[here, after] = x[before]
        full[here, last] = -x[before]
        full[here, before] = x[after] - x[last]
        return full

    step = runge_kutta(lambda x: rhs(x, jnp.roll), time_step)
    start = forcing + 0.01 * np.random.default_rng(1).normal(size=size)
    return System("Lorenz 96", step, numbers, jacobian, on_attractor(step, start, 2000), time_step)


def tanh_network(size: int = 256, gain: float = 2.0) -> System:
    """``x' = W tanh(x)`` without input, weights from N(0, gain^2 / size)."""
    weight = np.random.default_rng(2).normal(size=(size, size)) * gain / math.sqrt(size)

    def step(x: Any) -> Any:
        return jnp.asarray(weight) @ jnp.tanh(x)

    weights = {np: weight}

    def of(x: Any) -> tuple[Any, Any]:
        if isinstance(x, np.ndarray):
            return np, weight
        import torch

        return torch, weights.setdefault(torch, torch.tensor(weight))

    def numbers(x: Any) -> Any:
        library, w = of(x)
        return w @ library.tanh(x)

    def jacobian(x: Any) -> Any:
        library, w = of(x)
        return w * (1 - library.tanh(x) ** 2)

    start = on_attractor(step, np.random.default_rng(3).normal(size=size), 500)
    return System("tanh network", step, numbers, jacobian, start, None)


def _like(x: Any, values: Any) -> Any:
    """An array of the library of ``x``."""
    if isinstance(x, np.ndarray):
        return np.array(values)
    import torch

    return torch.tensor(np.asarray(values), dtype=x.dtype)
