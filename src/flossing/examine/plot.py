"""The figure of an examination."""

from typing import Any

import numpy as np

from ..plots import COLOURS, given_axes, gradient_norms, spectrum, style
from .gradients import USABLE
from .measured import Measured


def draw(m: Measured, ax: Any = None) -> Any:
    """Exponents, gradient norms against lag beside ``lambda_1``, and what a step keeps of the state."""
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
        exponents, gradient, kept = panels = given_axes(ax, 3)
        good = {"color": COLOURS[2], "alpha": 0.2, "linewidth": 0}
        spectrum(exponents, m.exponents, m.standard_errors)
        exponents.axhspan(-1 / m.horizon, 1 / m.horizon, **good)
        exponents.set_title(f"green: keeps 1/e over {m.horizon} steps")
        logs = m.log_gradient - m.log_gradient[-1]
        gradient_norms(gradient, logs, log=True, first_exponent=m.leading)
        gradient.axhspan(-USABLE, USABLE, **good)
        gradient.set_title("green: within a factor of ten")
        _kept(kept, m)
    return panels


def _kept(axis: Any, m: Measured) -> None:
    edges = np.linspace(min(0.0, float(m.kept.min())), max(1.0, float(m.kept.max())), 30)
    for leaf, colour in zip(m.leaves, COLOURS, strict=False):
        axis.hist(m.kept[leaf.span], edges, color=colour, alpha=0.6, label=leaf.name)
    axis.set(xlabel="share of itself that a step keeps", ylabel="state variables")
    axis.set_title("1: holds; 0: memory is elsewhere")
    if len(m.leaves) > 1:
        axis.legend()
