"""A model that is no module: arrays, one of them unused, a count and a word."""

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture
def model(key):
    one, two = jax.random.split(key)
    return {
        "w": 0.8 * jax.random.normal(one, (3, 3)),
        "v": jax.random.normal(two, (3, 2)),
        "b": jnp.zeros(3),
        "unused": jnp.ones(4),
        "count": jnp.asarray(7),
        "name": "a word",
    }
