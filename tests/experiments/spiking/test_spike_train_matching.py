"""Spike-train matching, small: networks come closer to the picture."""

import jax
import numpy as np
import pytest

from flossing.experiments.lab.classifier import METHODS
from flossing.experiments.spiking.spike_train_matching import (
    SpikeTrainMatching,
    Trained,
    mean_known,
)

SMALL = SpikeTrainMatching(
    size=30,
    steps=60,
    epochs=40,
    seeds=(1,),
    trials=2,
    repeats=4,
    learning_rates=(0.05, 0.05, 0.02),
)


@pytest.fixture(scope="module")
def trained():
    return {m: SMALL.trained(Trained(m, 1), lambda text: None) for m in METHODS}


@pytest.mark.slow
def test_distances_fall(trained):
    for method, found in trained.items():
        ratio = found["distance_end"] / found["distance_start"]
        assert ratio < (0.8 if "multi" in method else 0.5)


@pytest.mark.slow
def test_only_stochastic_networks_vary_between_trials(trained):
    assert trained["deterministic"]["hidden_fano"] == 0
    assert trained["stochastic"]["hidden_fano"] > 0.05


def test_statistics_are_those_of_the_spikes():
    """Two neurons in two trials of 100 ms: one fires every 10 ms, the other once in each."""
    hidden = np.zeros((2, 100, 2))
    hidden[:, ::10, 0] = 1
    hidden[:, 50, 1] = 1
    curves = {"distance": np.arange(650.0), "hidden_rate": np.ones(650)}
    found = SMALL.summary(curves, np.arange(65.0), hidden, hidden)
    assert found["hidden_rate"] == (100 + 10) / 2
    assert found["distance_end"] == 649
    np.testing.assert_array_equal(found["epoch"], np.arange(0, 650, 3))
    np.testing.assert_array_equal(found["distance_course"], found["epoch"])
    np.testing.assert_array_equal(found["look"], np.arange(0, 650, 10))
    assert found["hidden_variation"] == 0
    assert found["rate_count"].values[[1, 10]].tolist() == [1, 1]
    assert found["interval_count"].values[3] == 9
    assert found["interval_count"].sum() == 9


def test_the_mean_of_known_values_leaves_out_the_rest():
    assert mean_known(np.array([1.0, np.nan, 3.0])) == 2
    assert np.isnan(mean_known(np.array([np.nan])))


def test_a_users_picture_is_the_target(tmp_path):
    from matplotlib.image import imsave

    image = np.ones((20, 30, 3))
    image[:, 10:20] = 0
    imsave(tmp_path / "bar.png", image)
    settings = SpikeTrainMatching(size=4, steps=6, image=str(tmp_path / "bar.png"))
    found = settings.raster.sample(jax.random.key(0)).targets
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 1, 0, 0])
