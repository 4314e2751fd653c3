"""The experiment on surrogate fields, small, and what it is made of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from flossing.experiments.fields.field_claims import correlation, gain
from flossing.experiments.fields.field_measures import noise_of_gram
from flossing.experiments.fields.surrogate_fields import SurrogateFields
from flossing.experiments.lab.classifier import Schedule, hidden
from flossing.experiments.lab.heights import first_exponent, floss_heights
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


@pytest.mark.slow
def test_networks_of_a_seed_differ_in_their_derivatives_or_flossed_weights():
    experiment = dataclasses.replace(
        SurrogateFields.quick(),
        task=TASK,
        shape=Shape(neurons=8, layers=1),
        schedule=Schedule(epochs=2, batch_size=10, learning_rate=0.02),
        steepnesses=(1.0, 20.0),
        targets=(0.0,),
        plan=dataclasses.replace(
            SurrogateFields.quick().plan, num_exponents=2, phases=((2, 1e-2),), window=30
        ),
        samples_in_stream=8,
        probes=2,
        noise_samples=4,
    )
    part = experiment.of_seed(1, print)
    assert part["accuracy"].sizes == {"steepness": 2, "condition": 4}
    assert (part["curl_start"].sel(condition="area one") > 0.1).all()
    assert (part["cosine_start"] > 0).all()
    assert (part["cosine_start"] <= 1).all()
    # Area one of a logistic derivative is a height of a quarter of its steepness.
    found = part["heights"].isel(layer=0)
    for condition in ("area one", "weights flossed"):
        np.testing.assert_array_equal(found.sel(condition=condition), [0.25, 5])
    np.testing.assert_array_equal(found.sel(condition="height one"), 1)
    np.testing.assert_allclose(part["exponent_start"].sel(condition="flossed to 0"), 0, atol=0.05)
    assert experiment.smooth(print)["curl"].max() < 1e-10


def test_gains_and_correlations_by_hand():
    """Accuracies that fall with the curl in every seed; the second condition gains 0.1 over the first."""
    random = np.random.default_rng(0)
    curl = random.permutation(np.linspace(0.1, 0.9, 24)).reshape(4, 3, 2)
    fields = xr.Dataset(
        {
            name: (("seed", "steepness", "condition"), values)
            for name, values in {
                "curl_start": curl, "accuracy": 1 - curl**2, "exponent_start": 0 * curl,
            }.items()
        }
        | {
            name: (("seed", "steepness"), random.normal(size=(4, 3)))
            for name in ("noisy_exponent_start", "variance_start")
        },
        coords={"condition": ["area one", "flossed to 0"]},
    )  # fmt: skip
    assert correlation("curl, accuracy", fields) == pytest.approx((-1, -1, -1))
    assert correlation("curl, accuracy within a steepness", fields).value < -0.9
    accuracy = fields["accuracy"].values
    accuracy[..., 1] = accuracy[..., 0] + 0.1
    assert gain("flossed to 0", "area one", fields) == pytest.approx((0.1, 0.1, 0.1))
    unknown = fields.assign(accuracy=np.nan * fields["accuracy"])
    assert np.isnan(correlation("curl, accuracy", unknown).high)


@pytest.mark.slow
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


SCHEDULE = Schedule(epochs=20, batch_size=8, learning_rate=0.05)


@pytest.fixture(scope="module")
def samples(data):
    keys = jax.random.split(jax.random.key(4), SCHEDULE.epochs)
    order = batches(keys, len(data.train.labels), SCHEDULE.batch_size)
    return Samples(SCHEDULE, data, order, TASK.num_steps)


@pytest.fixture(scope="module")
def other(network):
    return with_derivatives(network, 5.0, [1.0, 2.0])


@pytest.fixture(scope="module")
def pair(network, other, samples):
    """Both, after training side by side."""
    return train([network, other], samples, SCHEDULE)


@pytest.mark.slow
def test_training_changes_weights_only(data, network, other, pair):
    trained, second = pair
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


@pytest.mark.slow
def test_networks_are_trained_alike_alone_or_beside_others(other, samples, pair):
    """To rounding, as long as that has not grown."""
    (alone,) = train([other], samples, SCHEDULE)
    np.testing.assert_allclose(alone.train["loss"][:2], pair[1].train["loss"][:2], rtol=1e-5)


@pytest.mark.slow
def test_networks_may_be_changed_before_every_epoch(network, samples):
    def change(networks, epoch):
        return [networks[0], with_derivatives(networks[1], 5.0, [1.25, 1.0 + epoch])]

    first, second = train([network, network], samples, SCHEDULE, change)
    assert (heights(first.network) == heights(network)).all()
    assert heights(second.network).tolist() == [1.25, 20]
    assert second.train["loss"][0] == first.train["loss"][0]
    assert second.train["loss"][1] != first.train["loss"][1]


def test_every_epoch_has_an_order_of_its_own_without_repetition():
    order = np.asarray(batches(jax.random.split(jax.random.key(0), 3), 10, 4))
    assert order.shape == (6, 4)
    for epoch in order.reshape(3, 8):
        assert len(set(epoch)) == 8
        assert set(epoch) <= set(range(10))
    assert not np.array_equal(order[:2], order[2:4])


def test_a_stream_is_made_of_samples(data, samples):
    spikes = stream(data.train.times, TASK.num_steps, jax.random.key(2), 75)
    assert spikes.shape == (75, TASK.inputs)
    np.testing.assert_array_equal(spikes[:60].reshape(2, 30, -1).sum(1), 1)
    np.testing.assert_array_equal(samples.sample_inputs(jax.random.key(2), 75), spikes)


def test_noise_of_gradients_from_inner_products():
    rows = np.random.default_rng(0).normal(size=(7, 20)) + 0.5
    found = noise_of_gram(rows @ rows.T)
    mean = rows.mean(0)
    assert found["variance"] == pytest.approx(rows.var(0, ddof=1).sum() / (mean @ mean))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = (units @ units.T)[np.triu_indices(7, 1)]
    assert found["cosine"] == pytest.approx(pairs.mean())
