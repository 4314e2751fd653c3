"""Warnings that point at the user's line, and old names of arguments that are refused."""

import functools
import sys
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_LIBRARIES = ("flossing", "jax", "equinox", "jaxtyping", "torch")

RENAMED = {
    "basis_warmup": (
        "warmup: steps in which state and tangents move and nothing is counted (steps before those, in "
        "which only the state moves, are state_warmup)"
    ),
    "relax_steps": "state_warmup",
    "return_exponents": "has_aux, which returns a FlossingInfo beside the loss",
}
"""Names of an earlier version, and what to write instead."""


def warn(message: str, category: type[Warning]) -> None:
    """Warns as from the innermost line of code that is neither ours nor that of JAX and Equinox."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def refuse_old_names(function: Callable[P, R]) -> Callable[P, R]:
    """The same function; arguments by a name of an earlier version raise ``TypeError`` with the new one."""

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        for name in options:
            if message := renamed(name):
                raise TypeError(f"{name}: {message}")
        return function(*args, **options)

    return call


def renamed(name: str) -> str | None:
    """What to say of a name of an earlier version, as an argument, a field or an option; else ``None``."""
    last = name.rpartition(".")[2].lstrip("-").replace("-", "_")
    return f"is now called {RENAMED[last]}." if last in RENAMED else None
