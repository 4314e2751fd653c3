"""What counts as learned, and which network is pointed at."""

import numpy as np
import pytest
import xarray as xr

from flossing.runs.summary import Headline, first_that_did_not_learn, grade

READING = Headline("accuracy", "1", True, 0.2)
ERROR = Headline("error", "1", False, 0.4)


@pytest.mark.parametrize(
    ("main", "value", "expected"),
    [
        (READING, 0.96, "learned"),
        (READING, 0.9, "in part"),
        (READING, 0.29, "in part"),
        (READING, 0.27, "not"),
        (READING, 0.1, "not"),
        (READING, float("nan"), "not"),
        (Headline("accuracy", "1", True, None), 0.5, "unknown"),
        (Headline("accuracy", "1", True, None), 0.95, "learned"),
        (ERROR, 0.01, "learned"),
        (ERROR, 0.2, "in part"),
        (ERROR, 0.39, "not"),
        (ERROR, 3.0, "not"),
        (Headline("loss", "nats", False, None), 0.1, "unknown"),
        (Headline("correlation", "r", True, 0.0), 0.1, "unknown"),
    ],
)
def test_what_counts_as_learned(main, value, expected):
    assert grade(value, main) == expected


@pytest.mark.parametrize(
    ("accuracy", "number"), [([0.99, 0.51, 0.5], 2), ([0.99, 0.8], None), ([], None)]
)
def test_the_first_network_at_chance_is_the_one_that_is_pointed_at(accuracy, number):
    reading = {"units": "1", "higher_is_better": 1, "chance": 0.5}
    values = ("realisation", np.array(accuracy))
    data = xr.Dataset({"accuracy": (*values, reading), "test_accuracy": values})
    assert first_that_did_not_learn(data.assign_attrs(metrics="accuracy")) == number


def test_without_held_out_trials_nobody_is_pointed_at():
    assert first_that_did_not_learn(xr.Dataset({"loss": ("epoch", [0.7])})) is None
