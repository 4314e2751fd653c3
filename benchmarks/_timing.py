"""Interleaved timing, the state of the machine, and tables: shared by the benchmarks."""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, NamedTuple


class Times(NamedTuple):
    """Seconds per call, one entry per repetition."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        digits = 2 if self.median < 0.01 else 1
        numbers = (self.median, min(self.seconds), max(self.seconds))
        median, low, high = (f"{1e3 * x:.{digits}f}" for x in numbers)
        return f"{median} ({low} - {high})"


def interleave(
    functions: dict[str, Callable[[], Any]], repetitions: int, at_least: float = 0.05
) -> dict[str, Times]:
    """Times functions in turn, A B C A B C ..., so that a busy machine slows all of them alike.

    A function must return only when its work is done. One sample is the mean over as many calls as
    take ``at_least`` seconds. Each function is called twice before, to warm up and to count.
    """
    calls = {}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(1, math.ceil(at_least / (time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return {name: Times(values) for name, values in seconds.items()}


def median_ratio(slow: Times, fast: Times) -> tuple[float, float, float]:
    """Ratio of the medians, and the smallest and largest ratio within one repetition."""
    pairs = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    return slow.median / fast.median, min(pairs), max(pairs)


def environment(*packages: str) -> dict[str, Any]:
    """Processor, cores, load and versions: what a timing depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with padded columns."""
    cells = [list(map(str, row)) for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = [" | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(f"| {line} |" for line in lines)
