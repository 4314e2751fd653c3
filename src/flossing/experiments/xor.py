"""Delayed XOR: accuracy against delay without, before, between and with adaptive flossing (Engelken 2023).

A network that works near a linear one of N units keeps at most about N bits, so that a delay of N steps
is about the physical limit; the last panel compares it with the delays that adaptive flossing solves.
"""

from pathlib import Path
from typing import Any

from ._delays import Delays, largest_solved, reproduce
from ._result import Claim, Result
from ._runs import Reporters

FULL = Delays(
    "xor",
    delays=(20, 40, 60, 70, 80),
    larger=((20, 10), (20, 16), (20, 20), (40, 30), (40, 36), (40, 40), (160, 120)),
    complete=((40, 36), (40, 40), (80, 70), (80, 80)),
)
QUICK = Delays(
    "xor",
    delays=(10, 20),
    hidden_size=32,
    schedules=("none", "before", "adaptive"),
    networks=3,
    epochs=400,
    steps_before=100,
)


def run(
    quick: bool = False,
    settings: Delays | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has three small networks, two delays, 400 epochs."""
    settings = settings or (QUICK if quick else FULL)
    title = "delayed XOR: s[t - d/2] XOR s[t - d], tanh networks"
    return reproduce("xor", title, settings, _claims, folder, reporters)


def _claims(settings: Delays, numbers: dict[str, Any]) -> list[Claim]:
    n, found = settings.hidden_size, []
    for d in settings.delays:
        if "adaptive" in settings.schedules and d <= 0.75 * n:
            lowest = min(numbers[f"N={n},d={d},adaptive"]["test_accuracy"])
            text = f"d = {d}: lowest held-out accuracy of all networks, adaptive"
            found.append(Claim(text, lowest, 0.95, below=False))
    for d in settings.delays:
        if "none" in settings.schedules and d >= n / 2:
            solved = numbers[f"N={n},d={d},none"]["solved"]
            found.append(Claim(f"d = {d}: networks at 95 %, not flossed", solved, 1))
    for size, least in ((80, 70), (160, 120)):
        delays = [d for m, d in settings.larger if m == size]
        delays += settings.delays if size == n else ()
        if delays:
            best = largest_solved(numbers, size, "adaptive", delays)
            text = f"N = {size}: largest d with median at 95 %, adaptive"
            found.append(Claim(text, best, least - 0.5, below=False))
    return found
