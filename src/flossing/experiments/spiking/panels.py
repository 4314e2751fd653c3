"""Panels that experiments with LIF networks share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...plots import time_constants

MEMBRANE, SYNAPSE = 10.0, 5.0
"""Time constants of the published minimal example, in ms."""


def time_scales(axis: Any, exponents: Mapping[str, Any], colours: Sequence[str]) -> None:
    """Time scales of tangent modes against their index, beside the time constants of a neuron.

    Args:
        axis: where to draw.
        exponents: by label, shape (networks, exponents), per ms; what is not finite is left out.
        colours: one for each label.
    """
    for (label, values), colour in zip(exponents.items(), colours, strict=True):
        time_constants(axis, values, unit="ms", colour=colour, label=label)
    last = max(np.shape(values)[1] for values in exponents.values())
    for value, name in ((MEMBRANE, "mem"), (SYNAPSE, "syn")):
        axis.axhline(value, color="k", linewidth=0.8, linestyle=":")
        place = {"textcoords": "offset points", "xytext": (2, 2)}
        axis.annotate(f"$\\tau_{{{name}}}$", (last, value), **place)
    axis.set_title("tangent modes, and time constants")
    axis.set_ylim(top=10 * axis.get_ylim()[1])
    axis.legend(loc="upper center", ncols=2)
