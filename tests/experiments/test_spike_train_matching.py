"""Spike-train matching, small: networks come closer to the picture, and every number is there."""

import json

import jax
import numpy as np
import pytest

from flossing.experiments import spike_train_matching
from flossing.experiments.spiking.spike_train_matching import METHODS, Settings


@pytest.fixture(scope="module")
def result():
    return spike_train_matching.run(
        settings=Settings(
            size=30,
            steps=60,
            epochs=40,
            seeds=(1,),
            trials=2,
            repeats=4,
            learning_rates=(0.05, 0.05, 0.02),
        )
    )


def test_distances_fall(result):
    for method in METHODS:
        assert result.numbers[method]["end_over_start"][0] < (0.8 if "multi" in method else 0.5)


def test_only_stochastic_networks_vary_between_trials(result):
    assert result.numbers["deterministic"]["hidden_fano"] == [0]
    assert result.numbers["stochastic"]["hidden_fano"][0] > 0.05


def test_the_result_is_complete(result):
    json.dumps(result.numbers)
    assert result.name == "spike-train-matching"
    assert len(result.claims) == 3
    assert len(result.figure.axes) == 3 + 5 + 4
    for method in METHODS:
        assert np.isfinite(result.numbers[method]["van_rossum_end_other_dynamics"]).all()


def test_a_users_picture_is_the_target(tmp_path):
    from matplotlib.image import imsave

    image = np.ones((20, 30, 3))
    image[:, 10:20] = 0
    imsave(tmp_path / "bar.png", image)
    settings = Settings(size=4, steps=6, image=str(tmp_path / "bar.png"))
    found = settings.raster.sample(jax.random.key(0)).targets
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 1, 0, 0])
