"""The experiment on surrogate fields, small, and what it is made of."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from flossing.experiments import surrogate_fields
from flossing.experiments.lab.classifier import Schedule, hidden
from flossing.experiments.lab.field_measures import first_exponent, floss_heights, noise_of_gram
from flossing.experiments.lab.statistics import over_seeds, rank_correlation
from flossing.experiments.lab.small_classifier import (
    Samples,
    Shape,
    batches,
    heights,
    stream,
    train,
    with_derivatives,
)
from flossing.tasks import Randman

TASK = Randman(
    classes=2, inputs=6, samples=40, frequencies=3, alpha=2.0, num_steps=30, spike_steps=20
)


@pytest.fixture(scope="module")
def data():
    return TASK.split(jax.random.key(0), validation=0.05, test=0.4)


@pytest.fixture(scope="module")
def network():
    return with_derivatives(Shape(neurons=8).build(TASK, jax.random.key(1)), 5.0, [1.25, 1.0])


def test_the_experiment():
    settings = dataclasses.replace(
        surrogate_fields.QUICK,
        task=TASK,
        shape=Shape(neurons=8, layers=1),
        schedule=Schedule(epochs=2, batch_size=10, learning_rate=0.02),
        steepnesses=(1.0, 20.0),
        targets=(0.0,),
        plan=dataclasses.replace(
            surrogate_fields.QUICK.plan, num_exponents=2, phases=((2, 1e-2),), window=30
        ),
        samples_in_stream=8,
        probes=2,
        noise_samples=4,
    )
    result = surrogate_fields.run(settings=settings)
    json.dumps(result.numbers, allow_nan=False)
    assert result.name == "surrogate-fields"
    assert len(result.figure.axes) == 7
    assert result.claims[0].holds
    for values in result.numbers["fields"].values():
        assert np.shape(values)[:3] == (2, 2, 4)
    curl = np.array(result.numbers["fields"]["curl_start"])
    assert (curl[..., 0] > 0.1).all()
    cosine = np.array(result.numbers["noise"]["cosine_start"])
    assert (np.abs(cosine) <= 1).all()
    assert (cosine > 0).all()
    found = np.array(result.numbers["fields"]["heights"])
    np.testing.assert_array_equal(found[0, 1, 0], [5.0])
    np.testing.assert_array_equal(found[0, 1, 3], [5.0])


def test_heights_bring_the_exponent_of_every_layer_to_the_target(data, network):
    spikes = stream(data.train.times, TASK.num_steps, jax.random.key(2), 360)
    key = jax.random.key(3)
    flossed = with_derivatives(
        network, 5.0, floss_heights(network, spikes, jnp.asarray(-0.03), key)
    )
    first, second = hidden(flossed).layers
    below = first.over_time(spikes)
    np.testing.assert_array_equal(below, network.layers[0].over_time(spikes))
    found = [float(first_exponent(first, spikes, key)), float(first_exponent(second, below, key))]
    np.testing.assert_allclose(found, -0.03, atol=1e-3)
    # Exponents of a stack are those of its layers.
    assert float(first_exponent(hidden(flossed), spikes, key)) == pytest.approx(-0.03, abs=0.01)


def samples(data, schedule):
    keys = jax.random.split(jax.random.key(4), schedule.epochs)
    order = batches(keys, len(data.train.labels), schedule.batch_size)
    return Samples(schedule, data, order, TASK.num_steps)


def test_training_changes_weights_only(data, network):
    schedule = Schedule(epochs=20, batch_size=8, learning_rate=0.05)
    other = with_derivatives(network, 5.0, [1.0, 2.0])
    trained, second = train([network, other], samples(data, schedule), schedule)
    loss = trained.train["loss"]
    assert loss.shape == trained.test["accuracy"].shape == (20,)
    assert loss[-1] < 0.95 * loss[0]
    assert trained.skipped.sum() == 0
    assert (heights(trained.network) == heights(network)).all()
    assert (heights(second.network) == heights(other)).all()
    first, second_layer = trained.network.layers[:2]
    assert float(first.surrogate.sharpness) == 5  # pyright: ignore[reportAttributeAccessIssue]
    changed, before = (vars(x)["recurrent_weight"] for x in (second_layer, network.layers[1]))
    assert not np.array_equal(changed, before)
    values = trained.network.over_time(jax.nn.one_hot(data.test.times, TASK.num_steps, axis=0))
    right = (values.max(0).argmax(-1) == data.test.labels).mean()
    assert trained.test["accuracy"][-1] == pytest.approx(float(right))


def test_networks_are_trained_alike_alone_or_beside_others(data, network):
    schedule = Schedule(epochs=2, batch_size=8, learning_rate=0.05)
    other, task = with_derivatives(network, 5.0, [1.0, 2.0]), samples(data, schedule)
    (alone,), (_, beside) = (train(n, task, schedule) for n in ([network], [other, network]))
    np.testing.assert_allclose(alone.train["loss"], beside.train["loss"], rtol=1e-5)


def test_networks_may_be_changed_before_every_epoch(data, network):
    schedule = Schedule(epochs=3, batch_size=8, learning_rate=0.05)

    def change(networks, epoch):
        return [networks[0], with_derivatives(networks[1], 5.0, [1.25, 1.0 + epoch])]

    first, second = train([network, network], samples(data, schedule), schedule, change)
    assert (heights(first.network) == heights(network)).all()
    assert heights(second.network).tolist() == [1.25, 3]
    assert second.train["loss"][0] == first.train["loss"][0]
    assert second.train["loss"][1] != first.train["loss"][1]


def test_every_epoch_has_an_order_of_its_own_without_repetition():
    order = np.asarray(batches(jax.random.split(jax.random.key(0), 3), 10, 4))
    assert order.shape == (6, 4)
    for epoch in order.reshape(3, 8):
        assert len(set(epoch)) == 8
        assert set(epoch) <= set(range(10))
    assert not np.array_equal(order[:2], order[2:4])


def test_a_stream_is_made_of_samples(data):
    spikes = stream(data.train.times, TASK.num_steps, jax.random.key(2), 75)
    assert spikes.shape == (75, TASK.inputs)
    np.testing.assert_array_equal(spikes[:60].reshape(2, 30, -1).sum(1), 1)
    task = samples(data, Schedule(epochs=1, batch_size=4))
    np.testing.assert_array_equal(task.sample_inputs(jax.random.key(2), 75), spikes)


def test_noise_of_gradients_from_inner_products():
    rows = np.random.default_rng(0).normal(size=(7, 20)) + 0.5
    found = noise_of_gram(rows @ rows.T)
    mean = rows.mean(0)
    assert found["variance"] == pytest.approx(rows.var(0, ddof=1).sum() / (mean @ mean))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = (units @ units.T)[np.triu_indices(7, 1)]
    assert found["cosine"] == pytest.approx(pairs.mean())


def test_rank_correlations():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 4, 3, 2))
    y[0, 0] = y[1, 1]  # ties
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x.ravel(), y.ravel())[0])
    assert rank_correlation(x, np.ones_like(x)) == 0
    # Groups that rise together, with a fall within each.
    group = 100 * np.arange(3)[:, None] * np.ones((4, 3, 2))
    assert rank_correlation(x + group, group - x) > 0.5
    assert rank_correlation(x + group, group - x, groups=1) == pytest.approx(-1)
    assert rank_correlation(x + group, group - x, groups=2) == pytest.approx(-1)


def test_intervals_are_those_of_whole_seeds():
    same = np.broadcast_to(np.arange(6.0), (5, 6))
    assert over_seeds(rank_correlation, (same, -same)) == (-1, -1, -1)
    random = np.random.default_rng(2)
    values = random.normal(size=(40, 3)) + 1
    found = over_seeds(lambda x: float(x.mean()), (values,))
    error = values.mean(1).std(ddof=1) / 40**0.5
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
