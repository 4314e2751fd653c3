"""Functions that are made anew again and again, each of which JAX compiles a program for."""

import inspect
import types
import weakref
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._compiled import forget_programs

MANY = 3
"""Functions from one place in the code, for the same shapes, at which a user is told."""

_seen: dict[tuple, tuple[weakref.WeakSet, list[int]]] = {}


def note_function(step: Any, arrays: PyTree) -> str | None:
    """Remembers the functions in a step; returns where they are made when the third is compiled.

    JAX finds a compiled program by the identity of the function. A lambda that is made anew in a loop
    over parameters is another function each time, though its code and all shapes are the same::

        for gain in gains:
            fl.lyapunov_spectrum(lambda x, u: jnp.tanh(gain * W @ x), ...)  # compiles each time

    Programs of such loops are freed before the process runs out of memory maps.
    """
    functions = [f for f in map(_plain, jax.tree.leaves(step)) if isinstance(f, types.FunctionType)]
    if not functions:
        return None
    shapes = tuple((jnp.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(arrays))
    alive, count = _seen.setdefault(
        (*(f.__code__ for f in functions), shapes), (weakref.WeakSet(), [0])
    )
    if all(f in alive for f in functions):
        return None
    alive.update(functions)
    count[0] += 1
    if count[0] >= MANY:
        forget_programs()
    code = functions[0].__code__
    return f"{code.co_filename}:{code.co_firstlineno}" if count[0] == MANY else None


def _plain(function: Any) -> Any:
    """A function without ``jax.jit`` and the like around it."""
    return inspect.unwrap(function) if callable(function) else function
