"""One small training that all tests of blocks share, so that its programs are compiled once."""

import equinox as eqx
import jax
import jax.numpy as jnp

import flossing as fl
from flossing.optimisers import Adam
from flossing.tasks import Copy
from flossing.training import Trainer, begin

TASK = Copy(3, num_steps=8)
SCHEDULE = fl.Adaptive(
    num_exponents=3, window=24, warmup=3, state_warmup=2, num_starts=1, every=2, band=0.2
)
TRAINER = Trainer(TASK, Adam(learning_rate=1e-2), SCHEDULE, epochs=8, batch_size=2)


def networks(count, cell=fl.TanhCell, units=6):
    """Networks along a leading axis, and their keys."""

    def build(key):
        cell_key, network_key = jax.random.split(key)
        return fl.Network(cell(1, units, key=cell_key), 1, key=network_key)

    keys = jax.random.split(jax.random.key(5), count)
    return eqx.filter_vmap(build)(keys), keys


def vanishing_and_exploding():
    """Two networks before their training, the second one with a large gain, and their keys."""
    nets, keys = networks(2, units=8)
    gains = jnp.array([0.3, 6.0])[:, None, None]
    where = lambda n: n.cell.recurrent_weight  # noqa: E731
    return begin(eqx.tree_at(where, nets, gains * where(nets)), TRAINER), keys
