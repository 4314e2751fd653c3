"""How fast the runs of a sweep go, and how long what is left of them takes."""

from collections.abc import Sequence
from typing import NamedTuple

from .grid import Piece

_KINDS = (0, 1)
"""Flossing steps, training epochs."""


class _News(NamedTuple):
    done: int
    moment: float


class Pace:
    """Seconds per flossing step and per training epoch, from the blocks of all runs.

    A run compiles before its first block of either kind, for longer than it computes. These blocks count
    only when there are no others and a whole run has shown what they cost.
    """

    def __init__(self, runs: Sequence[Piece]):
        self._runs = {run.index: run for run in runs}
        self._news: dict[int, _News] = {}
        self._warm: set[tuple[int, int]] = set()
        self._steps, self._seconds = [0, 0], [0.0, 0.0]
        self._first_steps, self._first_seconds = [0, 0], [0.0, 0.0]
        self._ended = False

    def add(self, run: int, done: int, moment: float) -> None:
        """A run has done so many of its steps and epochs by a moment, in seconds of a clock."""
        before, now = self._news.get(run), _News(done, moment)
        self._news[run] = now
        if before is None or done <= before.done:
            return
        left = zip(self._runs[run].left(before.done), self._runs[run].left(done), strict=True)
        steps = [then - after for then, after in left]
        kinds = [kind for kind in _KINDS if steps[kind]]
        if len(kinds) == 1:
            warm = (run, kinds[0]) in self._warm
            all_steps = self._steps if warm else self._first_steps
            all_seconds = self._seconds if warm else self._first_seconds
            all_steps[kinds[0]] += steps[kinds[0]]
            all_seconds[kinds[0]] += moment - before.moment
        self._warm |= {(run, kind) for kind in kinds}

    def end(self, run: int, finished: bool) -> None:
        """A run has ended."""
        self._news.pop(run, None)
        self._ended = self._ended or finished

    def seconds_left(self, done: dict[int, int]) -> float | None:
        """For the runs in ``done`` and what they have done; ``None`` as long as that is not known."""
        left = [self._runs[run].left(count) for run, count in done.items()]
        total = 0.0
        for kind in _KINDS:
            if steps := sum(counts[kind] for counts in left):
                seconds = self._seconds_each(kind)
                if seconds is None:
                    return None
                total += steps * seconds
        return total / max(1, len(self._news))

    def _seconds_each(self, kind: int) -> float | None:
        if self._steps[kind]:
            return self._seconds[kind] / self._steps[kind]
        if self._first_steps[kind] and self._ended:
            return self._first_seconds[kind] / self._first_steps[kind]
        return None
