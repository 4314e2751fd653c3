"""A task from data of one's own: inputs, targets, and which examples are kept for validation and test."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from numpy.typing import ArrayLike

from .._checks import as_indices, as_numbers, check_integer, check_key, check_shape
from ._answers import Answers, check_every_class, recognise, stored
from ._parts import deal_out
from .task import Metric, Task, Trial, as_metrics, refuse_other_length

_LARGEST = 4 * 2**30
"""Bytes that inputs of the examples of one call may take."""


class Arrays(Task, eqx.Module):
    """A data set as a task: classification or regression, at the end of a trial or at every step.

    The targets say which:

    - integers of shape (example,): classes, asked for once per trial; cross-entropy and accuracy;
    - integers of shape (example, time): classes at every step;
    - floats of shape (example, output): numbers, asked for once per trial; mean squared error;
    - floats of shape (example, time, output): numbers at every step.

    Updates go through the training part in passes. Each pass has an order of its own and shows no example
    twice; if the size of a batch does not divide the number of examples, the last ones of an order are left
    out. A batch is a function of key and number alone. Calculations are in the default precision of JAX.

    Args:
        inputs: shape (example, time, input), or an object with a length whose ``[i]`` is the input of example
            i, shape (time, input), for an ``i`` that may be traced, such as ``fl.tasks.Events``.
        targets: see above.
        mask: shape (example, time), true for steps that count, at least one per example: those that are
            scored or, with one answer per trial, those that the answer is read from. By default all.
        readout: for one answer per trial: the output of the ``"last"`` step (the default), or the
            ``"mean"`` or ``"max"`` over time.
        loss: your own, from ``(outputs, trial)`` of a batch to a scalar. Targets are then anything with the
            example as leading axis (also a pytree), and have no metrics but yours.
        metrics: your own, from ``(outputs, trial)`` of a batch to a dictionary of ``fl.tasks.Metric`` or
            scalars; they come before those above.
        output_size: number of outputs; needed with ``loss``. Else it follows from the targets, for classes
            as the largest label plus 1.
        validation: fraction of all examples, or their numbers.
        test: likewise; all others are for training.
        key: for the random choice of examples for validation and test; default ``jax.random.key(0)``.
        horizon: the longest time that has to be bridged, in steps, if you know it.

    Raises:
        ValueError, TypeError: inputs, targets or mask that do not fit each other, numbers that are not
            finite, a class without an example or without one for training, or parts that overlap.
    """

    inputs: PyTree
    targets: PyTree
    mask: Array | None
    train: Int[Array, " example"]
    """Numbers of the examples for training."""
    validation: Int[Array, " example"]
    """Numbers of the examples for validation."""
    test: Int[Array, " example"]
    """Numbers of the examples for the test."""
    num_steps: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    horizon: int | None = eqx.field(static=True)
    _answers: Answers | None = eqx.field(static=True)
    _loss: Callable | None = eqx.field(static=True)
    _metrics: Callable | None = eqx.field(static=True)

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        *,
        mask: ArrayLike | None = None,
        readout: str | None = None,
        loss: Callable[[PyTree, Trial], Any] | None = None,
        metrics: Callable[[PyTree, Trial], dict[str, Any]] | None = None,
        output_size: int | None = None,
        validation: float | ArrayLike = 0.1,
        test: float | ArrayLike = 0.1,
        key: PRNGKeyArray | None = None,
        horizon: int | None = None,
    ):
        self.inputs = _inputs(inputs)
        example = jax.eval_shape(lambda i: self.inputs[i], jax.ShapeDtypeStruct((), jnp.int32))
        self.num_steps, self.input_size = example.shape
        shape = len(self.inputs), self.num_steps
        known = None if mask is None else _mask(mask, shape)
        self.mask = None if known is None else jnp.asarray(known)
        if output_size is not None:
            output_size = check_integer("output_size", output_size, 1)
        key = jax.random.key(0) if key is None else key
        check_key("key", key)
        parts = deal_out(shape[0], validation, test, key)
        self.train, self.validation, self.test = (
            jnp.asarray(part, jnp.int32) for part in parts.values()
        )
        self.horizon = None if horizon is None else check_integer("horizon", horizon, 1)
        self._loss, self._metrics = loss, metrics
        if loss is not None:
            self._answers = None
            self.output_size = _refuse_readout(readout, output_size)
            self.targets = _any_targets(targets, shape[0])
            return
        array, self._answers, self.output_size = recognise(
            targets, known, shape=shape, readout=readout, output_size=output_size
        )
        if self._answers.labels:
            check_every_class(array, known, parts["train"])
        self.targets = stored(array)

    @property
    def chance_loss(self) -> float | None:
        """The loss of the best outputs that know the targets of all examples, but not the inputs."""
        return None if self._answers is None else self._answers.chance_loss

    def examples(self, indices: ArrayLike) -> Trial:
        """These examples as trials, along the leading axis.

        Args:
            indices: numbers of examples, shape (example,).

        Raises:
            ValueError: numbers that no example has, or inputs that would take more than 4 GiB.
        """
        chosen = as_indices("indices", indices, len(self.inputs))
        check_shape("indices", chosen, (chosen.size,))
        floats = jnp.result_type(float)
        size = chosen.size * self.num_steps * self.input_size * floats.itemsize
        if size > _LARGEST:
            raise ValueError(
                f"indices: {chosen.size} examples of {self.num_steps} steps and {self.input_size} inputs "
                f"take {size / 2**30:.1f} GiB, more than {_LARGEST / 2**30:g}; take fewer at once."
            )

        def trial_of(index: Array) -> Trial:
            mask = None if self.mask is None else self.mask[index]
            target = jax.tree.map(lambda x: x[index], self.targets)
            return Trial(self.inputs[index].astype(floats), target, mask)

        return jax.vmap(trial_of)(chosen)

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """A random example of the training part."""
        check_key("key", key)
        refuse_other_length(num_steps, self.num_steps)
        index = jax.random.choice(key, self.train)
        return jax.tree.map(lambda x: x[0], self.examples(index[None]))

    def batch(self, key: PRNGKeyArray, number: Array | int, size: int) -> Trial:
        """The examples of the ``number``-th update; see the class for their order.

        Raises:
            ValueError: ``size`` is more than the examples of the training part.
        """
        check_key("key", key)
        size = check_integer("size", size, 1, len(self.train))
        per_pass = len(self.train) // size
        order = jax.random.permutation(jax.random.fold_in(key, number // per_pass), self.train)
        first = number % per_pass * size
        return self.examples(jax.lax.dynamic_slice(order, (first,), (size,)))

    def held_out(self, key: PRNGKeyArray, count: int) -> Trial:
        """The whole test part in a fixed order; if ``count`` is smaller, so many of it, chosen by the key.

        Raises:
            ValueError: there is no test part.
        """
        check_key("key", key)
        count = check_integer("count", count, 1)
        if not len(self.test):
            raise ValueError("test: no examples were kept for a test; give Arrays a test part.")
        if count >= len(self.test):
            return self.examples(self.test)
        return self.examples(jax.random.permutation(key, self.test)[:count])

    def loss(self, outputs: PyTree, trial: Trial) -> Float[Array, ""]:
        """Your own loss, or cross-entropy in nats, or mean squared error."""
        if self._answers is None:
            return jnp.asarray(self._loss(outputs, trial))  # type: ignore[misc]
        return self._answers.loss(outputs, trial)

    def metrics(self, outputs: PyTree, trial: Trial) -> dict[str, Metric]:
        """Your own metrics, then accuracy or mean squared error."""
        own = {} if self._metrics is None else as_metrics(self._metrics(outputs, trial))
        usual = {} if self._answers is None else self._answers.metrics(outputs, trial)
        return own | {name: value for name, value in usual.items() if name not in own}

    def describe(self) -> str:
        """A few words for titles."""
        return f"{len(self.inputs)} examples of {self.num_steps} steps"


def _inputs(inputs: Any) -> Any:
    """Inputs as they are kept: an array, or an object that gives one example at a time."""
    if not isinstance(inputs, list | tuple | np.ndarray | jax.Array):
        if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
            return inputs
        raise TypeError(
            "inputs: expected an array of shape (example, time, input) or an object with a length and [i], "
            f"got {type(inputs).__name__}."
        )
    if isinstance(inputs, list | tuple) and any(isinstance(x, tuple) for x in inputs):
        raise TypeError(
            "inputs: got pairs; lists of times and units become inputs by "
            "fl.tasks.Events(recordings, num_units=..., num_steps=..., time_step=...)."
        )
    array = np.asarray(as_numbers("inputs", inputs))
    if array.ndim != 3 or 0 in array.shape:
        more = " With one input per step, write inputs[:, :, None]." if array.ndim == 2 else ""
        raise ValueError(
            f"inputs: expected shape (example, time, input) without an empty axis, got {array.shape}.{more}"
        )
    kept = stored(array)
    if not jnp.isfinite(kept).all():
        raise ValueError("inputs: expected finite numbers, got NaN or infinite ones.")
    return kept


def _mask(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    array = np.asarray(as_numbers("mask", mask))
    check_shape("mask", array, shape)
    counts = array.astype(float) != 0
    empty = np.flatnonzero(~counts.any(1))
    if empty.size:
        raise ValueError(f"mask: no step of example {empty[0]} counts.")
    return counts


def _refuse_readout(readout: str | None, output_size: int | None) -> int:
    """The number of outputs, which a loss of one's own needs; it reads them itself."""
    if readout is not None:
        raise ValueError(f"readout: {readout!r} is for our losses; yours gets all outputs.")
    if output_size is None:
        raise ValueError("output_size: a loss of your own needs the number of outputs.")
    return output_size


def _any_targets(targets: PyTree, count: int) -> PyTree:
    kept = jax.tree.map(lambda x: jnp.asarray(np.asarray(as_numbers("targets", x))), targets)
    for leaf in jax.tree.leaves(kept):
        if leaf.ndim < 1 or len(leaf) != count:
            raise ValueError(
                f"targets: expected {count} examples along the leading axis, got shape {leaf.shape}."
            )
        if not jnp.isfinite(leaf).all():
            raise ValueError("targets: expected finite numbers, got NaN or infinite ones.")
    return kept
