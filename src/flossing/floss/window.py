"""The stretch of a trajectory along which flossers take exponents, and what drives it."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer
from ..lyapunov import lyapunov_spectrum
from ..lyapunov._steps import Step


def _itself(model: Any) -> Any:
    return model


def check_window(settings: Any) -> None:
    """Raises unless numbers of steps and starts fit each other."""
    for name, least in [("window", 1), ("warmup", 0), ("state_warmup", 0), ("num_starts", 1)]:
        if getattr(settings, name) is not None:
            check_integer(name, getattr(settings, name), least)
    if settings.warmup >= settings.window:
        raise ValueError(
            f"warmup: {settings.warmup} steps leave none of the window of {settings.window} to count."
        )


class Window(eqx.Module):
    """The stretch of a trajectory along which exponents are taken; what flossers have in common."""

    targets: float | tuple[float, ...] | Float[Array, "..."] = eqx.field(kw_only=True, default=0.0)
    window: int = eqx.field(kw_only=True, default=100)
    warmup: int = eqx.field(kw_only=True, default=25)
    state_warmup: int = eqx.field(kw_only=True, default=50)
    num_starts: int | None = eqx.field(kw_only=True, default=None)
    tangents: PyTree = eqx.field(kw_only=True, default=None)
    step: Callable[[Any], Step] = eqx.field(kw_only=True, default=_itself)

    disturbs: ClassVar[bool] = True
    """Whether a step changes what the model computes, and so what it has learned."""

    def __check_init__(self) -> None:
        check_window(self)

    @property
    def num_steps(self) -> int:
        """Steps of input that one look or flossing step needs: ``state_warmup + window``."""
        return self.state_warmup + self.window

    def given(self, state: Any, inputs: Any, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """Start states and inputs: arrays as they are, and what functions make of a key for each start."""
        keys = jax.random.split(key, self.num_starts or 1)

        def made(source: Any, keys: Array) -> PyTree:
            if not callable(source):
                return source
            return source(keys[0]) if self.num_starts is None else jax.vmap(source)(keys)

        states = made(state, jax.vmap(lambda k: jax.random.fold_in(k, 1))(keys))
        return states, self._cut(made(inputs, keys), 0 if self.num_starts is None else 1)

    def _cut(self, inputs: PyTree, axis: int) -> PyTree:
        """The first steps of inputs, as many as are needed; ``axis`` is that of time."""
        for leaf in jax.tree.leaves(inputs):
            length = jnp.shape(leaf)[axis] if jnp.ndim(leaf) > axis else 0
            if length < self.num_steps:
                raise ValueError(
                    f"inputs: {length} steps, but state_warmup and window need {self.state_warmup} + "
                    f"{self.window} = {self.num_steps}; choose smaller ones, or give longer inputs."
                )
        return jax.tree.map(
            lambda x: jax.lax.slice_in_dim(jnp.asarray(x), 0, self.num_steps, axis=axis), inputs
        )

    def measure(
        self, model: Any, state: Any, inputs: Any = None, *, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        """The first exponent in the window, averaged over the starts, in nats per step.

        Arguments are those of ``Flosser.update``.
        """

        def along(key: Array, state_given: PyTree, inputs_given: PyTree) -> Array:
            input_key, basis_key = jax.random.split(key)
            start = state(jax.random.fold_in(input_key, 1)) if callable(state) else state_given
            driven = inputs(input_key) if callable(inputs) else inputs_given
            return lyapunov_spectrum(
                self.step(model),
                start,
                self._cut(driven, 0),
                num_exponents=1,
                num_steps=None if inputs is not None else self.num_steps,
                state_warmup=self.state_warmup,
                warmup=self.warmup,
                num_windows=1,
                tangents=self.tangents,
                key=basis_key,
            ).exponents[0]

        def for_each_start(source: Any) -> PyTree:
            if callable(source) or self.num_starts is not None:
                return None if callable(source) else source
            return jax.tree.map(lambda x: jnp.asarray(x)[None], source)

        keys = jax.random.split(key, self.num_starts or 1)
        return jax.vmap(along)(keys, for_each_start(state), for_each_start(inputs)).mean(0)
