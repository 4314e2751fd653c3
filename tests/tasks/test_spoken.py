"""Spoken digits as a task: small files in the format of SHD and SSC."""

import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from spoken_files import write

from flossing.tasks import Heidelberg, SpikeFile


@pytest.fixture
def task(tmp_path):
    write(tmp_path / "shd_train.h5", recordings=100)
    write(tmp_path / "shd_test.h5", recordings=20, seed=1)
    return Heidelberg(str(tmp_path), num_steps=40, time_step=10.0, seed=2, validation=0.2)


@pytest.mark.slow
def test_test_recordings_are_those_of_the_test_file(task, key):
    with SpikeFile(Path(task.folder) / "shd_test.h5") as file:
        expected = file.read(range(20), num_steps=40, time_step=10.0)
    trial = task.held_out(key, 999)
    np.testing.assert_array_equal(trial.inputs, expected.spikes)
    np.testing.assert_array_equal(trial.targets, expected.labels)
    assert trial.inputs.dtype == jnp.float32


def test_updates_show_training_recordings_that_are_not_for_validation(task, key):
    data = task.loaded()
    assert sorted([*data.train.tolist(), *data.validation.tolist()]) == list(range(100))
    assert len(data.validation) == 20
    with SpikeFile(Path(task.folder) / "shd_train.h5") as file:
        expected = file.read(data.train, num_steps=40, time_step=10.0)
    known = {raster.tobytes(): label for raster, label in zip(*expected, strict=True)}
    trial = eqx.filter_jit(lambda task: task.batch(key, 1, 8))(data)
    for raster, label in zip(trial.inputs, trial.targets, strict=True):
        assert known[np.asarray(raster).astype(np.uint8).tobytes()] == label


@pytest.mark.slow
def test_ssc_brings_its_own_validation_part(tmp_path):
    for part, count in (("train", 70), ("valid", 35), ("test", 40)):
        write(tmp_path / f"ssc_{part}.h5", recordings=count, classes=35)
    task = Heidelberg(str(tmp_path), dataset="ssc", num_steps=20)
    data = task.loaded()
    assert data.validation.tolist() == list(range(70, 105))
    assert data.test.tolist() == list(range(105, 145))
    assert (task.input_size, task.output_size, data.output_size) == (700, 35, 35)
    assert task.describe() == "spoken commands"


@pytest.mark.slow
def test_the_class_is_read_from_the_largest_output(task, key):
    trial = task.held_out(key, 20)
    outputs = jnp.zeros((20, 40, 20)).at[jnp.arange(20), 7, trial.targets].set(1.0)
    assert float(task.metrics(outputs, trial)["accuracy"].value) == 1
    expected = np.log(np.e + 19) - 1
    np.testing.assert_allclose(task.loss(outputs, trial), expected, rtol=1e-5)


def test_a_missing_file_is_named_with_its_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"shd_train.h5: no such file. Get https://"):
        Heidelberg(str(tmp_path)).loaded()


def test_wrong_settings():
    with pytest.raises(ValueError, match="dataset: expected one of 'shd', 'ssc', got 'mnist'"):
        Heidelberg("data", dataset="mnist")
    with pytest.raises(ValueError, match="time_step: expected a finite positive number"):
        Heidelberg("data", time_step=0.0)
    with pytest.raises(
        ValueError, match=r"validation: ssc has a validation part of its own, got 0\.1"
    ):
        Heidelberg("data", dataset="ssc", validation=0.1)
