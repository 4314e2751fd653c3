"""What depends on what in a step: leaves of the state that move by themselves, and rows of a batch."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array, Bool, PyTree

from .._checks import is_concrete
from ._steps import moving_floats, moving_leaves

_CALLS = {"jit", "pjit", "closed_call", "remat2", "checkpoint"}
"""Primitives that run a program of their own on just their operands."""


def leaves_by_themselves(step: Any, state: PyTree, input: PyTree) -> list[tuple[str, float]]:
    """Leaves that are no part of the dynamics of the others, and by what a step multiplies them.

    Their perturbations shrink or grow by a constant in each step, no loop of dependence leads from
    them through another leaf, and either no other leaf feels them, except one of the same kind (a low-pass
    trace, a running mean, a readout that adds up), or they feel neither another leaf nor the input (a clock).
    What filters the
    input for others, such as a synapse, is none of these; nor is a layer of a stack, since its
    Jacobian is more than one constant.

    Returns:
        Paths in the state, such as ``['clock']``, with factors. Empty if no leaf remains beside them.
    """
    leaves, function = _function_of_leaves(step, state)
    count = len(leaves)
    if count < 2:
        return []
    on_state, on_input = _dependencies(function, leaves, input)
    reached = on_state
    for _ in range(count):
        reached = reached | (reached.astype(int) @ on_state.astype(int) > 0)
    reached &= ~np.eye(count, dtype=bool)
    in_loop = (reached & reached.T).any(1)
    driven = reached.any(1) | on_input
    factors: dict[int, float] = {}
    while True:
        # A mean that only another foreign leaf feels, a running variance, is foreign as well.
        felt = np.delete(reached, list(factors), axis=0).any(0)
        apart = np.flatnonzero(~in_loop & ~(felt & driven)).tolist()
        new = {i: _constant_factor(step, state, input, i) for i in apart if i not in factors}
        new = {i: factor for i, factor in new.items() if factor}
        if not new:
            break
        factors |= new
    paths = jax.tree_util.tree_leaves_with_path(moving_floats(state))
    named = [(jax.tree_util.keystr(paths[i][0]), factors[i]) for i in sorted(factors)]
    return named if len(named) < count else []


def independent_rows(step: Any, state: PyTree, input: PyTree) -> int:
    """Number of rows along the first axis of all leaves if none feels another, as in a batch; else 0.

    A state whose every number moves by itself is no batch, but a layer without connections, say.
    """
    leaves, _ = moving_leaves(state)
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
    rows = lengths.pop()
    if (
        lengths
        or rows < 2
        or all(leaf.ndim < 2 for leaf in leaves)
        or not min(map(np.size, leaves))
    ):
        return 0
    marks = [_marked(step, s, input) for s in (state, _elsewhere(state))]
    if not is_concrete(marks):
        return 0
    by_row = [np.asarray(a | b).reshape(rows, -1) for a, b in zip(*marks, strict=True)]
    stays = not any(mark[1:].any() for mark in by_row)
    spreads = any(mark[0, 1:].any() for mark in by_row)
    return rows if stays and spreads else 0


@eqx.filter_jit
def _marked(step: Any, state: PyTree, input: PyTree) -> list[Bool[Array, "..."]]:
    """Where one step takes a NaN in the first number of the first row of all leaves, whatever it meets."""
    leaves, function = _function_of_leaves(step, state)
    marks = [jnp.zeros_like(x).at[(0,) * x.ndim].set(jnp.nan) for x in leaves]
    pushed = jax.jvp(lambda leaves: function(leaves, input), (leaves,), (marks,))[1]
    return [jnp.isnan(out) for out in pushed]


def _function_of_leaves(step: Any, state: PyTree) -> tuple[list[Array], Callable]:
    """The leaves that carry perturbations, and what a step with an input makes of them."""
    leaves, with_leaves = moving_leaves(state)

    def function(leaves: list[Array], input: PyTree) -> list[Array]:
        return moving_leaves(step(with_leaves(leaves), input))[0]

    return leaves, function


def _dependencies(
    function: Callable, leaves: list[Array], input: PyTree
) -> tuple[Bool[np.ndarray, "leaf leaf"], Bool[np.ndarray, " leaf"]]:
    """Which leaf's tangent depends on which leaf's tangent before, and which leaf on the input."""
    arrays, rest = eqx.partition(input, eqx.is_array)

    def both(tangents: list[Array], arrays: PyTree) -> tuple[list[Array], list[Array]]:
        step = lambda leaves: function(leaves, eqx.combine(arrays, rest))  # noqa: E731
        new, pushed = jax.jvp(step, (leaves,), (tangents,))
        return pushed, new

    program = jax.make_jaxpr(both)(leaves, arrays).jaxpr
    count = len(leaves)
    sources = [{min(i, count)} for i in range(len(program.invars))]
    output_sources = _sources(program, sources)
    on_state = np.array([[i in output_sources[out] for i in range(count)] for out in range(count)])
    return on_state, np.array([count in output_sources[count + out] for out in range(count)])


def _sources(program: Any, of_inputs: list[set[int]]) -> list[set[int]]:
    """Which inputs each output of a JAX program can depend on."""
    known = dict(zip(program.invars, of_inputs, strict=True))

    def of(variable: Any) -> set[int]:
        return set() if isinstance(variable, Literal) else known.get(variable, set())

    for equation in program.eqns:
        operands = [of(variable) for variable in equation.invars]
        name, parameters = equation.primitive.name, equation.params
        if name in _CALLS:
            results = _sources(_open(parameters["jaxpr"]), operands)
        elif name == "cond":
            each = [_sources(_open(b), operands[1:]) for b in parameters["branches"]]
            results = [operands[0].union(*branches) for branches in zip(*each, strict=True)]
        elif name == "scan":
            results = _sources_of_scan(parameters, operands)
        else:
            results = [set().union(*operands)] * len(equation.outvars)
        known.update(zip(equation.outvars, results, strict=True))
    return [of(variable) for variable in program.outvars]


def _open(program: Any) -> Any:
    """A JAX program without the constants that it may be closed over."""
    return getattr(program, "jaxpr", program)


def _sources_of_scan(parameters: Any, operands: list[set[int]]) -> list[set[int]]:
    """What carries and outputs depend on after any number of turns."""
    first, count = parameters["num_consts"], parameters["num_carry"]
    operands = list(operands)
    while True:
        results = _sources(_open(parameters["jaxpr"]), operands)
        carries = [operands[first + i] | results[i] for i in range(count)]
        if carries == operands[first : first + count]:
            return [*carries, *results[count:]]
        operands[first : first + count] = carries


def _constant_factor(step: Any, state: PyTree, input: PyTree, index: int) -> float | None:
    """By what one step multiplies every perturbation of a leaf; ``None`` where there is no such number."""
    leaf = moving_leaves(state)[0][index]
    tangent = jnp.asarray(np.random.default_rng(0).uniform(1, 2, leaf.shape), leaf.dtype)
    pushed = [_pushed(step, s, input, tangent, index) for s in (state, _elsewhere(state))]
    if not is_concrete(pushed) or not leaf.size:
        return None
    factors = np.concatenate([np.asarray(p / tangent).ravel() for p in pushed])
    tolerance = 1e-5 if jnp.finfo(leaf.dtype).bits >= 32 else 1e-2
    same = np.allclose(factors, factors[0], rtol=tolerance, atol=0)
    return float(abs(factors[0])) if same and np.isfinite(factors[0]) else None


def _elsewhere(state: PyTree) -> PyTree:
    """Another state: what is the same at one point, where units are silent, say, differs at another."""
    leaves, with_leaves = moving_leaves(state)
    random = np.random.default_rng(1)
    return with_leaves([x + jnp.asarray(3 * random.normal(size=x.shape), x.dtype) for x in leaves])


@eqx.filter_jit
def _pushed(step: Any, state: PyTree, input: PyTree, tangent: Array, index: int) -> Array:
    """A perturbation of one leaf, one step later."""
    leaves, function = _function_of_leaves(step, state)
    tangents = [tangent if i == index else jnp.zeros_like(x) for i, x in enumerate(leaves)]
    return jax.jvp(lambda leaves: function(leaves, input), (leaves,), (tangents,))[1][index]
