"""Adaptive flossing of one network between two training epochs."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ..floss import Flossing
from ..lyapunov import lyapunov_spectrum
from ..lyapunov._steps import dimension, precision
from ..surrogates import Surrogate
from ..tasks.bits import Parity
from .configuration import Training
from .network import Network
from .updates import FlossMetrics, flossing_update


class Adaptation(NamedTuple):
    """What was seen and done before an epoch."""

    floss_steps: Int[Array, "*epochs realisations"]
    watched: Float[Array, "*epochs realisations"]
    """The first exponent as it was found, nats per step; NaN when nobody looked."""


class Order(NamedTuple):
    """One flossing step without a look, instead of what the rules say."""

    given: Bool[Array, ""]
    key: PRNGKeyArray
    """Of that step."""


def adapt(
    network: Network,
    flosser: PyTree,
    loss: Float[Array, ""],
    key: PRNGKeyArray,
    task: Parity,
    training: Training,
    flossing: Flossing,
    order: Order | None = None,
) -> tuple[Network, PyTree, Adaptation, FlossMetrics]:
    """Looks at the leading exponents, and moves them as long as they are where they must not be.

    Args:
        network: one network.
        flosser: the state of flossing's optimiser.
        loss: its training loss, averaged over some epochs.
        key: random key of the inputs and bases.
        task, training, flossing: as for ``flossing_update``; ``flossing.adaptive`` has the rules.
        order: a step that is taken without looking, where that is given; only with
            ``control="parameters"``. The same compiled program then serves the steps before training.

    Also returns the metrics of the last flossing step, or zeros.
    """
    rules = flossing.adaptive
    look_key, floss_key = jax.random.split(key)
    watched = min(rules.watched, flossing.num_exponents, dimension(network.initial_state))
    goals = jnp.asarray(flossing.targets)[:watched] + rules.centre / task.horizon
    width = rules.band / task.horizon

    def settled(exponents: Array) -> Array:
        return jnp.max(jnp.abs(exponents[:watched] - goals)) <= rules.settle * width

    def look(network: Network) -> Array:
        return _look(network, look_key, task, flossing, watched)

    nothing = blank_metrics(network, flossing)
    if order is None:
        ordered, found = jnp.asarray(False), look(network)
    else:
        ordered = order.given
        found = jax.lax.cond(ordered, lambda: jnp.zeros_like(goals), lambda: look(network))
    above = ~jnp.all(found - goals <= width)  # true for NaN, too
    below = found[0] - goals[0] < -width
    learned = loss <= rules.learned * task.chance_loss
    if rules.control == "parameters":
        below &= ~learned

    def floss(network: Network, flosser: PyTree, done: Array, seen: Array) -> tuple:
        step_key = jax.random.fold_in(floss_key, done)
        if order is not None:
            step_key = jax.lax.select(ordered, order.key, step_key)
        network, flosser, metrics = flossing_update(
            network, flosser, step_key, task, training, flossing
        )
        return network, flosser, metrics.exponents[:watched], metrics

    def scale(network: Network, flosser: PyTree, done: Array, seen: Array) -> tuple:
        miss = rules.response * (goals[0] - seen[0])
        change = jnp.nan_to_num(miss, nan=-1, posinf=1, neginf=-1)
        network = _scale_surrogates(network, jnp.exp(jnp.clip(change, -1, 1)))
        return network, flosser, look(network), nothing

    act = floss if rules.control == "parameters" else scale
    arrays, rest = eqx.partition((network, flosser), eqx.is_array)

    def step(carry: tuple) -> tuple:
        arrays, done, seen, _ = carry
        network, flosser, seen, metrics = act(*eqx.combine(arrays, rest), done, seen)
        return eqx.filter((network, flosser), eqx.is_array), done + 1, seen, metrics

    def go_on(carry: tuple) -> Array:
        _, done, seen, _ = carry
        more = ~settled(seen) & (done < rules.max_steps) & ~ordered
        return jnp.where(done == 0, above | below | ordered, more)

    start = arrays, jnp.asarray(0), found, nothing
    arrays, done, _, metrics = jax.lax.while_loop(go_on, step, start)
    if rules.control == "both":
        go = ~learned

        def once(arrays: PyTree) -> PyTree:
            network, flosser, *_ = floss(*eqx.combine(arrays, rest), done, found)
            return eqx.filter((network, flosser), eqx.is_array)

        arrays = jax.lax.cond(go, once, lambda arrays: arrays, arrays)
        done += go
    network, flosser = eqx.combine(arrays, rest)
    return network, flosser, Adaptation(done, found[0]), metrics


def blank_metrics(network: Network, flossing: Flossing) -> FlossMetrics:
    """Those of a flossing step that was not taken."""
    zero = jnp.zeros((), precision(network.initial_state))
    k = min(flossing.num_exponents, dimension(network.initial_state))
    return FlossMetrics(zero, jnp.zeros(k, zero.dtype), jnp.asarray(False))


def _scale_surrogates(network: Network, factor: Float[Array, "*networks"]) -> Network:
    """The same activity, with surrogate derivatives ``factor`` times as high."""
    return jax.tree.map(
        lambda part: part.scaled(factor) if isinstance(part, Surrogate) else part,
        network,
        is_leaf=lambda part: isinstance(part, Surrogate),
    )


def free_surrogates(networks: Network) -> Network:
    """Stacked networks whose surrogates have heights of their own, for ``control="surrogate"``.

    Raises:
        ValueError: the networks have no surrogates.
    """
    if not _has_surrogates(networks):
        raise ValueError(
            'flossing.adaptive.control: "surrogate" needs a network with surrogate derivatives (binary, '
            f"lif), got {type(networks.cell).__name__}."
        )
    return _scale_surrogates(networks, jnp.ones_like(networks.readout_bias[..., 0]))


def _has_surrogates(network: Network) -> bool:
    parts = jax.tree.leaves(network, is_leaf=lambda part: isinstance(part, Surrogate))
    return any(isinstance(part, Surrogate) for part in parts)


def _look(
    network: Network, key: PRNGKeyArray, task: Parity, flossing: Flossing, watched: int
) -> Float[Array, " watched"]:
    """The leading exponents on trajectories that nothing has been fitted to."""

    def one(key: Array) -> Array:
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            network.cell,
            network.initial_state,
            task.sample_inputs(input_key, flossing.steps),
            num_exponents=watched,
            state_warmup=flossing.state_warmup,
            warmup=flossing.warmup,
            num_windows=1,
            key=basis_key,
        ).exponents

    starts = flossing.adaptive.look_starts or flossing.starts
    return jax.vmap(one)(jax.random.split(key, starts)).mean(0)
