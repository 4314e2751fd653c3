"""The start of a small training, which tests of blocks share."""

import equinox as eqx
import jax.numpy as jnp
import pytest
from small_training import TRAINER, networks

from flossing.training import begin


@pytest.fixture(scope="session")
def start():
    """Two networks before their training, the second one with a large gain, and their keys."""
    nets, keys = networks(2)
    gains = jnp.array([0.3, 6.0])[:, None, None]
    where = lambda n: n.cell.recurrent_weight  # noqa: E731
    return begin(eqx.tree_at(where, nets, gains * where(nets)), TRAINER), keys
