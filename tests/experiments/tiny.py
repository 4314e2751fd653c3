"""Every experiment as small as it gets."""

from dataclasses import replace

from flossing.experiments.rate.delays import XOR, Copy, Parity

_DELAYS = {"hidden_size": 12, "networks": 2, "epochs": 20, "steps_before": 3, "delays": (4,)}
EXPERIMENTS = {
    "xor": lambda: replace(XOR.quick(), **_DELAYS, schedules=("none", "adaptive")),
    "copy": lambda: replace(Copy.quick(), **_DELAYS),
    "parity": lambda: replace(Parity.quick(), **_DELAYS),
}
