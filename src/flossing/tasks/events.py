"""Spikes or other events as lists of times and units, turned into rasters example by example."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import as_numbers, check_integer, check_positive, check_single
from .._warn import warn
from ._time_steps import doubt_about, steps_of

_LARGEST = 4 * 2**30
"""Bytes that events of all recordings may take."""


class Events(eqx.Module):
    """Recordings, kept as events; ``events[i]`` is the raster of the i-th, shape (num_steps, num_units).

    A raster is 1 where a unit has at least one event within a step, else 0. Events after the last step are
    left out. An event on the edge of two steps belongs to the later one.

    Args:
        recordings: one pair ``(times, units)`` of arrays of equal length per recording.
        num_units: units are numbered from 0 to ``num_units - 1``.
        num_steps: steps of a raster.
        time_step: length of a step in ms; times are in seconds then: divide those in ms by 1000. Without
            it, times are integers that number steps.

    Raises:
        ValueError, TypeError: times and units that do not belong together, units out of range, times before
            0 or not finite, no event within any raster, or more events than fit into 4 GiB.

    Warns:
        UserWarning: some times cannot be seconds.
    """

    _steps: Int[Array, " event"]
    _units: Int[Array, " event"]
    _starts: Int[Array, " bound"]
    num_steps: int = eqx.field(static=True)
    num_units: int = eqx.field(static=True)
    _longest: int = eqx.field(static=True)

    def __init__(
        self,
        recordings: Sequence[tuple[Any, Any]],
        *,
        num_units: int,
        num_steps: int,
        time_step: float | None = None,
    ):
        self.num_units = check_integer("num_units", num_units, 1)
        self.num_steps = check_integer("num_steps", num_steps, 1)
        if time_step is not None:
            check_positive("time_step", time_step)
            check_single(time_step=time_step)
        kinds = [np.uint16 if limit < 2**16 else np.int32 for limit in (num_steps, num_units)]
        binned, latest = [], 0.0
        for i, recording in enumerate(recordings):
            times, units = _pair(f"recordings[{i}]", recording, num_units)
            latest = max(latest, float(times.max(initial=0)))
            if time_step is not None:
                times = steps_of(times.astype(float), time_step, times.dtype)
            elif times.size and times.dtype.kind not in "ui":
                raise TypeError(
                    f"recordings[{i}]: without time_step, times are integers that number steps, got dtype "
                    f"{times.dtype}. With time_step in ms, they are seconds."
                )
            seen = times < num_steps
            binned.append((times[seen].astype(kinds[0]), units[seen].astype(kinds[1])))
        counts = [len(steps) for steps, _ in binned]
        if not counts:
            raise ValueError("recordings: expected at least one, got none.")
        if time_step is not None:
            doubt = doubt_about(latest, num_steps * float(time_step), any(counts))
            if doubt and not any(counts):
                raise ValueError(f"recordings: no event falls into a raster: {doubt}")
            if doubt:
                warn(f"recordings: {doubt}", UserWarning)
        elif latest >= num_steps and not any(counts):
            raise ValueError(
                f"recordings: no event falls into the {num_steps} steps of a raster: times number steps, and "
                f"reach {latest:g}. Take more steps, or give time_step in ms and times in seconds."
            )
        _check_size(sum(counts), kinds)
        # Each recording is cut out in the length of the longest, also the last one.
        self._longest = max(counts)
        padding = (np.full(self._longest, num_steps, kinds[0]), np.zeros(self._longest, kinds[1]))
        both = zip(*binned, padding, strict=True)
        self._steps, self._units = (jnp.asarray(np.concatenate(parts)) for parts in both)
        self._starts = jnp.asarray(np.cumsum([0, *counts]), jnp.int32)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: Int[Array, ""] | int) -> Float[Array, "time unit"]:
        start, end = self._starts[index], self._starts[index + 1]
        steps, units = (
            jax.lax.dynamic_slice(x, (start,), (self._longest,)).astype(jnp.int32)
            for x in (self._steps, self._units)
        )
        # What belongs to the next recording goes to a step that no raster has, and is dropped.
        steps = jnp.where(jnp.arange(self._longest) < end - start, steps, self.num_steps)
        silence = jnp.zeros((self.num_steps, self.num_units))
        return silence.at[steps, units].set(1.0, mode="drop")


def _pair(name: str, recording: Any, num_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and units of one recording, checked."""
    if len(recording) != 2:
        raise ValueError(f"{name}: expected a pair (times, units), got {len(recording)} things.")
    times, units = (np.asarray(as_numbers(name, x)) for x in recording)
    if times.ndim != 1 or times.shape != units.shape:
        raise ValueError(
            f"{name}: expected as many times as units along one axis, got shapes {times.shape} and "
            f"{units.shape}."
        )
    if not times.size:
        return times, units
    if units.dtype.kind not in "ui":
        raise TypeError(f"{name}: expected units as integers, got dtype {units.dtype}.")
    units = units.astype(np.int64)
    wrong = units[(units < 0) | (units >= num_units)]
    if wrong.size:
        raise ValueError(f"{name}: expected units 0 to {num_units - 1}, got {wrong[0]}.")
    wrong = times[~(np.isfinite(times) & (times >= 0))]
    if wrong.size:
        raise ValueError(f"{name}: expected finite times from 0 on, got {wrong[0]}.")
    return times, units


def _check_size(count: int, kinds: list[Any]) -> None:
    size = count * sum(np.dtype(kind).itemsize for kind in kinds)
    if size > _LARGEST:
        raise ValueError(
            f"recordings: {count} events take {size / 2**30:.1f} GiB, more than {_LARGEST / 2**30:g}; take "
            "fewer recordings, or fewer steps."
        )
