"""Autonomous random networks ``x' = J tanh(x)``: their spectra, and flossing them while they are chaotic."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array

from ..._norms import clipped, log_norm, tree_norm
from ...lyapunov import lyapunov_spectrum
from ...optimisers import all_finite, apply_if
from ...training.devices import over_realisations


def step(weight: Array, state: Array, input: Any) -> Array:
    """One step; ``input`` is not used."""
    return weight @ jnp.tanh(state)


def draw(gain: float, size: int, count: int, seed: int) -> tuple[Array, Array]:
    """Weights (count, N, N) from N(0, g^2/N), and random start states (count, N)."""
    key, state_key = jax.random.split(jax.random.key(seed))
    weights = gain * jax.random.normal(key, (count, size, size)) / np.sqrt(size)
    return weights, jax.random.normal(state_key, (count, size))


@eqx.filter_jit
def spectra(weights: Array, states: Array, k: int, num_steps: int, warmup: int = 300) -> Array:
    """The first k exponents of each network, shape (networks, k), nats per step."""

    def of_network(weight: Array, state: Array) -> Array:
        return lyapunov_spectrum(
            Partial(step, weight),
            state,
            num_exponents=k,
            num_steps=2 * warmup + num_steps,
            state_warmup=warmup,
            warmup=warmup,
            renormalise_every=5,
            key=jax.random.key(0),
        ).exponents

    return over_realisations(of_network, weights, states)


@dataclasses.dataclass(frozen=True)
class Flossing:
    """How a chaotic network is flossed: its first exponent only."""

    window: int
    """Steps through which gradients go; trajectories and tangents are carried on between them."""
    starts: int
    """Trajectories over which the exponent is averaged."""
    steps: int = 200
    learning_rate: float = 3e-3
    """Of Adam at the start; it falls to zero along half a cosine."""


class Track(eqx.Module):
    """What came of it, per network."""

    weights: Array
    exponents: Array
    """In the windows, shape (networks, steps)."""
    gradient_norms: Array
    """Before clipping, shape (networks, steps)."""
    skipped: Array
    """Updates left out because the gradient was not finite, shape (networks, steps)."""


def _relaxed(weight: Array, key: Array, starts: int, warmup: int) -> tuple[Array, Array]:
    """States on the attractor and converged first tangents, shapes (starts, N) and (starts, N, 1)."""
    states = jax.random.normal(key, (starts, len(weight)))

    def relaxed(state: Array) -> tuple[Array, Array]:
        spectrum = lyapunov_spectrum(
            Partial(step, weight),
            state,
            num_exponents=1,
            num_steps=warmup + 1,
            num_windows=1,
            key=key,
        )
        return spectrum.final_state, spectrum.final_basis

    return jax.lax.map(relaxed, states)


def _mean_exponent(weight: Array, states: Array, bases: Array, window: int) -> tuple[Array, Any]:
    """The first exponent over a window, averaged; and where states and tangents end."""

    def along_window(start: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        spectrum = lyapunov_spectrum(
            Partial(step, weight), start[0], num_steps=window, basis=start[1], num_windows=1
        )
        return spectrum.exponents[0], spectrum.final_state, spectrum.final_basis

    exponents, *ends = jax.lax.map(along_window, (states, bases))
    return exponents.mean(), ends


@eqx.filter_jit
def floss(
    weights: Array, keys: Array, settings: Flossing, targets: Array, clip: Array, warmup: int = 300
) -> Track:
    """Minimises ``(lambda_1 - target)^2`` with Adam, step by step.

    States and tangents are relaxed outside of the gradient and then carried from window to window, so
    that a window may be as short as one step without being spent on its own transient.

    Args:
        weights: shape (networks, N, N).
        keys: random key of each network.
        settings: window and so on.
        targets: of every step as a fraction of the first exponent at the start, shape (steps,): 0
            throughout aims at zero at once.
        clip: largest gradient norm; infinity for none.
    """
    optimiser = optax.adam(optax.cosine_decay_schedule(settings.learning_rate, settings.steps))

    def floss_network(weight: Array, key: Array) -> Track:
        states, bases = _relaxed(weight, key, settings.starts, warmup)
        first, _ = _mean_exponent(weight, states, bases, warmup)

        def update(carry: tuple, target: Array) -> tuple[tuple, tuple]:
            weight, adam, states, bases = carry

            def loss(weight: Array) -> tuple[Array, Any]:
                exponent, ends = _mean_exponent(weight, states, bases, settings.window)
                return jnp.square(exponent - target * first), (exponent, ends)

            (value, (exponent, ends)), gradient = jax.value_and_grad(loss, has_aux=True)(weight)
            good = all_finite((value, gradient))
            norm = tree_norm(gradient)
            change, new_adam = optimiser.update(clipped(gradient, clip), adam)
            weight = apply_if(good, weight + change, weight)
            adam = apply_if(good, new_adam, adam)
            return (weight, adam, *ends), (exponent, norm, ~good)

        start = weight, optimiser.init(weight), states, bases
        (weight, *_), rows = jax.lax.scan(update, start, targets)
        return Track(weight, *rows)

    return over_realisations(floss_network, weights, keys)


@eqx.filter_jit
def log_gradient_norms(weights: Array, keys: Array, windows: tuple[int, ...], starts: int) -> Array:
    """Log norm of ``d lambda_1(T) / dJ`` for windows of T steps, shape (networks, starts, windows)."""

    def of_network(weight: Array, key: Array) -> Array:
        states, bases = _relaxed(weight, key, starts, 300)

        def norms(start: tuple[Array, Array]) -> Array:
            state, basis = start

            def exponent(weight: Array, window: int) -> Array:
                return _mean_exponent(weight, state[None], basis[None], window)[0]

            return jnp.stack([log_norm(jax.grad(exponent)(weight, w)) for w in windows])

        return jax.lax.map(norms, (states, bases))

    return over_realisations(of_network, weights, keys)
