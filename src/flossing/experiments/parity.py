"""Parity of four bits: accuracy against delay without and with flossing to -0.1 (after Engelken 2023).

Parity needs products of four bits. Networks whose exponents are all at zero are nearly linear and do not
make them; exponents at -0.1 are slow enough to remember and leave room for a nonlinearity.
"""

from pathlib import Path

from ._delays import Delays, remembers_longer, reproduce
from ._result import Result
from ._runs import Reporters

FULL = Delays(
    "parity",
    delays=(16, 20, 24, 28, 32, 36),
    target=-0.1,
    larger=((40, 12), (40, 16), (160, 28), (160, 36)),
)
QUICK = Delays(
    "parity",
    delays=(4,),
    hidden_size=32,
    schedules=("none", "adaptive"),
    target=-0.1,
    networks=3,
    epochs=300,
    steps_before=50,
)


def run(
    quick: bool = False,
    settings: Delays | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has three small networks, one delay, 300 epochs."""
    settings = settings or (QUICK if quick else FULL)
    title = "parity of the bits at lags d/4, d/2, 3d/4, d, tanh networks"
    return reproduce("parity", title, settings, remembers_longer, folder, reporters)
