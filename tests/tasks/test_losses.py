"""Losses of labels and numbers, and how one output per trial is read, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flossing.tasks import accuracy, cross_entropy, mean_squared_error, read_out

pytestmark = pytest.mark.usefixtures("untyped")
PROPERTY = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(
    shape=st.sampled_from([(1,), (4,), (3, 5)]),
    masked=st.booleans(),
    dtype=st.sampled_from(["int8", "uint8", "float16", "float32", "lists"]),
    seed=st.integers(0, 50),
)
@PROPERTY
def test_losses_are_means_over_what_is_scored(shape, masked, dtype, seed):
    rng = np.random.default_rng(seed)
    outputs = rng.integers(0, 4, (*shape, 3))
    labels = rng.integers(0, 3, shape)
    targets = rng.integers(0, 4, (*shape, 3))
    mask = rng.random(shape) < 0.5 if masked else np.ones(shape, bool)
    mask.flat[0] = True
    argument = mask if masked else None
    given = outputs.tolist() if dtype == "lists" else outputs.astype(dtype)
    logits = outputs - np.log(np.exp(outputs.astype(float)).sum(-1, keepdims=True))
    losses = -np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    for found, expected in (
        (cross_entropy(given, labels, argument), losses[mask].mean()),
        (accuracy(given, labels, argument), (outputs.argmax(-1) == labels)[mask].mean()),
        (
            mean_squared_error(given, targets, argument),
            np.square(outputs - targets)[mask].mean(),
        ),
    ):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(steps=st.integers(1, 6), masked=st.booleans(), seed=st.integers(0, 50))
@PROPERTY
def test_one_output_per_trial_is_read_from_the_steps_that_count(steps, masked, seed):
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(4, steps, 2)).astype(np.float32)
    mask = rng.random((4, steps)) < 0.5 if masked else np.ones((4, steps), bool)
    mask[np.arange(4), rng.integers(0, steps, 4)] = True
    for readout, how in (
        ("last", lambda x: x[-1]),
        ("mean", lambda x: x.mean(0)),
        ("max", lambda x: x.max(0)),
    ):
        expected = [how(o[m]) for o, m in zip(outputs, mask, strict=True)]
        found = read_out(outputs, readout, mask if masked else None)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_steps_that_do_not_count_get_no_gradient(readout):
    mask = np.array([[True, True, False, False]])
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 2)))
    gradient = np.asarray(
        jax.jit(jax.grad(lambda x: jnp.square(read_out(x, readout, mask)).sum()))(outputs)
    )
    assert np.abs(gradient[:, :2]).sum() > 0
    np.testing.assert_array_equal(gradient[:, 2:], np.zeros((1, 2, 2)))
