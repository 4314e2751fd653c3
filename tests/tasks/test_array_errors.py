"""Arrays that do not fit are refused by name."""

import jax
import numpy as np
import pytest

import flossing as fl
from flossing.tasks import Arrays

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(30, 6, 2))
LABELS = np.arange(30) % 3
NAN = np.where(np.arange(30)[:, None, None] == 3, np.nan, INPUTS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Arrays(INPUTS[..., 0], LABELS),
            ValueError,
            r"inputs: expected shape \(example, time, input\) .*got \(30, 6\). .*inputs\[:, :, None\]",
        ),
        (lambda: Arrays(INPUTS[:0], LABELS[:0]), ValueError, "inputs: .* without an empty axis"),
        (lambda: Arrays(NAN, LABELS), ValueError, "inputs: expected finite numbers"),
        (
            lambda: Arrays([[[1.0], [2.0]], [[1.0]]], [0, 1]),
            TypeError,
            "inputs: .* got rows that differ in length",
        ),
        (
            lambda: Arrays([(np.ones(2), np.ones(2))], [0]),
            TypeError,
            r"inputs: got pairs; .* fl.tasks.Events\(recordings",
        ),
        (lambda: Arrays(3, LABELS), TypeError, "inputs: expected an array of shape .* got int"),
        (
            lambda: Arrays(INPUTS, LABELS[:-1]),
            ValueError,
            r"targets: expected integer labels of shape \(30,\), or \(30, 6\) .*got \(29,\)",
        ),
        (
            lambda: Arrays(INPUTS, LABELS.astype(float)),
            ValueError,
            r"targets: expected floats of shape \(30, outputs\).*targets\[:, None\].*Labels of classes",
        ),
        (
            lambda: Arrays(INPUTS, INPUTS[:, :5]),
            ValueError,
            r"targets: expected floats of shape .*\(30, 6, outputs\) .*got \(30, 5, 2\)",
        ),
        (lambda: Arrays(INPUTS, NAN), ValueError, "targets: expected finite numbers"),
        (lambda: Arrays(INPUTS, LABELS > 0), TypeError, "targets: got booleans"),
        (
            lambda: Arrays(INPUTS, LABELS + 1),
            ValueError,
            "targets: class 0 has no example, and labels go up to 3",
        ),
        (
            lambda: Arrays(INPUTS, LABELS - 1),
            ValueError,
            "targets: expected labels from 0 on, got -1",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, output_size=2),
            ValueError,
            "targets: expected labels 0 to 1, got 2",
        ),
        (
            lambda: Arrays(INPUTS, INPUTS, output_size=3),
            ValueError,
            "output_size: targets have 2 numbers each, got 3",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, test=np.flatnonzero(LABELS == 2)),
            ValueError,
            "validation, test: class 2 has no example left for training",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, readout="first"),
            ValueError,
            "readout: expected one of 'last', 'mean', 'max', got 'first'",
        ),
        (
            lambda: Arrays(INPUTS, INPUTS, readout="mean"),
            ValueError,
            "readout: 'mean' is for one answer per trial",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, mask=np.ones((30, 5))),
            ValueError,
            r"mask: expected shape \(30, 6\), got \(30, 5\)",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, mask=np.arange(30)[:, None] * np.ones(6) != 4),
            ValueError,
            "mask: no step of example 4 counts",
        ),
        (lambda: Arrays(INPUTS, LABELS, loss=max), ValueError, "output_size: a loss of your own"),
        (
            lambda: Arrays(INPUTS, LABELS, loss=max, output_size=1, readout="max"),
            ValueError,
            "readout: 'max' is for our losses",
        ),
        (
            lambda: Arrays(INPUTS, LABELS[:3], loss=max, output_size=1),
            ValueError,
            r"targets: expected 30 examples along the leading axis, got shape \(3,\)",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, validation=0.5, test=0.5),
            ValueError,
            "validation, test: 15 and 15 of 30 examples leave none for training",
        ),
        (lambda: Arrays(INPUTS, LABELS, test=3), ValueError, "test: expected .* between 0 and 1"),
        (
            lambda: Arrays(INPUTS, LABELS, test=1),
            ValueError,
            "test: expected a fraction or an array",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, test=[1, 2], validation=[2, 3]),
            ValueError,
            "validation, test: example 2 is in both",
        ),
        (lambda: Arrays(INPUTS, LABELS, test=[30]), ValueError, "test: expected examples 0 to 29"),
        (lambda: Arrays(INPUTS, LABELS, test=[3, 3]), ValueError, "test: example 3 is listed more"),
        (
            lambda: Arrays(INPUTS, LABELS, test=[0.5]),
            TypeError,
            "test: expected a fraction, or int",
        ),
        (lambda: Arrays(INPUTS, LABELS, key=3), TypeError, "key: expected a random key"),
        (
            lambda: Arrays(INPUTS, LABELS).batch(jax.random.key(0), 0, 25),
            ValueError,
            "size: expected at most 24, got 25",
        ),
        (
            lambda: Arrays(INPUTS, LABELS, test=0.0).held_out(jax.random.key(0), 5),
            ValueError,
            "test: no examples were kept for a test",
        ),
        (
            lambda: Arrays(INPUTS, LABELS).sample(jax.random.key(0), num_steps=5),
            ValueError,
            "num_steps: the trials of this task have 6 steps, got 5",
        ),
        (
            lambda: Arrays(INPUTS, LABELS).examples([30]),
            ValueError,
            "indices: expected 0 to 29, got 30",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, error, message, untyped):
    with pytest.raises(error, match=message):
        call()


def test_inputs_that_would_not_fit_into_memory_are_refused_before_they_are_made():
    events = fl.tasks.Events([([0], [0])] * 200, num_units=5000, num_steps=5000)
    task = Arrays(events, np.zeros((200, 1)))
    with pytest.raises(ValueError, match=r"indices: 100 examples .* take 9.3 GiB, more than 4"):
        task.examples(np.arange(100))
