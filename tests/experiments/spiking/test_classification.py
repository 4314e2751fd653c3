"""Classification, small: Randman, and spoken digits from files in their real format."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from flossing.experiments.lab.classifier import (
    Architecture,
    Batch,
    RandmanData,
    Schedule,
)
from flossing.experiments.lab.perform import perform
from flossing.experiments.spiking.classification import (
    Classification,
    ClassificationSHD,
    Trained,
    nearest_neighbour,
)
from flossing.tasks import Randman, Trial

sys.path.insert(0, str(Path(__file__).parents[2] / "tasks"))
from spoken_files import write

SMALL = dataclasses.replace(
    Classification.quick(),
    task=Randman(
        classes=2, inputs=8, samples=80, frequencies=3, alpha=2.0, num_steps=40, spike_steps=20
    ),
    architecture=Architecture(filters=(6, 8), kernels=(5, 3), strides=(1, 1), input_rate=12.5),
    schedule=Schedule(epochs=20, batch_size=16, learning_rate=0.05),
    repeats=6,
    window=5,
)
SPOKEN = ClassificationSHD(
    num_steps=30,
    architecture=Architecture(
        filters=(3, 4),
        kernels=(21, 7),
        strides=(20, 5),
        recurrent_kernel=3,
        time_step=24.0,
        input_rate=1.0,
    ),
    schedule=Schedule(epochs=2, batch_size=12, learning_rate=0.05),
    seeds=(1,),
    repeats=4,
    window=5,
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["deterministic", "stochastic"])
def test_randman_is_learned(method):
    """Two classes of smooth manifolds; chance is 50 %."""
    said = []
    found = SMALL.trained(Trained(method, 1), said.append)
    assert any(line.startswith("epoch 20: loss ") for line in said)
    assert found["train"][-1] > 0.8
    assert found["test"] > 0.6
    assert found["raster_0"].shape == (40, 8)
    np.testing.assert_array_equal(found["raster_0"].sum("step"), 1)
    medians = found["fano_median"].values
    assert (medians[medians == medians] == 0).all() == (method == "deterministic")


@pytest.mark.slow
def test_spoken_digits_are_read_and_trained_on(tmp_path, monkeypatch):
    write(tmp_path / "shd_train.h5", recordings=40)
    write(tmp_path / "shd_test.h5", recordings=12, seed=1)
    monkeypatch.setenv("FLOSSING_DATA", str(tmp_path))
    found = SPOKEN.trained(Trained("deterministic", 1), lambda text: None)
    assert found["loss"][1] < found["loss"][0]


def test_missing_files_of_spoken_digits_are_explained(tmp_path):
    missing = dataclasses.replace(SPOKEN, folder=str(tmp_path))
    with pytest.raises(RuntimeError, match=r"3 of 3 cases .* Get https://.*shd_train\.h5\.gz"):
        perform(missing, tmp_path / "experiment")


def test_parts_are_shuffled_and_kept_apart():
    data = RandmanData(Randman(classes=3, inputs=4, samples=20, frequencies=2), 0)
    seen = [np.concatenate([b[1] for b in data.batches(part, 7)]) for part in data.parts]
    assert [len(labels) for labels in seen] == [48, 6, 6]
    one, other = (np.concatenate([b[1] for b in data.batches("train", 7, s)]) for s in (1, 2))
    assert len(one) == 42
    assert not np.array_equal(one, other)
    rasters, _ = next(data.batches("test", 6))
    np.testing.assert_array_equal(rasters.sum(1), np.ones((6, 4)))
    assert rasters.shape == (6, 100, 4)


@pytest.mark.slow
def test_the_loss_has_a_penalty_on_every_layer_and_the_largest_readout_counts():
    schedule = Schedule(spike_limit=2.0, penalty=0.5)
    random = np.random.default_rng(0)
    spikes = random.random((4, 10, 3)) < 0.4
    values, labels = random.normal(size=(4, 10, 5)), np.array([0, 3, 1, 4])
    outputs = tuple(np.asarray(x, np.float32) for x in (spikes, spikes[..., :2], values))
    task = Batch(schedule, Trial(outputs[0], labels))
    best = values.max(1)
    errors = np.log(np.exp(best).sum(1)) - best[range(4), labels]
    over = [np.maximum(0, x.sum(1) - 2) for x in (spikes, spikes[..., :2])]
    expected = errors.mean() + 0.5 * sum((x**2).mean() for x in over)
    trial = task.batch(jax.random.key(0), 0, 4)
    assert float(task.loss(outputs, trial)) == pytest.approx(expected, rel=1e-5)
    metrics = task.metrics(outputs, trial)
    assert float(metrics["accuracy"].value) == (best.argmax(1) == labels).mean()
    rates = [spikes.mean(), spikes[..., :2].mean()]
    np.testing.assert_allclose(metrics["rates"].value, rates, rtol=1e-6)


def test_nearest_neighbours_are_those_of_all_distances():
    data = RandmanData(Randman(classes=4, inputs=5, samples=30, frequencies=60, alpha=0.2), 0)
    (train, labels), (test, wanted) = (
        [np.asarray(x) for x in data.parts[part]] for part in ("train", "test")
    )
    # All at one distance or another: of equal ones the first counts, here as there.
    nearest = [np.square(train - sample).sum(1).argmin() for sample in test]
    expected = (labels[nearest] == wanted).mean()
    assert nearest_neighbour(data) == expected
    assert 0 < expected < 1


def test_the_published_network_has_the_published_sizes():
    class Shape:
        num_steps, input_size, classes = 100, 20, 15

    network = jax.eval_shape(
        lambda k: Architecture().build(Shape, "stochastic", k), jax.random.key(0)
    )
    assert [layer.hidden_size for layer in network.layers] == [320, 384, 256, 15]
    assert network.noise_size == 960
    Shape.input_size, Shape.classes = 700, 20
    made = ClassificationSHD().architecture
    network = jax.eval_shape(lambda k: made.build(Shape, "deterministic", k), jax.random.key(0))
    assert [layer.hidden_size for layer in network.layers] == [68 * 16, 21 * 32, 5 * 64, 20]
