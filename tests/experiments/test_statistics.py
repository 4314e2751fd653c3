"""Statistics with intervals, against SciPy and formulas."""

import numpy as np
import pytest
from scipy.stats import binom, spearmanr

from flossing.experiments.lab.statistics import median_over, over_seeds, rank_correlation


@pytest.mark.parametrize("count", [8, 10, 50, 51, 200])
def test_intervals_of_medians_hold_the_median_in_95_of_100_cases(count):
    """The number of values below the true median is binomial, whatever their distribution."""
    order = np.random.default_rng(0).permutation(count)
    found = median_over(order)
    assert found.value == (count - 1) / 2
    low, high = int(found.low), int(found.high)
    coverage = binom.cdf(high, count, 0.5) - binom.cdf(low, count, 0.5)
    assert 0.92 < coverage < 0.995
    assert found.low + found.high == count - 1
    assert np.isnan(median_over(np.array([1.0, np.nan, 2.0]))).all()


def test_rank_correlations():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 4, 3, 2))
    y[0, 0] = y[1, 1]  # ties
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x.ravel(), y.ravel())[0])
    assert np.isnan(rank_correlation(x, np.ones_like(x)))
    assert np.isnan(rank_correlation(x, np.nan * x))
    # Groups that rise together, with a fall within each.
    group = 100 * np.arange(3)[:, None] * np.ones((4, 3, 2))
    assert rank_correlation(x + group, group - x) > 0.5
    assert rank_correlation(x + group, group - x, groups=1) == pytest.approx(-1)
    assert rank_correlation(x + group, group - x, groups=2) == pytest.approx(-1)


def test_intervals_are_those_of_whole_seeds():
    same = np.broadcast_to(np.arange(6.0), (5, 6))
    assert over_seeds(rank_correlation, (same, -same)) == (-1, -1, -1)
    random = np.random.default_rng(2)
    values = random.normal(size=(40, 3)) + 1
    found = over_seeds(lambda x: float(x.mean()), (values,))
    error = values.mean(1).std(ddof=1) / 40**0.5
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
