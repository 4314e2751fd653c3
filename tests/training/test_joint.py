"""The joint schedule: one gradient of the task's loss and the flossing loss together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.tasks import Copy
from flossing.training import Trainer, train_epoch
from flossing.training.streams import Stream, fold
from flossing.training.trainer import begin

TASK = Copy(4, num_steps=12)
JOINT = fl.Joint(num_exponents=3, window=12, warmup=4, state_warmup=3, weight=0.7)
KEY = jax.random.key(3)


@pytest.mark.slow
def test_its_gradient_is_the_sum_of_both(x64, key):
    """Steps of gradient descent with a rate of 1 are gradients; the flossing loss is written out."""
    network = fl.Network(fl.TanhCell(1, 5, key=key), 1, key=key)
    steps, found = {}, {}
    for name, schedule in {"alone": None, "both": JOINT}.items():
        rules = Trainer(TASK, optax.sgd(1.0), schedule, epochs=3, batch_size=2)
        after, found[name] = eqx.filter_jit(train_epoch)(
            begin(network, rules), KEY, jnp.asarray(5), rules
        )
        ends = (eqx.filter(net, eqx.is_inexact_array) for net in (network, after.network))
        steps[name] = jax.tree.map(lambda a, b: a - b, *ends)
    input_key, basis_key = jax.random.split(fold(KEY, Stream.ADAPT, 5))
    inputs = TASK.sample_inputs(jax.random.split(input_key, 1)[0], 15)

    def loss(cell):
        return fl.flossing_loss(
            cell,
            network.initial_state[None],
            inputs[None],
            num_exponents=3,
            num_starts=1,
            state_warmup=3,
            warmup=4,
            key=basis_key,
            has_aux=True,
        )

    (_, info), share = jax.jit(jax.value_and_grad(loss, has_aux=True))(network.cell)
    for name in ("recurrent_weight", "input_weight", "bias"):
        more = getattr(share, name)
        assert np.abs(more).max() > 1e-4
        expected = getattr(steps["alone"].cell, name) + 0.7 * more
        np.testing.assert_allclose(
            getattr(steps["both"].cell, name), expected, rtol=1e-8, atol=1e-13
        )
    for name in ("readout_weight", "readout_bias", "initial_state"):
        np.testing.assert_allclose(
            getattr(steps["both"], name), getattr(steps["alone"], name), rtol=1e-9, atol=1e-14
        )
    one, both = found["alone"], found["both"]
    np.testing.assert_allclose(both.loss, one.loss, rtol=1e-12)
    np.testing.assert_allclose(both.gradient_norm, one.gradient_norm, rtol=1e-9)
    np.testing.assert_allclose(both.watched, info.exponents[0], rtol=1e-9)
    assert (int(both.floss_steps), int(one.floss_steps)) == (1, 0)
