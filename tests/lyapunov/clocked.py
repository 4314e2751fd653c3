"""A network that is told the time, which tests of tangents and of advice share."""

import jax.numpy as jnp
import numpy as np

N = 5
WEIGHT = 1.3 * np.random.default_rng(3).normal(size=(N, N)) / np.sqrt(N)


def network(state, input):
    return jnp.tanh(jnp.asarray(WEIGHT, state.dtype) @ state + 0.3)


def with_clock(state, input):
    """A network that is told the time, and traces that nobody reads."""
    hidden = network(state["hidden"], input) + 0.1 * jnp.sin(state["clock"])
    return {
        "hidden": hidden,
        "clock": state["clock"] + 1,
        "trace": 0.99 * state["trace"] + 0.01 * state["hidden"],
    }


START = {"hidden": jnp.full(N, 0.2), "clock": jnp.float32(0), "trace": jnp.zeros(N)}
ONLY_HIDDEN = {"hidden": True, "clock": False, "trace": False}
