"""Which arrays of a model a flossing step moves, and which leaves of its state count."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_flosser import INPUTS, START, flosser, step_of

from flossing.surrogates import SuperSpike


def moved(control, model, key):
    after, _, _ = control.update(model, control.init(model), START, INPUTS, key=key)
    return {n for n in model if eqx.is_array(model[n]) and not np.array_equal(after[n], model[n])}


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (None, {"w", "v", "b"}),
        (lambda m: (m["w"], m["b"]), {"w", "b"}),
        pytest.param(lambda m: m, {"w", "v", "b"}, marks=pytest.mark.slow),
    ],
)
def test_only_what_where_says_is_flossed(where, names, model, key):
    assert moved(flosser(where=where), model, key) == names


class Spiking(eqx.Module):
    weight: jax.Array
    spike: SuperSpike

    def __call__(self, x, u):
        return 0.5 * x + self.weight @ self.spike(x - 0.1)


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        (None, (True, False, False)),
        pytest.param(lambda m: m.spike.peak, (False, True, False), marks=pytest.mark.slow),
        (lambda m: m.spike, (False, True, True)),
    ],
)
def test_surrogates_are_flossed_only_if_they_are_asked_for(where, changes, key):
    model = Spiking(jax.random.normal(key, (3, 3)), SuperSpike(jnp.ones(()), peak=jnp.ones(())))
    control = flosser(step=lambda model: model, where=where)
    after, _, _ = control.update(model, control.init(model), START, INPUTS, key=key)
    parts = [(m.weight, m.spike.peak, m.spike.sharpness) for m in (model, after)]
    assert tuple(bool((a != b).any()) for a, b in zip(*parts, strict=True)) == changes


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (
            lambda m: m["count"],
            "where: there is no floating-point array to floss in dict; where has",
        ),
        (lambda m: m["name"], "where: there is no floating-point array"),
    ],
)
def test_nothing_to_floss_is_an_error(where, text, model):
    with pytest.raises(ValueError, match=text):
        flosser(where=where).init(model)


@pytest.mark.parametrize(
    ("keeps", "says"),
    [
        (None, True),
        (False, True),
        pytest.param(None, None, marks=pytest.mark.slow),
        pytest.param(True, None, marks=pytest.mark.slow),
    ],
)
def test_row_means_are_kept_where_flosser_or_step_says_so(keeps, says, model, key):
    class Step:
        def __init__(self, model):
            self.inner = step_of(model)
            if says is not None:
                self.keep_row_means = says

        def __call__(self, x, u):
            return self.inner(x, u)

    control = flosser(step=Step, keep_row_means=keeps)
    after, _, _ = control.update(model, control.init(model), START, INPUTS, key=key)
    kept = bool(says) if keeps is None else keeps
    for name in ("w", "v"):
        means = np.asarray(after[name] - model[name]).mean(1)
        assert (np.abs(means).max() < 1e-6) == kept, name
    assert np.abs(after["b"] - model["b"]).max() > 1e-3


@pytest.mark.slow
def test_a_clock_in_the_state_is_left_out_with_tangents(key):
    """With the clock, its exponent 0 would stand first."""
    model = {"a": jnp.asarray(-0.7)}
    control = flosser(
        step=lambda m: lambda s, u: {"x": jnp.exp(m["a"]) * s["x"], "clock": s["clock"] + 1.0},
        tangents={"x": True, "clock": False},
        num_exponents=5,
    )
    state = {"x": jnp.ones(2), "clock": jnp.zeros(())}
    after, _, info = control.update(model, control.init(model), state, INPUTS, key=key)
    np.testing.assert_allclose(info.exponents, [-0.7, -0.7], rtol=1e-5)
    assert float(control.measure(model, state, INPUTS, key=key)) == pytest.approx(-0.7, rel=1e-5)
    assert float(after["a"]) > -0.7
