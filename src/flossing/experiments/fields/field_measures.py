"""What a surrogate gradient is like at a network: its curl, and its noise."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from ... import theory
from ...cells import Stack, with_escape
from ...escape_noise import Noisy, SigmoidNoise
from ..lab.classifier import hidden
from ..lab.heights import first_exponent
from ..lab.small_classifier import loss_of, with_derivatives


class BatchField(eqx.Module):
    """The surrogate gradient of the loss on a batch as a function of the network; or the true gradient."""

    rasters: Float[Array, "trial time input"]
    labels: Int[Array, " trial"]
    true: bool = eqx.field(static=True, default=False)

    def __call__(self, network: Stack) -> PyTree:
        """The gradient at a network."""
        gradient = theory.true_gradient if self.true else theory.surrogate_gradient
        return gradient(loss_of, network, self.rasters, self.labels)


def noisy_exponent(
    network: Stack, inputs: Float[Array, "time input"], key: PRNGKeyArray
) -> Float[Array, ""]:
    """The first exponent of a stochastic network, along its noise; nats per step."""
    cells = hidden(network)
    noise_key, basis_key = jax.random.split(key)
    uniform = jax.random.uniform(noise_key, (len(inputs), cells.noise_size))
    return first_exponent(cells, Noisy(inputs, uniform), basis_key)


def stochastic(network: Stack, steepness: float) -> Stack:
    """The network with escape noise of that steepness, whose derivative is that of its probability."""
    # An array: networks of all steepnesses share one compiled program.
    return with_escape(network, SigmoidNoise(jnp.asarray(steepness, float)))


@eqx.filter_jit
def _gram(
    network: Stack, rasters: Array, labels: Array, key: PRNGKeyArray, samples: int
) -> Float[Array, "samples samples"]:
    trials, steps, _ = rasters.shape

    def sampled_gradient(key: PRNGKeyArray) -> Array:
        uniform = jax.random.uniform(key, (steps, trials, network.noise_size))
        given = Noisy(rasters, jnp.swapaxes(uniform, 0, 1))
        gradient = eqx.filter_grad(loss_of)(network, given, labels)
        return jnp.concatenate([x.ravel() for x in jax.tree.leaves(gradient)])

    rows = jax.lax.map(sampled_gradient, jax.random.split(key, samples))
    rows = rows / jnp.abs(rows).max()  # squares of exploding gradients are too large for float32
    return rows @ rows.T


def gradient_noise(
    network: Stack,
    rasters: Float[Array, "trial time input"],
    labels: Int[Array, " trial"],
    key: PRNGKeyArray,
    samples: int,
) -> dict[str, float]:
    """How gradients of a stochastic network differ between draws of its noise, on the same batch.

    Returns:
        ``variance`` of one gradient, summed over weights, over the squared norm of their mean (at most
        about the number of samples, where there is no common direction), and the mean ``cosine`` between
        two gradients.
    """
    return noise_of_gram(np.asarray(_gram(network, rasters, labels, key, samples), float))


def noise_of_gram(gram: Float[np.ndarray, "samples samples"]) -> dict[str, float]:
    """``gradient_noise`` from the inner products of gradients."""
    count = len(gram)
    mean = gram.mean()
    variance = (np.trace(gram) - count * mean) / (count - 1)
    norms = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(norms, norms)
    return {
        "variance": float(variance / mean),
        "cosine": float((cosines.sum() - count) / (count * (count - 1))),
    }


def smooth_curls(
    build: Any, steepnesses: tuple[float, ...], rasters: Any, labels: Any, probes: int
) -> list[float]:
    """Curl, over the symmetric part, of the true gradient of networks whose spikes are logistic functions.

    In double precision. ``build`` makes a network in which derivatives go through the reset as well.
    """
    curls = []
    with jax.enable_x64(True):
        field = BatchField(jnp.asarray(rasters, float), jnp.asarray(labels), true=True)
        network = build()
        for steepness in steepnesses:
            heights = [steepness / 4] * (len(network.layers) - 1)
            changed = with_derivatives(network, steepness, heights)
            smooth = theory.with_smooth_steps(changed, lambda old: old)
            key = jax.random.key(0)
            curls.append(theory.curl(field, smooth, num_probes=probes, key=key).ratio)
    return curls
