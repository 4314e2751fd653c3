"""The classification experiments, small: Randman, and spoken digits from files in their real format."""

import dataclasses
import json
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from flossing.experiments import _classifier, classification, classification_shd
from flossing.experiments._classifier import Architecture, RandmanData, Schedule
from flossing.tasks import Randman

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from spoken_files import write


def check(result, name):
    json.dumps(result.numbers)
    assert result.name == name
    assert len(result.figure.axes) == 6
    assert set(result.numbers["runs"]) == set(_classifier.METHODS)
    for records in result.numbers["runs"].values():
        for record in records:
            assert np.isfinite(record["loss"]).all()
            assert 0 <= record["test"] <= 1


def test_randman_is_learned():
    """Two classes of smooth manifolds; chance is 50 %."""
    settings = dataclasses.replace(
        classification.QUICK,
        task=Randman(
            classes=2, inputs=8, samples=80, frequencies=3, alpha=2.0, num_steps=40, spike_steps=20
        ),
        architecture=Architecture(filters=(6, 8), kernels=(5, 3), strides=(1, 1), input_rate=12.5),
        schedule=Schedule(epochs=20, batch_size=16, learning_rate=0.05),
        repeats=6,
        window=5,
    )
    said = []
    result = classification.run(settings=settings, report=said.append)
    check(result, "classification")
    assert "deterministic, seed 1" in said
    assert any(line.startswith("epoch 20: loss ") for line in said)
    assert result.numbers["nearest_neighbour_test"] > 0.8
    for method in _classifier.METHODS[:2]:
        record = result.numbers["runs"][method][0]
        assert record["train"][-1] > 0.8
        assert record["test"] > 0.6


def test_spoken_digits_are_read_and_trained_on(tmp_path, monkeypatch):
    write(tmp_path / "shd_train.h5", recordings=40)
    write(tmp_path / "shd_test.h5", recordings=20, seed=1)
    monkeypatch.setenv("FLOSSING_DATA", str(tmp_path))
    settings = classification_shd.Settings(
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
    result = classification_shd.run(settings=settings)
    check(result, "classification-shd")
    losses = result.numbers["runs"]["deterministic"][0]["loss"]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("part", [1, 3, 5, 100])
def test_gradients_in_parts_are_those_of_the_batch(part):
    data = RandmanData(Randman(classes=3, inputs=8, samples=20, frequencies=2, num_steps=60), 0)
    architecture = Architecture(filters=(6,), kernels=(5,), strides=(1,), input_rate=12.5)
    network = architecture.build(data, "deterministic", jax.random.key(0))
    rasters, labels = next(data.batches("train", 12, seed=1))
    schedule = Schedule(part=part)
    one = eqx.filter_value_and_grad(_classifier.objective, has_aux=True)
    expected = eqx.filter_jit(one)(network, rasters, labels, schedule)
    found = eqx.filter_jit(_classifier.gradient_in_parts)(network, rasters, labels, schedule)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)


def test_missing_files_of_spoken_digits_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Get https://.*shd_train\.h5\.gz"):
        classification_shd.run(settings=classification_shd.Settings(folder=str(tmp_path)))


def test_parts_are_shuffled_and_kept_apart():
    data = RandmanData(Randman(classes=3, inputs=4, samples=20, frequencies=2), 0)
    seen = [np.concatenate([b[1] for b in data.batches(part, 7)]) for part in data.parts]
    assert [len(labels) for labels in seen] == [48, 6, 6]
    one, other = (np.concatenate([b[1] for b in data.batches("train", 7, s)]) for s in (1, 2))
    assert len(one) == 42
    assert not np.array_equal(one, other)
    rasters, _ = next(data.batches("test", 6))
    np.testing.assert_array_equal(rasters.sum(0), np.ones((6, 4)))
    assert rasters.shape == (100, 6, 4)


def test_nearest_neighbours_are_those_of_all_distances():
    data = RandmanData(Randman(classes=4, inputs=5, samples=30, frequencies=60, alpha=0.2), 0)
    (train, labels), (test, wanted) = (
        [np.asarray(x) for x in data.parts[part]] for part in ("train", "test")
    )
    # All at one distance or another: of equal ones the first counts, here as there.
    nearest = [np.square(train - sample).sum(1).argmin() for sample in test]
    expected = (labels[nearest] == wanted).mean()
    assert classification.nearest_neighbour(data) == round(float(expected), 4)
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
    made = classification_shd.Settings().architecture
    network = jax.eval_shape(lambda k: made.build(Shape, "deterministic", k), jax.random.key(0))
    assert [layer.hidden_size for layer in network.layers] == [68 * 16, 21 * 32, 5 * 64, 20]
