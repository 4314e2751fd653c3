"""Averages, quartiles and words: what is left out is left out honestly."""

import math

import numpy as np
import pytest

from flossing.plots.series import average, quartiles
from flossing.reports.words import as_csv, exponent, percent, rounded, rows_of, scientific
from flossing.sweeps.data import quartiles_with_never


def test_short_series_stay_as_they_are():
    values = np.arange(10.0).reshape(5, 2)
    found = average(values, np.arange(5), most=5)
    assert found.width == 1
    np.testing.assert_array_equal(found.values, values)


def test_long_series_are_means_of_equal_bins():
    values = np.arange(7.0)[:, None]
    found = average(values, np.arange(7), most=3)
    assert found.width == 3
    np.testing.assert_allclose(found.values[:, 0], [1, 4, 6])
    np.testing.assert_allclose(found.epoch, [1, 4, 6])


@pytest.mark.parametrize("length", [1, 599, 600, 601, 3001, 100_000])
def test_never_more_points_than_wanted(length):
    found = average(np.ones((length, 1)), np.arange(length), most=600)
    assert len(found.epoch) == len(found.values) <= 600
    assert np.all(found.values == 1)


def test_missing_values_do_not_spoil_a_mean():
    values = np.array([[1.0], [np.nan], [np.inf], [3.0], [np.nan], [np.nan]])
    found = average(values, np.arange(6), most=2)
    np.testing.assert_array_equal(found.values[:, 0], [1, 3])
    found = average(values, np.arange(6), most=3)
    np.testing.assert_array_equal(found.values[:, 0], [1, 3, np.nan])


def test_quartiles_leave_out_what_is_missing():
    low, median, high = quartiles(np.array([[1, 2, 3, 4, 5], [np.nan] * 5, [7, np.nan] * 2 + [9]]))
    np.testing.assert_array_equal(median, [3, np.nan, 7])
    np.testing.assert_array_equal(low, [2, np.nan, 7])
    np.testing.assert_array_equal(high, [4, np.nan, 8])


def test_networks_that_never_learn_count_as_late():
    found = quartiles_with_never(np.array([[10, 20, 30, np.nan], [10, np.nan, np.nan, np.nan]]))
    np.testing.assert_array_equal(found[:, 0], [20, 30, np.nan])
    assert np.isnan(found[1:, 1]).all()
    assert np.isnan(quartiles_with_never(np.zeros((2, 0)))).all()


def test_numbers_are_rounded_and_none_where_there_is_none():
    assert rounded(np.array([[1 / 3, np.nan], [-np.inf, 2.0]])) == [[0.3333, None], [None, 2]]


def test_words():
    assert (percent(0.5), percent(None), percent(math.nan)) == (
        "50.0\u00a0%",
        "not measured",
        "not a number",
    )
    assert exponent(-math.inf) == "lost (minus infinity)"
    assert exponent(-0.5) == "-0.500"
    assert scientific(math.inf) == "not finite"
    assert rows_of([{"a": 1}], "x") == [("x.1.a", "1")]
    assert rows_of({"a": {"b": [1, 2]}, "c": None}) == [("a.b", "1, 2"), ("c", "not known")]
    assert as_csv(["a", "b"], [[1, None], ["x,y", 2]]) == 'a,b\n1,\n"x,y",2\n'
