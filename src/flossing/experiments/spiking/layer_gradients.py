"""How much the loss of a stack depends on what the states of each layer were at earlier times."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ..._norms import log_norm
from ...cells import Stack
from ...cells._base import states_of
from .streaming import Streaming


@eqx.filter_jit
def layer_gradients(
    network: Stack,
    rasters: Float[Array, "time trial input"],
    labels: Int[Array, " trial"],
    task: Streaming,
) -> Float[Array, "layer time"]:
    """log10 of ``|dL / d(state of layer l after step t)|``, mean over trials.

    The derivative is the one that Jacobians of the joint step carry back in time: through later states of the
    layer and of all layers above, while the other layers' states after step t are held. The norm is over
    membranes and synapses of one trial, and ``L`` is that trial's cross-entropy.
    """
    steps, trials = rasters.shape[:2]
    start = states_of((trials,), network.initial_state())
    nudges = jax.tree.map(lambda x: jnp.zeros((steps, *x.shape), x.dtype), start[:-1])

    def loss(nudges: Any) -> Array:
        def step(state: Any, at: tuple) -> tuple[Any, Array]:
            spikes, nudge = at
            *below, top = jax.vmap(network)(state, spikes)
            below = jax.tree.map(jnp.add, tuple(below), nudge)
            return (*below, top), network.layers[-1].output(top)

        _, values = jax.lax.scan(step, start, (rasters, nudges))
        logits = task.logits(values)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    gradients = jax.grad(loss)(nudges)
    return jnp.stack([_log_norm(layer) for layer in gradients])


def _log_norm(tree: Any) -> Array:
    """Decimal logarithm of the norm of states with axes (time, trial, neuron), mean over trials."""
    flat = jnp.concatenate(jax.tree.leaves(tree), -1)
    return log_norm(flat, axis=-1).mean(-1) / math.log(10)


def growth(logs: Float[np.ndarray, "... layer time"], task: Streaming) -> np.ndarray:
    """Slope against the lag, by least squares, nats per step; negative where gradients vanish.

    From half of the gap before the answer back to the first step: nearer to the answer, errors still spread
    over membranes and synapses and down the layers.
    """
    stop = task.randman.num_steps + task.gap // 2
    lags = np.arange(stop, 0, -1.0)
    centred = lags - lags.mean()
    return np.log(10) * (logs[..., :stop] * centred).sum(-1) / (centred**2).sum()


def predicted_growth(
    first: Float[np.ndarray, "... layer"], task: Streaming
) -> Float[np.ndarray, "... layer"]:
    """``growth`` from the first exponents of the layers, bottom first, in nats per step.

    Errors come from above: the largest exponent of a layer and those over it decides. Where m + 1 layers
    share it, errors that come down through them grow like ``lag^m exp(lambda lag)``, as with a Jordan
    block; all layers above are counted here, as if their exponents were the same.
    """
    largest = np.maximum.accumulate(first[..., ::-1], -1)[..., ::-1]
    above = np.arange(first.shape[-1])[::-1]
    lag = task.randman.num_steps + task.gap - np.arange(task.randman.num_steps + task.gap)
    return largest + above * growth(np.log10(lag)[None], task)
