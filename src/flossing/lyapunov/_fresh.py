"""Steps that are made anew again and again, each of which JAX compiles a program for."""

import functools
import inspect
import itertools
import types
import weakref
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._compiled import forget_programs

MANY = 3
"""Programs for the same code and states of the same shapes, at which a user is told."""
OFTEN = 20
"""Calls between looks at the memory maps of this process, of which a program takes some 250."""


class _Seen(NamedTuple):
    """What programs were compiled for, of steps that differ in nothing else."""

    functions: weakref.WeakSet
    numbers: set[tuple]
    count: list[int]


_seen: dict[tuple, _Seen] = {}
_calls = itertools.count(1)


def note_step(step: Any, state: PyTree) -> str | None:
    """Remembers the functions and numbers in a step; says what is made anew when the third is compiled.

    JAX finds a compiled program by the identity of the function. A lambda that is made anew in a loop
    over parameters is another function each time, though its code and all shapes are the same::

        for gain in gains:
            fl.lyapunov_spectrum(lambda x, u: jnp.tanh(gain * W @ x), ...)  # compiles each time

    A Python number that a step holds is a constant of its program, too. Programs of such loops are freed
    before the process runs out of memory maps.

    Returns:
        Where the functions are made, or which numbers differ, as the end of a sentence on what was
        compiled; ``None`` unless it is the third program.
    """
    if next(_calls) % OFTEN == 0:
        forget_programs()
    leaves = jax.tree.leaves(step)
    if isinstance(step, jax.tree_util.Partial):
        leaves.append(step.func)
    made = [function for leaf in leaves if (function := _made(leaf))]
    numbers = tuple(leaf for leaf in leaves if isinstance(leaf, int | float | complex))
    if not made and not numbers:
        return None
    shapes = tuple((jnp.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(state))
    kind = None if made else jax.tree.structure(step)
    key = (*(code for _, code in made), kind, len(numbers), shapes)
    try:
        seen = _seen.setdefault(key, _Seen(weakref.WeakSet(), set(), [0]))
    except TypeError:  # a module with a static field that cannot be hashed
        return None
    same_functions = all(thing in seen.functions for thing, _ in made)
    if same_functions and numbers in seen.numbers:
        return None
    seen.functions.update(thing for thing, _ in made)
    seen.numbers.add(numbers)
    seen.count[0] += 1
    if seen.count[0] != MANY:
        return None
    if same_functions:
        return (
            f"for other Python numbers in a {type(step).__name__}, which are constants of a program. Make "
            "arrays of them, as jnp.asarray does"
        )
    code = made[0][1]
    return (
        f"for functions made at {code.co_filename}:{code.co_firstlineno}: each is compiled by itself. Make "
        "one function, and pass what differs as arrays: a step that is an Equinox module, or "
        "jax.tree_util.Partial(function, parameters), which calls function(parameters, state, input)"
    )


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
