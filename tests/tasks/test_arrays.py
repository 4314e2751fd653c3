"""Data of one's own: what the targets mean, which examples an update shows, and what does not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from flossing.tasks import Arrays, Metric

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(30, 6, 2))
LABELS = np.arange(30) % 3
OUTPUTS = RNG.normal(size=(5, 6, 3))
READ = {"last": OUTPUTS[:, -1], "mean": OUTPUTS.mean(1), "max": OUTPUTS.max(1)}


def numbered(count, **options):
    """A task whose examples can be told apart: all inputs and targets of example i are i."""
    inputs = np.broadcast_to(np.arange(count)[:, None, None], (count, 4, 2))
    return Arrays(inputs, np.arange(count)[:, None].astype(float), **options)


def shown(trial):
    return np.asarray(trial.targets)[:, 0].astype(int).tolist()


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


# Which examples an update shows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "size", "seed"), [(5, 1, 0), (17, 4, 1), (40, 32, 2), (40, 8, 3)]
)
def test_a_pass_shows_no_example_twice_and_leaves_out_less_than_a_batch(count, size, seed):
    task = numbered(count, validation=0.1, test=0.1)
    key, per_pass = jax.random.key(seed), len(task.train) // size
    orders, batch = [], jax.jit(jax.vmap(lambda n: task.batch(key, n, size)))
    for first in (0, per_pass):
        batches = batch(first + np.arange(per_pass))
        seen = np.asarray(batches.targets).ravel().astype(int).tolist()
        assert len(set(seen)) == len(seen) == per_pass * size > len(task.train) - size
        assert set(seen) <= set(task.train.tolist())
        np.testing.assert_array_equal(np.asarray(batches.inputs)[..., 0, 0].ravel(), seen)
        orders.append(seen)
    assert orders[0] != orders[1]


def test_an_update_is_a_function_of_key_and_number_compiled_or_not(key):
    task = numbered(30)

    @eqx.filter_jit
    def compiled(task, key, number):
        return task.batch(key, number, 5)

    for number in (0, 3, 11):
        expected = shown(task.batch(key, number, 5))
        assert shown(compiled(task, key, jnp.asarray(number))) == expected
        assert expected != shown(task.batch(jax.random.key(1), number, 5))


def test_realisations_have_orders_of_their_own(key):
    task = numbered(40)
    keys = jax.random.split(key, 3)
    together = np.asarray(jax.jit(jax.vmap(lambda k: task.batch(k, 2, 8).targets))(keys))
    for i in range(3):
        np.testing.assert_array_equal(together[i], task.batch(keys[i], 2, 8).targets)


def test_data_are_arguments_of_compiled_programs():
    """Other numbers of the same shapes need no other program."""
    compiled = []

    @eqx.filter_jit
    def total(task):
        compiled.append(1)
        return task.examples(jnp.arange(30)).inputs.sum()

    for scale in (1.0, 2.0):
        task = Arrays(scale * INPUTS, INPUTS[:, 0] * 0)
        np.testing.assert_allclose(total(task), scale * INPUTS.sum(), rtol=1e-4)
    assert compiled == [1]


@pytest.mark.slow
def test_a_sample_is_a_random_example_of_the_training_part(key):
    task = numbered(10, validation=0.2, test=0.3)
    trials = jax.jit(jax.vmap(task.sample))(jax.random.split(key, 200))
    assert set(shown(trials)) == set(task.train.tolist())
    assert trials.inputs.shape == (200, 4, 2)
    stream = np.asarray(task.sample_inputs(key, 10))
    assert stream.shape == (10, 2)
    assert set(stream[:, 0].astype(int).tolist()) <= set(task.train.tolist())


def test_held_out_is_the_whole_test_part_or_as_much_of_it_as_asked_for(key):
    task = numbered(40, test=0.25)
    assert shown(task.held_out(key, 10)) == shown(task.held_out(key, 999)) == task.test.tolist()
    few = shown(task.held_out(key, 4))
    assert len(set(few)) == 4
    assert set(few) < set(task.test.tolist())
    assert few != shown(task.held_out(jax.random.key(5), 4))


# Parts


@given(
    count=st.sampled_from([5, 12, 50]),
    validation=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
    seed=st.integers(0, 5),
)
@settings(max_examples=30, deadline=None)
def test_parts_have_their_sizes_and_share_nothing(count, validation, test, seed):
    task = numbered(count, validation=validation, test=test, key=jax.random.key(seed))
    assert [len(task.validation), len(task.test)] == [
        round(validation * count),
        round(test * count),
    ]
    together = np.concatenate([task.train, task.validation, task.test])
    assert sorted(together.tolist()) == list(range(count))


def test_parts_may_be_listed(key):
    task = numbered(8, validation=[1, 2], test=np.array([7, 0], np.uint8))
    assert sorted(task.train.tolist()) == [3, 4, 5, 6]
    assert shown(task.examples(task.validation)) == [1, 2]
    assert shown(task.held_out(key, 2)) == [7, 0]
    mixed = numbered(20, validation=0.2, test=[4, 9])
    assert len(mixed.validation) == 4
    assert not set(mixed.validation.tolist()) & {4, 9}


def test_the_same_key_gives_the_same_parts_and_none_means_the_first_key():
    assert numbered(30).test.tolist() == numbered(30, key=jax.random.key(0)).test.tolist()
    assert numbered(30).test.tolist() != numbered(30, key=jax.random.key(1)).test.tolist()


@pytest.mark.parametrize("readout", [None, "last", "mean", "max"])
def test_one_label_per_trial(readout):
    task = Arrays(INPUTS, LABELS, readout=readout)
    assert (task.output_size, task.input_size, task.num_steps) == (3, 2, 6)
    trial = task.examples(np.arange(5))
    logits = READ[readout or "last"]
    expected = -log_softmax(logits)[np.arange(5), LABELS[:5]].mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(OUTPUTS), trial), expected, rtol=1e-5)
    metric = task.metrics(jnp.asarray(OUTPUTS), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, (logits.argmax(1) == LABELS[:5]).mean(), rtol=1e-6)
    assert metric.chance == pytest.approx(1 / 3, rel=1e-12)
    assert task.chance_loss == pytest.approx(np.log(3), rel=1e-12)


def test_chance_of_labels_is_the_most_frequent_class():
    labels = np.array([0] * 20 + [1] * 10)
    task = Arrays(INPUTS, labels)
    trial = task.examples([0])
    assert task.metrics(jnp.zeros((1, 6, 2)), trial)["accuracy"].chance == pytest.approx(2 / 3)
    assert task.chance_loss == pytest.approx(-(2 * np.log(2 / 3) + np.log(1 / 3)) / 3)


def test_a_label_at_every_step_with_a_mask():
    labels = RNG.integers(0, 3, (30, 6))
    mask = RNG.random((30, 6)) < 0.6
    mask[:, 2] = True
    task = Arrays(INPUTS, labels, mask=mask)
    trial = task.examples(np.arange(5))
    losses = -np.take_along_axis(log_softmax(OUTPUTS), labels[:5, :, None], 2)[..., 0]
    expected = losses[mask[:5]].mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(OUTPUTS), trial), expected, rtol=1e-5)
    right = (OUTPUTS.argmax(2) == labels[:5])[mask[:5]].mean()
    metric = task.metrics(jnp.asarray(OUTPUTS), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, right, rtol=1e-6)
    best = [max(((labels[:, t] == c) & mask[:, t]).sum() for c in range(3)) for t in range(6)]
    assert metric.chance == pytest.approx(sum(best) / mask.sum(), rel=1e-12)


def test_numbers_once_per_trial_and_at_every_step():
    once, always = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 6, 3))
    for targets, read, spread in (
        (once, OUTPUTS[:, -1], np.square(once - once.mean(0)).mean()),
        (always, OUTPUTS, np.square(always - always.mean(0)).mean()),
    ):
        task = Arrays(INPUTS, targets)
        trial = task.examples(np.arange(5))
        expected = np.square(read - targets[:5]).mean()
        np.testing.assert_allclose(task.loss(jnp.asarray(OUTPUTS), trial), expected, rtol=1e-5)
        metric = task.metrics(jnp.asarray(OUTPUTS), trial)["error"]
        np.testing.assert_allclose(metric.value, expected, rtol=1e-5)
        assert metric.chance == task.chance_loss == pytest.approx(spread, rel=1e-9)
        assert not metric.higher_is_better


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_trials_of_different_lengths_are_read_where_the_mask_is_true(readout):
    lengths = RNG.integers(1, 7, 30)
    mask = np.arange(6) < lengths[:, None]
    task = Arrays(INPUTS, LABELS, mask=mask, readout=readout)
    how = {"last": lambda x: x[-1], "mean": lambda x: x.mean(0), "max": lambda x: x.max(0)}[readout]
    logits = np.stack([how(OUTPUTS[i, : lengths[i]]) for i in range(5)])
    expected = -log_softmax(logits)[np.arange(5), LABELS[:5]].mean()
    trial = task.examples(np.arange(5))
    np.testing.assert_allclose(task.loss(jnp.asarray(OUTPUTS), trial), expected, rtol=1e-5)


def test_a_loss_of_ones_own_takes_any_targets(key):
    targets = {"angle": RNG.normal(size=30), "kind": LABELS}

    def loss(outputs, trial):
        return jnp.abs(outputs[:, -1, 0] - trial.targets["angle"]).mean()

    def metrics(outputs, trial):
        return {"largest": outputs.max(), "late": Metric(outputs.min(), higher_is_better=False)}

    task = Arrays(INPUTS, targets, loss=loss, metrics=metrics, output_size=3)
    trial = task.examples(np.arange(5))
    outputs = jnp.asarray(OUTPUTS)
    expected = np.abs(OUTPUTS[:, -1, 0] - targets["angle"][:5]).mean()
    np.testing.assert_allclose(
        eqx.filter_jit(lambda t: t.loss(outputs, trial))(task), expected, 1e-5
    )
    found = task.metrics(outputs, trial)
    assert list(found) == ["largest", "late"]
    assert float(found["largest"].value) == pytest.approx(OUTPUTS.max(), rel=1e-6)
    assert (task.chance_loss, task.output_size) == (None, 3)
    assert task.batch(key, 0, 4).targets["kind"].shape == (4,)


def test_metrics_of_ones_own_come_first():
    def metrics(outputs, trial):
        return {"confidence": jax.nn.softmax(outputs[:, -1]).max(-1).mean()}

    task = Arrays(INPUTS, LABELS, metrics=metrics)
    found = task.metrics(jnp.asarray(OUTPUTS), task.examples(np.arange(5)))
    assert list(found) == ["confidence", "accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int64", "float16", "float32", "float64", "lists"]
)
def test_inputs_of_every_dtype_become_single_precision(dtype, key, untyped):
    values = RNG.integers(0, 2, (12, 3, 2))
    given = values.tolist() if dtype == "lists" else values.astype(dtype)
    task = Arrays(given, np.zeros((12, 1)))
    trial = task.examples(np.arange(12))
    assert trial.inputs.dtype == trial.targets.dtype == jnp.float32
    np.testing.assert_array_equal(trial.inputs, values)


def test_large_integers_do_not_wrap(untyped):
    values = np.full((4, 1, 1), 2**40)
    trial = Arrays(values, np.zeros((4, 1))).examples([0])
    assert float(trial.inputs.squeeze()) == 2.0**40


def test_any_object_that_gives_one_example_at_a_time_may_be_the_inputs(key):
    class Waves(eqx.Module):
        frequencies: jax.Array

        def __len__(self):
            return len(self.frequencies)

        def __getitem__(self, index):
            return jnp.sin(self.frequencies[index] * jnp.arange(5.0))[:, None]

    frequencies = np.linspace(0.1, 1, 20)
    task = Arrays(Waves(jnp.asarray(frequencies)), frequencies[:, None])
    trial = eqx.filter_jit(lambda task: task.batch(key, 1, 4))(task)
    expected = np.sin(np.asarray(trial.targets)[:, None] * np.arange(5)[:, None])
    np.testing.assert_allclose(trial.inputs, expected, rtol=1e-5)
    assert task.describe() == "20 examples of 5 steps"


def test_a_horizon_is_what_the_user_knows():
    assert Arrays(INPUTS, LABELS).horizon is None
    assert Arrays(INPUTS, LABELS, horizon=4).horizon == 4
