"""Which nodes of NIR are known, and how their parameters are called here."""

from typing import Any

SETTINGS = {
    "tau": "membrane_time_constant",
    "tau_mem": "membrane_time_constant",
    "tau_syn": "synapse_time_constant",
    "r": "resistance",
    "w_in": "synapse_gain",
    "v_leak": "leak_potential",
    "v_threshold": "threshold",
    "v_reset": "reset_potential",
}
"""The names that cells have for parameters of NIR."""

FIRING = {
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset"),
    "IF": ("r", "v_threshold", "v_reset"),
}
"""Neurons that fire, and their parameters."""

SMOOTH = {
    "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_mem", "tau_syn", "r", "w_in", "v_leak"),
    "I": ("r",),
}
"""Neurons that do not fire."""

NEURONS = FIRING | SMOOTH
MAPS = ("Affine", "Linear", "Scale", "Flatten")
KNOWN = ("Input", "Output", "NIRGraph", *MAPS, *NEURONS)


def kind(node: Any) -> str:
    """The name of the primitive that a node is."""
    return type(node).__name__
