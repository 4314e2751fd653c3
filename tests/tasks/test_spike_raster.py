"""Pictures as rasters."""

import jax
import numpy as np
import pytest
from matplotlib.image import imsave

from flossing.tasks import SpikeRaster, frozen_poisson, picture, spike_raster

SIZE = {"num_steps": 3, "neurons": 2}
GREY = np.asarray([[0.0, 0.5, 1.0], [0.9, 0.84, 0.2]])


def test_columns_are_time_and_the_top_row_is_the_last_neuron():
    found = spike_raster(GREY, **SIZE)
    np.testing.assert_array_equal(found, [[0, 1], [1, 1], [1, 0]])
    assert found.dtype == np.float32


def test_threshold():
    np.testing.assert_array_equal(spike_raster(GREY, threshold=0.5, **SIZE).sum(), 2)
    assert spike_raster(GREY, threshold=0.0, **SIZE).sum() == 0


def test_colours_bytes_and_transparency_are_understood():
    expected = spike_raster(GREY, **SIZE)
    colours = np.repeat(GREY[..., None], 3, axis=2)
    for image in (
        colours,
        np.round(255 * GREY).astype(np.uint8),
        np.concatenate([colours, np.ones((2, 3, 1))], axis=2),
        GREY[..., None],
    ):
        np.testing.assert_array_equal(spike_raster(image, **SIZE), expected)
    clear = np.concatenate([colours, np.zeros((2, 3, 1))], axis=2)
    assert spike_raster(clear, **SIZE).sum() == 0


def test_resizing_takes_the_nearest_pixels():
    large = spike_raster(GREY, num_steps=6, neurons=4)
    np.testing.assert_array_equal(
        large, np.repeat(np.repeat(spike_raster(GREY, **SIZE), 2, 0), 2, 1)
    )


def test_default_picture_has_light_and_shade_everywhere():
    raster = spike_raster(num_steps=189, neurons=200)
    assert raster.shape == (189, 200)
    assert 0.2 < raster.mean() < 0.3
    assert raster.sum(0).min() > 0 or (raster.sum(0) == 0).mean() < 0.1
    assert picture(40, 30).min() >= 0
    assert picture(40, 30).max() <= 1


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros(5), ValueError, r"\(rows, columns, 1, 3 or 4\), got \(5,\)."),
        (np.zeros((2, 2, 2)), ValueError, r"got \(2, 2, 2\)."),
        (np.zeros((0, 2)), ValueError, r"got \(0, 2\)."),
        (np.full((2, 2), 3.0), ValueError, "expected values between 0 and 1"),
        (np.full((2, 2), np.nan), ValueError, "got others or NaN"),
        (np.full((2, 2), 300), ValueError, "expected values between 0 and 255"),
        (
            np.asarray([["a"]]),
            TypeError,
            "image: expected an array of real numbers, got dtype <U1.",
        ),
    ],
)
def test_wrong_images(image, error, message):
    with pytest.raises(error, match=message):
        spike_raster(image, **SIZE)


@pytest.mark.parametrize("dtype", ["bool", "float16", "float32", "float64", "lists", "bytes"])
def test_a_drawing_in_black_and_white_is_the_same_in_every_dtype(dtype):
    drawing = np.random.default_rng(0).random((7, 5)) < 0.5
    images = {"lists": drawing.astype(float).tolist(), "bytes": 255 * drawing.astype(np.uint8)}
    image = images[dtype] if dtype in images else drawing.astype(dtype)
    found = spike_raster(image, num_steps=5, neurons=7)
    np.testing.assert_array_equal(found, ~drawing[::-1].T)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "lists"])
def test_integers_of_zero_and_one_are_questioned(dtype):
    """On the scale to 255 they would all be black."""
    drawing = np.eye(4, dtype=int)
    with pytest.raises(ValueError, match=r"integers of 0 and 1, .* make them booleans or floats"):
        spike_raster(drawing.tolist() if dtype == "lists" else drawing.astype(dtype), **SIZE)
    np.testing.assert_array_equal(
        spike_raster(0 * drawing, num_steps=2, neurons=3), np.ones((2, 3))
    )


def test_the_ends_of_the_ranges(untyped):
    for threshold, expected in ((0.0, 0), (1.0, 1)):
        found = spike_raster(np.full((3, 3), 0.5), num_steps=1, neurons=1, threshold=threshold)
        assert found.tolist() == [[expected]]
    with pytest.raises(TypeError, match="image: expected an array of real numbers"):
        spike_raster([[0.0, 1.0], [0.0]], **SIZE)
    with pytest.raises(ValueError, match="threshold: expected one number"):
        spike_raster(num_steps=1, neurons=1, threshold=np.ones(2))


TASK = SpikeRaster(num_steps=30, neurons=6, inputs=9, rate=100.0, time_step=2.0, seed=4)


def test_the_trial_is_always_the_same_frozen_input_and_the_picture(key):
    expected = frozen_poisson(jax.random.key(4), num_steps=30, inputs=9, rate=100.0, time_step=2.0)
    trials = jax.jit(lambda key: TASK.batch(key, 3, 2))(key)
    np.testing.assert_array_equal(trials.inputs, [expected] * 2)
    np.testing.assert_array_equal(trials.targets, [spike_raster(num_steps=30, neurons=6)] * 2)
    np.testing.assert_array_equal(TASK.sample_inputs(key, 40), np.tile(expected, (2, 1))[:40])
    assert (TASK.input_size, TASK.output_size, TASK.horizon, TASK.chance_loss) == (9, 6, None, None)
    assert TASK.describe() == "a picture in spikes, 6 neurons"
    with pytest.raises(
        ValueError, match="num_steps: the trials of this task have 30 steps, got 31"
    ):
        TASK.sample(key, num_steps=31)


def test_loss_and_distance_of_a_missing_spike(key):
    """Half a squared spike; and half the sum of the squared kernel, by its definition."""
    trials = TASK.held_out(key, 1)
    time, neuron = np.argwhere(np.asarray(trials.targets[0]) == 1)[0]
    outputs = trials.targets.at[0, time, neuron].set(0.0)
    assert float(TASK.loss(outputs, trials)) == pytest.approx(0.5 / 6, rel=1e-6)
    t = 2.0 * np.arange(30 - time)
    kernel = 0.2 * (np.exp(-t / 10) - np.exp(-t / 5))
    found = TASK.metrics(outputs, trials)["van Rossum distance"]
    np.testing.assert_allclose(found.value, 0.5 * np.square(kernel).sum() / 6, rtol=1e-5)
    assert not found.higher_is_better
    assert float(TASK.metrics(trials.targets, trials)["van Rossum distance"].value) == 0


def test_the_picture_may_come_from_a_file(tmp_path, key):
    path = tmp_path / "drawing.png"
    drawing = np.repeat((np.arange(12).reshape(3, 4) % 3 > 0)[..., None], 3, 2).astype(np.uint8)
    imsave(path, 255 * drawing)
    task = SpikeRaster(num_steps=4, neurons=3, inputs=2, image=str(path))
    np.testing.assert_array_equal(task.sample(key).targets, 1 - drawing[::-1, :, 0].T)
