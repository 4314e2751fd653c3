"""The figure of an examination."""

from typing import Any

import numpy as np

from .measured import LN10, Measured


def draw(m: Measured, axes: Any = None) -> Any:
    """Exponents, gradient norms against lag beside ``lambda_1``, and what a step keeps of the state."""
    from ..runs.plots import COLOURS, style

    with style():
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
        axes = np.ravel(axes)
        if len(axes) != 3:
            raise ValueError(f"axes: expected three matplotlib Axes, got {len(axes)}.")
        _spectrum(axes[0], m, COLOURS)
        _gradient(axes[1], m, COLOURS)
        _kept(axes[2], m, COLOURS)
    return axes


def _spectrum(axis: Any, m: Measured, colours: Any) -> None:
    finite = np.isfinite(m.exponents)
    index = np.arange(1, len(m.exponents) + 1)[finite]
    errors = np.where(np.isfinite(m.standard_errors), m.standard_errors, 0)[finite]
    axis.errorbar(index, m.exponents[finite], errors, fmt="o", markersize=3, color=colours[0])
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.axhspan(-1 / m.horizon, 1 / m.horizon, color=colours[2], alpha=0.2, linewidth=0)
    lost = "" if finite.all() else f"; {(~finite).sum()} lost"
    axis.set(
        xlabel="index i",
        ylabel=r"exponent $\lambda_i$ (nats per step)",
        title=f"green: keeps 1/e over {m.horizon} steps{lost}",
    )


def _gradient(axis: Any, m: Measured, colours: Any) -> None:
    lags = np.arange(m.horizon, -1, -1)
    logs = np.where(np.isfinite(m.log_gradient), m.log_gradient, np.nan) / LN10
    axis.plot(lags, logs - logs[-1], color=colours[0], label="measured")
    if np.isfinite(m.leading):
        axis.plot(
            lags,
            m.leading * lags / LN10,
            color=colours[1],
            linestyle="--",
            label=r"$\lambda_1$ lag",
        )
    axis.axhspan(-3, 3, color=colours[2], alpha=0.2, linewidth=0)
    axis.set(
        xlabel="lag (steps)",
        ylabel=r"$\log_{10}$ |gradient|, 0 at lag 0",
        title="green: usable",
    )
    axis.legend()


def _kept(axis: Any, m: Measured, colours: Any) -> None:
    edges = np.linspace(min(0.0, float(m.kept.min())), max(1.0, float(m.kept.max())), 30)
    for leaf, colour in zip(m.leaves, colours, strict=False):
        axis.hist(m.kept[leaf.span], edges, color=colour, alpha=0.6, label=leaf.name)
    axis.set(xlabel="share of itself that a step keeps", ylabel="state variables")
    if len(m.leaves) > 1:
        axis.legend()
