"""One training epoch of one network: its gradient, its metrics, and networks and tasks of any kind."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.tasks.task import Metric, Task, Trial
from flossing.training import Realisation, Trainer, TrainMetrics, floss_step, train_epoch
from flossing.training.streams import Stream, fold, stream
from flossing.training.trainer import begin

TIME, BATCH = 5, 3


@dataclasses.dataclass(frozen=True)
class LastInput(Task):
    """Outputs at the last step should be twice the first input; a user's own task and metrics."""

    broken: bool = False

    input_size = 2
    output_size = 1

    def sample(self, key, *, num_steps=None):
        inputs = jax.random.normal(key, (num_steps or TIME, 2))
        if self.broken:
            inputs = inputs.at[0, 0].set(jnp.nan)
        return Trial(inputs, 2 * inputs[0, :1])

    def loss(self, outputs, trial):
        return jnp.mean((outputs[:, -1] - trial.targets) ** 2)

    def metrics(self, outputs, trial):
        worst = jnp.max(jnp.abs(outputs[:, -1] - trial.targets))
        return {
            "worst": Metric(worst, higher_is_better=False, unit="cm"),
            "count": float(len(outputs)),
        }


TASK, KEY = LastInput(), jax.random.key(11)
epoch = eqx.filter_jit(train_epoch)


def network(key, cell=None):
    cell_key, network_key = jax.random.split(key)
    return fl.Network(cell or fl.TanhCell(2, 3, key=cell_key), 1, key=network_key)


def trainer(optimiser=None, task=TASK, **settings):
    return Trainer(task, optimiser or optax.sgd(0.1), batch_size=BATCH, epochs=4, **settings)


RULES = trainer()
"""Shared, so that equal networks share a program."""


def trained(net, rules=RULES, number=0) -> tuple[Realisation, TrainMetrics]:
    return epoch(begin(net, rules), KEY, jnp.asarray(number), rules)


@jax.jit
def batch(number=0):
    """The trials of an update, drawn by hand."""
    data = jax.random.fold_in(stream(KEY, Stream.DATA), number)
    trials = [TASK.sample(key) for key in jax.random.split(data, BATCH)]
    return jax.tree.map(lambda *x: jnp.stack(x), *trials)


def difference(one, other):
    one, other = (eqx.filter(tree, eqx.is_inexact_array) for tree in (one, other))
    return jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), one, other)


def norm(tree):
    return np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def plain_loss(call, trial):
    outputs = jnp.stack([call(inputs)[-1] for inputs in trial.inputs])
    return jnp.mean((outputs - trial.targets) ** 2)


@eqx.filter_jit
def loss_with_keys(net, trial, keys):
    outputs = [net(x, key=key)[-1] for x, key in zip(trial.inputs, keys, strict=True)]
    return jnp.mean((jnp.stack(outputs) - trial.targets) ** 2)


def test_an_epoch_is_the_gradient_of_the_loss_in_the_optimiser(key, x64):
    """Against finite differences along a random direction, and against Optax by hand."""
    net = network(key)
    rules = trainer(optax.sgd(1.0))
    after, metrics = trained(net, rules, number=2)
    trial = batch(2)
    loss = eqx.filter_jit(lambda net: plain_loss(net, trial))
    assert float(metrics.loss) == pytest.approx(float(loss(net)), rel=1e-12)
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)
    draws = [np.random.default_rng(i).normal(size=x.shape) for i, x in enumerate(leaves)]
    direction = structure.unflatten(draws)

    def along(size):
        moved = jax.tree.map(lambda x, d: jnp.asarray(np.asarray(x) + size * d), arrays, direction)
        return loss(eqx.combine(moved, rest))

    slope = float(along(1e-5) - along(-1e-5)) / 2e-5
    step = difference(net, after.network)
    found = sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(step), draws, strict=True))
    assert abs(slope) > 0.01
    assert float(found) == pytest.approx(slope, rel=1e-6)
    error = jax.jit(jax.grad(lambda state: plain_loss(lambda inputs: net(inputs, state), trial)))(
        net.initial_state
    )
    assert float(metrics.gradient_norm) == pytest.approx(float(norm(error)), rel=1e-9)
    outputs = np.asarray(jax.jit(jax.vmap(net))(trial.inputs))[:, -1]
    worst = np.abs(outputs - trial.targets).max()
    assert float(metrics.metrics["worst"].value) == pytest.approx(worst, rel=1e-9)
    assert metrics.metrics["worst"].unit == "cm"
    assert not metrics.metrics["worst"].higher_is_better
    assert int(metrics.metrics["count"].value) == BATCH
    assert (bool(metrics.skipped), int(metrics.floss_steps)) == (False, 0)
    assert np.isnan(metrics.watched)
    assert float(after.loss) == float(metrics.loss)


def test_the_optimiser_gets_the_loss(key):
    """A Polyak step: loss / |g|^2 times the gradient, whose length is loss / |g|."""
    net = network(key)
    after, metrics = trained(net, trainer(optax.polyak_sgd(1e6)))
    plain, _ = trained(net, trainer(optax.sgd(1.0)))
    step, gradient = (difference(net, end.network) for end in (after, plain))
    assert norm(step) == pytest.approx(float(metrics.loss) / norm(gradient), rel=1e-4)


class Plain(eqx.Module):
    """A network of a user: neither cell nor state, and a name that is no array."""

    weight: jax.Array
    name: str = "mine"

    def __call__(self, inputs):
        return jnp.cumsum(inputs @ self.weight, axis=0)


class Started(Plain):
    def __call__(self, inputs, state):
        return state["h"][None] + jnp.cumsum(inputs @ self.weight, axis=0)


class Loud(Plain):
    def __call__(self, inputs, *, key):
        return jnp.cumsum(inputs @ self.weight, axis=0) + jax.random.normal(key, (len(inputs), 1))


def test_a_network_without_a_state_has_no_gradient_norm():
    net = Plain(jnp.ones((2, 1)))
    after, metrics = trained(net)
    trial = batch()
    slope = jax.jit(jax.grad(lambda w: plain_loss(Plain(w), trial)))(net.weight)
    np.testing.assert_allclose(after.network.weight, net.weight - 0.1 * slope, rtol=1e-5)
    assert np.isnan(metrics.gradient_norm)
    assert after.network.name == "mine"


def test_a_network_with_a_state_starts_where_the_trainer_says():
    net = Started(jnp.ones((2, 1)))
    _, metrics = trained(net, trainer(state=lambda net: {"h": jnp.full(1, 0.5), "count": 3}))
    trial = batch()
    loss = lambda h: plain_loss(lambda inputs: net(inputs, {"h": h}), trial)  # noqa: E731
    value, error = jax.jit(jax.value_and_grad(loss))(jnp.full(1, 0.5))
    assert float(metrics.loss) == pytest.approx(float(value), rel=1e-5)
    assert float(metrics.gradient_norm) == pytest.approx(abs(float(error[0])), rel=1e-4)


def test_a_network_with_a_key_gets_fresh_noise_for_every_trial_and_epoch():
    net = Loud(jnp.ones((2, 1)))
    losses = set()
    for number in (0, 1):
        _, metrics = trained(net, number=number)
        noise = jax.random.split(fold(KEY, Stream.NOISE, number), BATCH)
        expected = float(loss_with_keys(net, batch(number), noise))
        assert float(metrics.loss) == pytest.approx(expected, rel=1e-5)
        losses.add(expected)
    assert len(losses) == 2


@pytest.mark.slow
def test_a_stochastic_cell_trains(key):
    cell = fl.with_escape(fl.LIFCell(2, 3, key=key), fl.escape_noise.SigmoidNoise(5.0))
    net = network(key, cell)
    _, metrics = trained(net)
    noise = jax.random.split(fold(KEY, Stream.NOISE, 0), BATCH)
    expected = float(loss_with_keys(net, batch(), noise))
    assert float(metrics.loss) == pytest.approx(expected, rel=1e-5)
    assert not bool(metrics.skipped)


@pytest.mark.parametrize(("option", "name"), [("state", "initial_state"), ("step", "cell")])
def test_a_network_that_lacks_something_is_told_what_to_give(option, name):
    message = rf"{option}: Started has no attribute {name}, .* give the trainer {option}="
    with pytest.raises(TypeError, match=message):
        getattr(trainer(), option)(Started(jnp.ones((2, 1))))


def test_a_batch_that_is_not_finite_is_skipped_and_said():
    net = Plain(jnp.ones((2, 1)))
    rules = trainer(optax.adam(0.1), task=LastInput(broken=True))
    start = begin(net, rules)
    after, metrics = epoch(start, KEY, jnp.asarray(0), rules)
    assert bool(metrics.skipped)
    assert np.isnan(metrics.loss)
    assert np.isnan(after.loss)
    for part in ("network", "optimiser"):
        assert eqx.tree_equal(getattr(after, part), getattr(start, part))


def test_complex_weights_descend():
    """|a - (1 + 2i)|^2 falls along both parts of a."""

    class Turn(eqx.Module):
        a: jax.Array

        def __call__(self, inputs):
            distance = jnp.abs(self.a - (1 + 2j))
            return distance * jnp.ones((TIME, 1))

    @dataclasses.dataclass(frozen=True)
    class Small(LastInput):
        def loss(self, outputs, trial):
            return jnp.mean(outputs**2)

    after, _ = trained(Turn(jnp.zeros((), jnp.complex64)), trainer(optax.sgd(0.25), task=Small()))
    np.testing.assert_allclose(after.network.a, 0.5 + 1j, rtol=1e-5)


@pytest.mark.slow
def test_a_flossing_step_is_an_update_of_the_flosser_with_a_stream_of_its_own(key):
    net = network(key)
    schedule = fl.Before(num_exponents=2, window=5, warmup=2, state_warmup=1)
    rules = trainer(schedule=schedule)
    after, metrics = floss_step(begin(net, rules), KEY, 3, rules)
    flosser = schedule.flosser(lambda net: net.cell)
    step_key = jax.random.fold_in(jax.random.fold_in(KEY, int(Stream.FLOSS)), 3)
    expected, _, info = flosser.update(
        net,
        flosser.init(net),
        lambda key: net.initial_state,
        lambda key: TASK.sample_inputs(key, flosser.num_steps),
        key=step_key,
    )
    np.testing.assert_allclose(metrics.exponents, info.exponents, rtol=1e-5)
    np.testing.assert_allclose(
        after.network.cell.recurrent_weight, expected.cell.recurrent_weight, rtol=1e-5
    )


def test_without_a_schedule_nothing_flosses():
    with pytest.raises(ValueError, match="schedule: the trainer has none, so nothing flosses"):
        floss_step(begin(Plain(jnp.ones((2, 1))), RULES), KEY, 0, RULES)
