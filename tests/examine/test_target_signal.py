"""Whether a gradient sees the targets: against the same sums in NumPy, and where the answer is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.examine.target_signal import target_signal

KEY = jax.random.key(3)


def squared(weights, inputs, targets):
    """Mean squared error of a linear model."""
    return jnp.mean((inputs @ weights - targets) ** 2)


def test_it_is_the_share_of_the_differences_that_parts_have_in_common(x64):
    """Of a linear model, whose gradients are 2 x (x w - y) in the mean."""
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(24, 3)), random.normal(size=24)
    weights = random.normal(size=3)
    found = target_signal(squared, jnp.asarray(weights), inputs, targets, parts=4, key=KEY)
    differences = []
    for x, y, key in zip(
        inputs.reshape(4, 6, 3), targets.reshape(4, 6), jax.random.split(KEY, 4), strict=True
    ):
        shuffled = y[np.asarray(jax.random.permutation(key, 6))]
        gradients = [2 * x.T @ (x @ weights - given) / 6 for given in (y, shuffled)]
        differences.append(gradients[0] - gradients[1])
    together = np.square(np.sum(differences, 0)).sum() / np.square(differences).sum()
    np.testing.assert_allclose(found, (together - 1) / 3, rtol=1e-10)


@pytest.mark.parametrize(("slope", "low", "high"), [(0.0, -0.15, 0.15), (5.0, 0.9, 1.0)])
def test_it_tells_targets_of_the_inputs_from_random_ones(slope, low, high):
    """Outputs far too large make a gradient that is the same in all parts, and does not count."""
    keys = jax.random.split(KEY, 3)
    inputs = jax.random.normal(keys[0], (2048, 4))
    targets = slope * inputs.sum(1) + 0.1 * jax.random.normal(keys[1], (2048,))
    signal = target_signal(squared, jnp.full(4, 10.0), inputs, targets, key=keys[2])
    assert low < signal < high


@pytest.mark.slow
def test_a_network_that_forgets_does_not_see_targets_and_one_that_remembers_does():
    """Recall of a number after 20 steps, by tanh networks of two gains."""
    task = fl.tasks.ContinuousCopy(20, num_values=1)
    trial = task.batch(KEY, 0, 512)

    def loss(network, inputs, targets):
        return jnp.mean((jax.vmap(network)(inputs)[:, -1] - targets[:, -1]) ** 2)

    def signal(gain):
        keys = jax.random.split(KEY)
        cell = fl.TanhSpec(16, recurrent="orthogonal", gain=gain).build(2, key=keys[0])
        network = fl.Network(cell, 1, key=keys[1])
        where = lambda n: n.cell  # noqa: E731
        return target_signal(loss, network, trial.inputs, trial.targets, where=where, key=KEY)

    assert abs(signal(0.4)) < 0.2
    assert signal(1.0) > 0.5


def test_without_any_gradient_there_is_no_signal():
    ones = jnp.ones((8, 1))
    nothing = target_signal(
        lambda m, x, y: 0.0 * m.sum(), jnp.ones(2), ones, ones, parts=2, key=KEY
    )
    assert nothing == 0


def test_numbers_of_trials_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"^inputs, targets: expected as many trials in all arrays"
    ):
        target_signal(squared, jnp.ones(1), jnp.ones((8, 1)), jnp.ones(6), key=KEY)
    with pytest.raises(ValueError, match=r"^parts: expected a number that divides 8 trials"):
        target_signal(squared, jnp.ones(1), jnp.ones((8, 1)), jnp.ones(8), parts=3, key=KEY)


@pytest.mark.slow
def test_only_the_chosen_part_of_the_model_counts():
    """The bias sees the mean of targets, which shuffling leaves; the weight sees what belongs together."""
    x = jax.random.normal(KEY, (512,))
    model = {"weight": jnp.zeros(()), "bias": jnp.zeros(())}

    def loss(model, x, y):
        return jnp.mean((model["weight"] * x + model["bias"] - y) ** 2)

    signals = {
        name: target_signal(loss, model, x, 3 * x, where=lambda m, n=name: m[n], key=KEY)
        for name in model
    }
    assert signals["weight"] > 0.8
    assert abs(signals["bias"]) < 0.2
    assert eqx.is_array(signals["bias"])
