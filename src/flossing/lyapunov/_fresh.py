"""Functions that are made anew again and again, each of which JAX compiles a program for."""

import functools
import inspect
import itertools
import types
import weakref
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._compiled import forget_programs

MANY = 3
"""Functions from one place in the code, for states of the same shapes, at which a user is told."""
OFTEN = 20
"""Calls between looks at the memory maps of this process, of which a program takes some 250."""

_seen: dict[tuple, tuple[weakref.WeakSet, list[int]]] = {}
_calls = itertools.count(1)


def note_function(step: Any, state: PyTree) -> str | None:
    """Remembers the functions in a step; returns where they are made when the third is compiled.

    JAX finds a compiled program by the identity of the function. A lambda that is made anew in a loop
    over parameters is another function each time, though its code and all shapes are the same::

        for gain in gains:
            fl.lyapunov_spectrum(lambda x, u: jnp.tanh(gain * W @ x), ...)  # compiles each time

    Programs of such loops are freed before the process runs out of memory maps.
    """
    if next(_calls) % OFTEN == 0:
        forget_programs()
    made = [found for leaf in jax.tree.leaves(step) if (found := _made(leaf))]
    if not made:
        return None
    shapes = tuple((jnp.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(state))
    key = (*(code for _, code in made), shapes)
    alive, count = _seen.setdefault(key, (weakref.WeakSet(), [0]))
    if all(thing in alive for thing, _ in made):
        return None
    alive.update(thing for thing, _ in made)
    count[0] += 1
    code = made[0][1]
    return f"{code.co_filename}:{code.co_firstlineno}" if count[0] == MANY else None


def _made(leaf: Any) -> tuple[Any, types.CodeType] | None:
    """What JAX knows a function by, and the code that it runs; ``None`` for what is no function."""
    leaf = inspect.unwrap(leaf) if callable(leaf) else leaf  # jax.jit and the like
    function = leaf
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    thing = leaf
    if isinstance(function, types.MethodType):
        function, thing = function.__func__, function.__self__ if function is leaf else leaf
    elif not isinstance(function, types.FunctionType):
        function = inspect.getattr_static(function, "__call__", None)
    code = getattr(function, "__code__", None)
    try:
        _ = weakref.ref(thing), hash(thing)
    except TypeError:
        return None
    return None if code is None else (thing, code)
