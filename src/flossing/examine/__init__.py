"""One call that examines a model: how gradients travel in it, and what to do about it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .finding import Finding as Finding
from .measure import measure
from .measured import Measured as Measured
from .report import Report as Report
from .rules import RULES as RULES, findings
from .target_signal import target_signal as target_signal


def examine(
    step: Callable[[Any, Any], Any],
    state: PyTree,
    inputs: PyTree = None,
    *,
    horizon: int | None = None,
    loss: Callable[[PyTree], Float[Array, ""]] | None = None,
    num_exponents: int = 16,
    time_step: float | None = None,
    target_signal: float | None = None,
    key: PRNGKeyArray,
) -> Report:
    """How gradients travel in a model, what is wrong with it, and what to do about it.

    One run of each instrument along the given inputs: leading Lyapunov exponents, gradient norms and
    singular values over the horizon, what each state variable keeps of itself and takes from the input,
    and of cells of the library spikes, membranes and surrogate derivatives. Rules, each with its
    source (``from flossing.examine import RULES``), say what that means::

        report = fl.examine(step, state, inputs, horizon=40, key=key)
        print(report)  # findings, numbers, and code to paste
        report.plot()

    Args:
        step: ``step(state, input) -> state``, such as a cell of the library.
        state: any pytree, where the trajectory starts.
        inputs: pytree of arrays with time as leading axis, such as one trial of the task, best of some
            hundred steps; ``None`` for an autonomous step.
        horizon: steps that an error has to travel, such as the delay of the task; at most as many as the
            inputs have, which is the default.
        loss: function of the state after the horizon, whose gradient is followed; default a random one.
        num_exponents: leading exponents and singular values that are measured, at most N.
        time_step: length of a step in ms; default that of the cell, if it has one.
        target_signal: what ``fl.target_signal`` found of the loss of your task; foretells whether flossing
            helps.
        key: random key.

    Returns:
        A ``Report``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a state that is or becomes NaN.
    """
    measured = measure(
        step, state, inputs, horizon=horizon, loss=loss, num_exponents=num_exponents,
        time_step=time_step, key=key,
    )  # fmt: skip
    if target_signal is not None:
        measured = dataclasses.replace(measured, target_signal=float(target_signal))
    return Report(measured, tuple(findings(measured)))
