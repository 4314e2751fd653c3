"""Statistics of spike trains: rates, intervals, their variation, and variability over trials.

Spike trains are arrays of 0 and 1 with time before neurons, of any dtype: booleans, integers, floats, or
lists of them. These functions work on NumPy arrays; they are for looking at networks, not for training them.
"""

import numpy as np
from numpy.typing import ArrayLike

from ._checks import as_numbers, check_integer, check_positive, check_single


def _trains(spikes: ArrayLike, dimensions: tuple[int, ...], name: str = "spikes") -> np.ndarray:
    array = np.asarray(as_numbers(name, spikes)).astype(float)
    if array.ndim not in dimensions:
        wanted = " or ".join(f"{d}" for d in dimensions)
        raise ValueError(f"{name}: expected {wanted} axes, got shape {array.shape}.")
    if 0 in array.shape:
        raise ValueError(f"{name}: got an empty array of shape {array.shape}.")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name}: expected zeros and ones only.")
    return array


def _check_time_step(time_step: float) -> None:
    check_positive("time_step", time_step)
    check_single(time_step=time_step)


def firing_rates(spikes: ArrayLike, *, time_step: float = 1.0) -> np.ndarray:
    """Firing rate of each neuron in Hz, mean over trials, shape ``(neuron,)``.

    Args:
        spikes: shape ``(time, neuron)`` or ``(trial, time, neuron)``.
        time_step: in ms.
    """
    _check_time_step(time_step)
    trains = _trains(spikes, (2, 3))
    return trains.mean(-2).reshape(-1, trains.shape[-1]).mean(0) / (1e-3 * float(time_step))


def interspike_intervals(train: ArrayLike, *, time_step: float = 1.0) -> np.ndarray:
    """Times from one spike to the next of a single spike train of shape ``(time,)``, in ms."""
    _check_time_step(time_step)
    return np.diff(np.flatnonzero(_trains(train, (1,), "train"))) * float(time_step)


def interval_variation(spikes: ArrayLike, *, min_intervals: int = 2) -> np.ndarray:
    """CV_ISI of each neuron: standard deviation over mean of its interspike intervals.

    Intervals are taken within trials and pooled over them. 0 for regular firing; near 1 for many intervals
    of a Poisson process of low rate. Few intervals look too regular: with n of them the mean square of the
    result is ``(n - 1) / (n + 1)`` for a Poisson process, so ask for many. NaN for neurons with fewer than
    ``min_intervals`` intervals.

    Args:
        spikes: shape ``(time, neuron)`` or ``(trial, time, neuron)``.
        min_intervals: at least 1; a single interval has no variation, 0.
    """
    check_integer("min_intervals", min_intervals, 1)
    trains = _trains(spikes, (2, 3))
    trains = trains.reshape(-1, *trains.shape[-2:])
    variation = np.full(trains.shape[-1], np.nan)
    for neuron in range(trains.shape[-1]):
        intervals = np.concatenate([interspike_intervals(t) for t in trains[:, :, neuron]])
        if len(intervals) >= min_intervals:
            variation[neuron] = intervals.std() / intervals.mean()
    return variation


def fano_factors(spikes: ArrayLike, *, window: int) -> np.ndarray:
    """Variance over mean of spike counts across trials, shape ``(windows, neuron)``.

    The counts of one neuron in one window are compared between repeats of the same stimulus: 0 for a
    deterministic network, and for a Poisson process 1 on average, with any number of trials, since the
    variance is the unbiased one (squares over trials - 1). Spikes with probability p in each step, at most
    one per step, have about 1 - p instead. Single values scatter: for a Poisson process of many spikes by
    ``sqrt(2 / (trials - 1))``. Windows follow each other without overlap; steps that do not fill one are
    left out. NaN where no trial has a spike.

    Args:
        spikes: shape ``(trial, time, neuron)``, at least two trials.
        window: in time steps.
    """
    trains = _trains(spikes, (3,))
    trials, steps, neurons = trains.shape
    check_integer("window", window, 1, steps)
    if trials < 2:
        raise ValueError(f"spikes: a variance over trials needs at least 2, got {trials}.")
    used = steps // window * window
    counts = trains[:, :used].reshape(trials, -1, window, neurons).sum(2)
    mean = counts.mean(0)
    return np.divide(counts.var(0, ddof=1), mean, out=np.full(mean.shape, np.nan), where=mean > 0)


def trial_variability(spikes: ArrayLike) -> np.ndarray:
    """Share of each neuron's spikes that another trial does not have in the same step, shape ``(neuron,)``.

    0 if all trials are alike; near 1 if trials share nothing but their (low) rate. Mean over all pairs of
    trials; NaN for neurons without spikes.

    Args:
        spikes: shape ``(trial, time, neuron)``, at least two trials.
    """
    trains = _trains(spikes, (3,))
    trials = len(trains)
    if trials < 2:
        raise ValueError(f"spikes: a comparison of trials needs at least 2, got {trials}.")
    count = trains.sum(0)
    shared = (count * (count - 1)).sum(0) / (trials * (trials - 1))
    mean = count.sum(0) / trials
    return 1 - np.divide(shared, mean, out=np.full(mean.shape, np.nan), where=mean > 0)
