"""Copy task: accuracy against delay without, before, between and with adaptive flossing (Engelken 2023)."""

from pathlib import Path

from ._delays import Delays, remembers_longer, reproduce
from ._result import Result
from ._runs import Reporters

FULL = Delays(
    "copy",
    delays=(20, 40, 60, 80),
    larger=((40, 36), (40, 40), (80, 100), (160, 120)),
    complete=((40, 40), (80, 80)),
)
QUICK = Delays(
    "copy",
    delays=(20,),
    hidden_size=32,
    schedules=("none", "adaptive"),
    networks=3,
    epochs=300,
    steps_before=100,
)


def run(
    quick: bool = False,
    settings: Delays | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has three small networks, one delay, 300 epochs."""
    settings = settings or (QUICK if quick else FULL)
    return reproduce(
        "copy", "copy: s[t - d], tanh networks", settings, remembers_longer, folder, reporters
    )
