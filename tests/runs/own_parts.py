"""A user's own cell, task and metric, trained in a directory: start it again and it goes on."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp

import flossing as fl


class Leaky(eqx.Module):
    """A network of one's own: a leaky step, a readout, a start state."""

    weights: jax.Array
    readout: eqx.nn.Linear

    def __init__(self, size, *, key):
        self.weights = jax.random.normal(key, (size, size)) / size**0.5
        self.readout = eqx.nn.Linear(size, 1, key=key)

    def cell(self, state, input):
        return 0.5 * state + 0.5 * jnp.tanh(self.weights @ state + input)

    def __call__(self, inputs):
        states = jax.lax.scan(
            lambda s, u: (self.cell(s, u),) * 2, jnp.zeros(len(self.weights)), inputs
        )
        return jax.vmap(self.readout)(states[1])


class Mean(fl.tasks.Task):
    """The running mean of a stream of noise."""

    input_size = output_size = 1
    horizon = 10

    def sample(self, key, *, num_steps=None):
        inputs = jax.random.normal(key, (num_steps or 20, 1))
        return fl.tasks.Trial(
            inputs, jnp.cumsum(inputs, 0) / jnp.arange(1, len(inputs) + 1)[:, None]
        )

    def loss(self, outputs, trial):
        return jnp.mean((outputs - trial.targets) ** 2)

    def metrics(self, outputs, trial):
        worst = jnp.abs(outputs - trial.targets).max()
        return {"worst": fl.tasks.Metric(worst, higher_is_better=False, unit="1")}


def train(directory, epochs=600, **changed):
    """The run, from its start or from where it was stopped."""
    settings = {
        "schedule": fl.Before(steps_before=60, num_exponents=4, window=12, warmup=4)
    } | changed
    start = lambda network: jnp.zeros(len(network.weights))  # noqa: E731
    return fl.train(
        lambda key: Leaky(8, key=key), Mean(), epochs=epochs, realisations=2, batch_size=4,
        measure_every=None, directory=directory, state=start, **settings,
    )  # fmt: skip


if __name__ == "__main__":
    print(train(sys.argv[1]))
