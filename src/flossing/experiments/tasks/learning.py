"""One cell of the table: a method trains networks on a task, at the learning rate that suits it best."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Key, PyTree

from ...floss import Before, Schedule
from ...optimisers import clip_by_array_norm
from ...runs import RunConfig
from ...tasks import Metric, Task
from ...training import Trainer, TrainState, begin, evaluate, floss_block, train_block
from ..lab.experiment import Report
from ..lab.gains import starting_at
from . import errors
from .methods import BATCH_SIZE, Method

RATES = (3e-4, 1e-3, 3e-3)
"""Learning rates among which each method has its choice."""
TUNING = 2
"""Networks that choose the rate; they are no part of the result."""
POINTS = 40
"""Of a learning curve."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, and for how long."""

    task: Task
    method: Method
    epochs: int
    networks: int
    rates: tuple[float, ...] = RATES
    seed: int = 1

    @property
    def block(self) -> int:
        """Epochs between two points of the learning curve."""
        return max(1, self.epochs // POINTS)

    @property
    def tuning(self) -> int:
        """Networks that choose the rate; none where there is no choice."""
        return TUNING if len(self.rates) > 1 else 0


def learn(setup: Setup, report: Report) -> xr.Dataset:
    """Flosses, chooses the learning rate, trains.

    Skill is 1 for perfect outputs and 0 for the best ones that know nothing of the inputs: the share of
    the way from chance to 1 of an accuracy, or that from chance to 0 of an error; less than 0 counts as 0.
    Time is that of the processor, without compilation.

    Returns:
        By ``network``: ``test_skill``, on held-out trials. By ``epoch`` (how many are done) and ``network``:
        ``skill``, mean over the trials of the updates since the point before; ``gradient``, the median of
        log10 of the norm of the gradient with respect to the initial state. By ``rate`` and ``tuning``:
        ``tuning_skill`` at the end of training, NaN where there is no choice. ``learning_rate``;
        ``seconds_before``, of flossing before training, and ``seconds_per_epoch``, for one network.
    """
    ready, keys, before = _flossed(setup)
    tuning = np.full((len(setup.rates), TUNING), np.nan)
    if setup.tuning:
        tune = [i for _ in setup.rates for i in range(TUNING)]
        rates = np.repeat(setup.rates, TUNING)
        report(f"learning rates {min(setup.rates):g} to {max(setup.rates):g}")
        tried = _trained(setup, _some(ready, tune), keys[np.array(tune)], rates)
        tenth = max(1, len(tried.skill) // 10)
        tuning = tried.skill[-tenth:].mean(0).reshape(len(setup.rates), TUNING)
    best = int(np.argmax(np.nan_to_num(tuning).mean(1)))
    report(f"training at {setup.rates[best]:g}")
    chosen = np.arange(setup.tuning, setup.tuning + setup.networks)
    rates = np.full(setup.networks, setup.rates[best])
    trained = _trained(setup, _some(ready, chosen), keys[chosen], rates)
    tested = evaluate(trained.networks, keys[chosen], _trainer(setup, None), 512)
    return xr.Dataset(
        {
            "test_skill": ("network", skill(_first(tested.metrics))),
            "skill": (("epoch", "network"), trained.skill),
            "gradient": (("epoch", "network"), trained.gradient),
            "tuning_skill": (("rate", "tuning"), tuning),
            "learning_rate": setup.rates[best],
            "seconds_before": before,
            "seconds_per_epoch": trained.seconds_per_epoch,
        },
        {"epoch": setup.block * np.arange(1, len(trained.skill) + 1), "rate": list(setup.rates)},
    )


def skill(metric: Metric) -> np.ndarray:
    """A metric as the share of the way from chance to perfection, at least 0."""
    value, chance = np.asarray(metric.value, float), metric.chance
    assert chance is not None
    share = (value - chance) / (1 - chance) if metric.higher_is_better else 1 - value / chance
    return np.nan_to_num(np.maximum(share, 0), nan=0.0)


def _first(metrics: dict[str, Metric]) -> Metric:
    return next(iter(metrics.values()))


@functools.cache  # the same settings are the same object, and so the same compiled program
def _optimiser(clip: bool) -> optax.GradientTransformation:
    """Adam, whose rate is a part of its state, so that networks with different rates share a program."""
    first = clip_by_array_norm(0.03) if clip else optax.identity()
    rate = optax.inject_hyperparams(optax.scale)(step_size=-RATES[0])
    return optax.chain(first, optax.scale_by_adam(), rate)


def _trainer(setup: Setup, schedule: Schedule | None) -> Trainer:
    optimiser = _optimiser(setup.method.clip)
    return Trainer(setup.task.loaded(), optimiser, schedule, 1, BATCH_SIZE)


def _while_training(schedule: Schedule | None) -> Schedule | None:
    """What of a schedule acts beside training: nothing, if it flosses before. Then programs are shared."""
    return None if type(schedule) is Before else schedule


def _flossed(setup: Setup) -> tuple[TrainState, Key[Array, " network"], float]:
    """All networks before their training, their keys, and the seconds that flossing took for each."""
    method, count = setup.method, TUNING + setup.networks
    trainer = _trainer(setup, method.schedule)
    config = RunConfig(
        task=setup.task,
        cell=method.cell,
        schedule=method.schedule,
        realisations=count,
        seed=setup.seed,
    )
    keys, networks = config.keys(), config.networks()
    # Without a choice, the networks that would make it are left out; those that count are the same.
    left_out = TUNING - setup.tuning
    keys, count = keys[left_out:], count - left_out
    networks = jax.tree.map(lambda x: x[left_out:] if eqx.is_array(x) else x, networks)
    if method.first_exponent is not None:
        networks = _mapped(lambda n, key: _tuned(n, method, trainer.task, key), networks, keys)
    state, seconds = begin(networks, trainer), 0.0
    steps = getattr(method.schedule, "steps_before", 0)
    if steps:
        floss_block(state, keys, 0, steps, trainer)  # compiles
        (state, _), seconds = _timed(lambda: floss_block(state, keys, steps, steps, trainer))
    elif method.error_directions is not None:
        window = errors.Window(
            method.error_directions, min(max(trainer.task.horizon or 0, 50), 100)
        )

        def floss(network: Any, key: Array) -> Any:
            return errors.floss_errors(network, trainer.task, window, 200, key=key)[0]

        program = eqx.filter_jit(lambda networks, keys: _mapped(floss, networks, keys))
        program(networks, keys)
        networks, seconds = _timed(lambda: program(networks, keys))
        state = begin(networks, trainer)
    if type(method.schedule) is Before:
        state = begin(state.networks, _trainer(setup, None))
    return state, keys, seconds / count


def _tuned(network: Any, method: Method, task: Task, key: Array) -> Any:
    """The network with the gain of its recurrent weights that gives it the wanted first exponent."""
    assert method.first_exponent is not None
    cell = starting_at(
        method.first_exponent, network.cell, task, lambda c: network.initial_state, key=key
    )
    return eqx.tree_at(lambda n: n.cell, network, cell)


def _mapped(change: Callable, networks: PyTree, keys: Array) -> PyTree:
    """``change(network, key)`` of networks along the leading axis, one after the other."""
    arrays, rest = eqx.partition(networks, eqx.is_array)

    def of_network(given: tuple) -> PyTree:
        return eqx.filter(change(eqx.combine(given[0], rest), given[1]), eqx.is_array)

    return eqx.combine(jax.lax.map(of_network, (arrays, keys)), rest)


def _some(state: TrainState, chosen: Any) -> TrainState:
    """Some of the realisations, perhaps more than once."""
    index = jnp.asarray(chosen)
    picked = jax.tree.map(lambda x: x[index] if eqx.is_array(x) else x, state.realisations)
    return eqx.tree_at(lambda s: s.realisations, state, picked)


class _Trained(NamedTuple):
    networks: Any
    skill: np.ndarray
    gradient: np.ndarray
    seconds_per_epoch: float


def _trained(setup: Setup, state: TrainState, keys: Array, rates: np.ndarray) -> _Trained:
    """Networks after training, each at its rate, and what was seen on the way."""
    trainer = _trainer(setup, _while_training(setup.method.schedule))
    block, seconds = setup.block, []
    step_size = jnp.asarray(-rates, jnp.float32)
    state = eqx.tree_at(
        lambda s: s.realisations.optimiser[-1].hyperparams["step_size"], state, step_size
    )
    train_block(state, keys, 0, block, trainer)  # compiles
    skills, gradients = [], []
    for _ in range(setup.epochs // block):
        (state, seen), took = _timed(lambda s=state: train_block(s, keys, block, block, trainer))
        seconds.append(took)
        skills.append(skill(_first(seen.metrics)).mean(0))
        with np.errstate(divide="ignore"):
            gradients.append(np.median(np.log10(np.asarray(seen.gradient_norm)), 0))
    each = float(np.median(seconds)) / (block * len(keys))
    return _Trained(state.networks, np.array(skills), np.array(gradients), each)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the processor's seconds that it takes."""
    start = time.process_time()
    outcome = jax.block_until_ready(work())
    return outcome, time.process_time() - start
