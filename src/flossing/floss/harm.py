"""What flossing did to a model besides moving its exponents, and whether that was harm."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_key
from .._readable import Summary, readable
from ..cells import Cell
from ..lyapunov._check_run import check_run
from ..lyapunov._steps import Step, flatten
from ..lyapunov.signs import signs

_SETTLE = 3
"""The first of so many parts of the steps is not counted."""
_MANY = 0.25
"""Fraction of the state variables of which something is said."""
_KEPT = 0.25
"""A variable is kept where perturbations change it by less than this fraction of themselves."""
_LESS = 3.0
"""Fewer changes and weaker responses by this factor are due to flossing."""
_LOST = 10.0
"""A variable is lost where it responds, or is responded to, so many times less than was usual."""
_LOUD = 3.0
"""Activity is up where its mean is so many times higher."""
_EXPLODED = 1e3
"""Perturbations explode where they grow so much over the counted steps, and that much more than before."""


class FlossingHarmWarning(UserWarning):
    """Flossing moved the exponents of a model in a way that keeps it from learning."""


class Signs(NamedTuple):
    """How a step treats states, inputs and perturbations along one trajectory; n state variables.

    Means over time of the fields of the same names in ``lyapunov.signs``, and their roots where those are
    squares.
    """

    change: Float[Array, " n"]
    response: Float[Array, " n"]
    sensitivity: Float[Array, " n"]
    influence: Float[Array, " n"]
    activity: Float[Array, ""]
    """Mean absolute output of the step, or state if it has no outputs."""
    exponent: Float[Array, ""]
    """The first Lyapunov exponent, nats per step."""


@readable
class FlossingHarm(list[str]):
    """What ``flossing_harm`` found: sentences, none if all is well. Prints itself with the numbers."""

    before: Signs
    after: Signs

    def __init__(self, findings: Iterable[str], before: Signs, after: Signs):
        super().__init__(findings)
        self.before, self.after = before, after

    def _summary(self) -> Summary:
        names = {
            "change": "change from step to step",
            "response": "response to another input",
            "sensitivity": "sensitivity to states",
            "influence": "influence on states",
            "activity": "mean activity",
            "exponent": "first exponent (nats per step)",
        }
        rows = [
            [text, *(_value(jnp.median(getattr(x, name))) for x in (self.before, self.after))]
            for name, text in names.items()
        ]
        title = f"harm done by flossing: {len(self) or 'none'}"
        return Summary(title, ["medians over state variables", "before", "after"], rows, self)


def flossing_harm(
    before: Any,
    after: Any,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_steps: int | None = None,
    step: Callable[[Any], Step] = lambda model: model,
    key: PRNGKeyArray,
) -> FlossingHarm:
    """What flossing did to a model that keeps it from learning; an empty list if all is well.

    Both models run along the same inputs. Looked for are

    - gates that are shut: a quarter of the state variables or more are kept from step to step whatever the
      input is, which were not before;
    - activity that is up: three times higher in the mean, as spiking rates become when the means of rows
      of the weights rise;
    - units that are saturated, or silent: a quarter of the state variables or more hardly respond to
      states and inputs any more, or nothing responds to them;
    - perturbations that explode: a thousand times larger at the end, and a thousand times more than before.

    Args:
        before: the model before flossing.
        after: the same model after flossing.
        state: where the trajectory starts.
        inputs: an array with time as leading axis, such as those of the task; ``None`` for a step without
            inputs, with ``num_steps``. The first third of the steps is not counted; 150 steps are enough.
        num_steps: number of steps, for a step without inputs.
        step: makes the step ``(state, input) -> state`` from the model; default the model itself.
        key: random key of perturbations and exchanged inputs.

    Returns:
        Of the first three the first that is found, and the last if it is; each a few sentences: what is
        measured, and what to do. To give it as a warning, there is ``fl.FlossingHarmWarning``. The list
        prints itself with what was measured ``before`` and ``after``.

    Raises:
        ValueError, TypeError: step, state and inputs that do not fit.
    """
    check_key("key", key)
    was, now = (_signs(model, step, state, inputs, num_steps, key) for model in (before, after))
    steps = len(jax.tree.leaves(inputs)[0]) if num_steps is None else num_steps
    counted = steps - steps // _SETTLE
    told = _shut(was, now) or _saturated(was, now) or _loud(was, now)
    texts = told, _exploded(was, now, counted)
    return FlossingHarm((text for text in texts if text is not None), was, now)


def _signs(
    model: Any, make: Callable, state: PyTree, inputs: PyTree, num_steps: int | None, key: Array
) -> Signs:
    made = make(model)
    step, state, inputs, steps = check_run(made, state, inputs, num_steps)
    observable = made.output if isinstance(made, Cell) else _numbers
    history = signs(step, state, inputs, steps, observable, key=key)
    mean = jax.tree.map(lambda x: x[steps // _SETTLE :].mean(0), history)
    squares = (mean.change, mean.response, mean.sensitivity, mean.influence)
    activity = jnp.abs(history.seen[steps // _SETTLE :]).mean()
    return Signs(*(jnp.sqrt(x) for x in squares), activity, mean.growth[0])


def _numbers(state: PyTree) -> Array:
    return flatten(state).vector


def _shut(was: Signs, now: Signs) -> str | None:
    less = now.response * _LESS < was.response
    shut = (now.change < _KEPT) & (now.change * _LESS < was.change) & less
    if jnp.mean(shut) < _MANY:
        return None
    weaker = float(jnp.median((was.response / now.response)[shut]))
    return (
        f"gates are shut: {_count(shut)} are now kept from step to step whatever the input is (an input "
        f"moves them {weaker:.3g} times less than before), so exponents near zero are worth nothing here. "
        "Start with open gates (fl.open_gates(model) before flossing, or openness=3 for a GRU or LSTM cell), "
        "or floss fewer exponents, fewer steps, or at a lower rate."
    )


def _loud(was: Signs, now: Signs) -> str | None:
    if not now.activity > _LOUD * was.activity:
        return None
    return (
        f"activity is up: its mean is {_value(now.activity)} after flossing, {_value(was.activity)} before. "
        "Units that are never negative, such as spiking ones, drive each other up when the means of the "
        "rows of their weights rise: floss them with keep_row_means=True (an attribute of the cell, or of "
        "fl.Flosser). Let gated cells start with open gates (fl.open_gates(model) before flossing). Or floss "
        "fewer steps, or at a lower rate."
    )


def _saturated(was: Signs, now: Signs) -> str | None:
    usual = jax.tree.map(jnp.median, was)

    def lost(signs: Signs) -> Array:
        deaf = signs.sensitivity * _LOST < usual.sensitivity
        deaf &= signs.response * _LOST <= usual.response
        return deaf | (signs.influence * _LOST < usual.influence)

    new = lost(now) & ~lost(was)
    if jnp.mean(new) < _MANY:
        return None
    return (
        f"units are saturated or silent: {_count(new)} hardly respond to states and inputs any more, or "
        f"nothing responds to them ({_LOST:.0f} times less than was usual before flossing). Floss fewer "
        "steps, at a lower rate, or with targets nearer to the exponents that the model starts with."
    )


def _exploded(was: Signs, now: Signs, steps: int) -> str | None:
    limit = np.log(_EXPLODED)
    grown, before = (float(signs.exponent) * steps for signs in (now, was))
    if grown <= limit or grown - before <= limit:
        return None
    return (
        f"perturbations explode: the first exponent is {_value(now.exponent)} nats per step after flossing, "
        f"{_value(was.exponent)} before, and errors grow by a factor of 10^{grown / np.log(10):.0f} over "
        f"{steps} steps. For units that are never negative, floss with keep_row_means=True; else with fewer "
        "steps, or at a lower rate."
    )


def _count(which: Array) -> str:
    return f"{int(which.sum())} of {which.size} state variables"


def _value(number: Array) -> str:
    return f"{float(number):.3g}"
