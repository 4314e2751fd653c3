"""A gallery of patients: networks made to have one fault each, and healthy ones.

Those of PyTorch libraries are in ``tests/pytorch/test_examine.py``.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.initialisers import Gaussian, Orthogonal
from flossing.surrogates import SuperSpike

pytestmark = pytest.mark.slow

KEY = jax.random.key(1)
N, GATED = 48, 24
BITS = jax.random.bernoulli(KEY, 0.5, (200, 1)).astype(float)
SPIKES = jax.random.bernoulli(KEY, 0.02, (400, 40)).astype(float)
SERIOUS = ("fault", "warning")


def examined(step, *, state=None, inputs=BITS, horizon=40, **options):
    state = step.initial_state(key=KEY) if state is None else state
    if isinstance(step, fl.LIFCell):
        # Numbers as arrays: networks that differ in them share one compiled program.
        numbers = jax.tree.map(lambda x: jnp.asarray(x, float), step.surrogate)
        step = eqx.tree_at(lambda cell: cell.surrogate, step, numbers)
    return fl.examine(step, state, inputs, horizon=horizon, key=KEY, **options)


def said(report):
    """Names of faults and warnings."""
    return {finding.name for finding in report.advice if finding.severity in SERIOUS}


def tanh(gain, **options):
    return fl.TanhCell(1, N, recurrent=Gaussian(gain), key=KEY, **options)


def lif(sharpness=10.0, target=1.0, **options):
    cell = fl.LIFCell(40, N, surrogate=SuperSpike(sharpness), key=KEY, **options)
    return fl.fluctuation_driven(cell, rate=20.0, target=target, key=KEY)


def spiking(*arguments, **options):
    return examined(lif(*arguments, **options), inputs=SPIKES, horizon=100)


def test_a_fresh_tanh_network_of_gain_one_half_vanishes():
    assert said(examined(tanh(0.5))) == {"vanishing"}


def test_a_fresh_tanh_network_of_gain_three_explodes():
    assert said(examined(tanh(3.0))) == {"exploding"}


def test_a_gru_with_shut_gates_is_told_so():
    assert said(examined(fl.GRUCell(1, GATED, update_bias=4.0, key=KEY))) == {"shut gates"}


def test_an_lstm_with_a_forget_bias_of_minus_three_is_told_that_it_erases():
    assert said(examined(fl.LSTMCell(1, GATED, forget_bias=-3.0, key=KEY))) == {
        "vanishing",
        "erased",
    }


def test_a_dead_relu_network_is_told_so():
    cell = fl.ReLUCell(1, N, key=KEY)
    half = eqx.tree_at(lambda c: c.bias, cell, jnp.where(jnp.arange(N) < N // 2, -5.0, cell.bias))
    assert said(examined(half)) == {"dead"}


def test_a_relu_network_of_dead_units_alone_is_told_that_nothing_is_left():
    cell = fl.ReLUCell(1, N, key=KEY)
    dead = eqx.tree_at(lambda c: c.bias, cell, cell.bias - 5)
    assert said(examined(dead)) == {"forgotten", "no input", "dead"}


def test_saturated_units_are_told_so():
    # A strong constant bias holds three quarters of the units at their bound.
    cell = tanh(1.0)
    bias = jnp.where(jnp.arange(N) < 3 * N // 4, 6.0, jnp.zeros(N))
    biased = eqx.tree_at(lambda c: c.bias, cell, bias)
    assert said(examined(biased)) == {"saturated", "vanishing"}


def test_silent_lif_neurons_are_told_so():
    assert said(spiking(target=0.1)) == {"silent", "vanishing"}


def test_epileptic_lif_neurons_are_told_so():
    assert said(spiking(target=6.0)) == {"epileptic", "vanishing"}


def test_a_surrogate_that_is_too_sharp_is_told_so():
    assert said(spiking(300.0)) == {"vanishing", "sharp"}


def test_a_surrogate_that_is_too_wide_is_told_so():
    assert said(spiking(0.2)) == {"exploding", "wide"}


def test_exact_resets_lose_directions_and_are_named():
    report = examined(lif(), inputs=SPIKES, horizon=100, num_exponents=2 * N)
    (lost,) = (x for x in report.advice if x.name == "lost")
    assert "exact reset" in lost.evidence


def test_running_statistics_and_a_clock_are_named_and_left_out():
    def step(state, input):
        mean = 0.99 * state["mean"] + 0.01 * state["h"]
        hidden = jnp.tanh(weights @ state["h"] + input)
        return {"h": hidden, "mean": mean, "clock": state["clock"] + 0.1}

    weights = 0.95 * Orthogonal()(KEY, N)
    state = {"h": jnp.zeros(N), "mean": jnp.zeros(N), "clock": jnp.zeros(1)}
    inputs = 0.03 * jax.random.normal(KEY, (200, N))
    report = examined(step, state=state, inputs=inputs, horizon=20)
    assert said(report) == set()
    assert "apart" in report
    assert {path for path, _ in report.measured.apart} == {"['mean']", "['clock']"}
    assert report.measured.leading == pytest.approx(np.log(0.95), abs=0.02)


def test_a_batch_is_told_so():
    cell = tanh(1.0)
    states = jnp.zeros((4, N))
    inputs = jnp.broadcast_to(BITS[:, None], (len(BITS), 4, 1))
    report = examined(lambda s, u: jax.vmap(cell)(s, u), state=states, inputs=inputs)
    assert said(report) == {"batch", "vanishing"}
    assert report.measured.rows == 4


def test_an_adaptive_threshold_that_leads_is_named():
    assert said(spiking(adaptation_time_constant=200.0)) == {"slow variable"}


def test_a_fresh_gru_over_a_short_horizon_is_healthy():
    report = examined(fl.GRUCell(1, GATED, update_bias=1.0, key=KEY), horizon=10)
    assert said(report) == set()
    assert "fine" in report


def test_an_orthogonal_network_with_small_inputs_is_healthy():
    cell = fl.TanhCell(1, N, recurrent=Orthogonal(), input_gain=0.1, key=KEY)
    assert said(examined(cell)) == set()


def test_a_linear_recurrent_layer_is_healthy():
    report = examined(fl.LinearRecurrentCell(1, N, min_radius=0.9, max_radius=0.999, key=KEY))
    assert said(report) == set()


def test_a_spiking_network_at_the_edge_is_healthy():
    assert said(spiking(3.0)) == set()


def run_advice(finding, **names):
    names = {"fl": fl, "jax": jax, "eqx": eqx, "key": KEY} | names
    exec(finding.code, names)
    return names["model"]


def advice(report, name):
    return next(finding for finding in report.advice if finding.name == name)


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_a_tanh_network_flossed_by_the_advice_has_usable_gradients(gain):
    cell = tanh(gain)
    state, name = cell.initial_state(), "vanishing" if gain < 1 else "exploding"
    code = advice(examined(cell), name)
    model = run_advice(code, step=cell, state=state, inputs=BITS)
    fresh = jax.random.bernoulli(jax.random.key(7), 0.5, (200, 1)).astype(float)
    assert not said(examined(model, inputs=fresh)) & {"vanishing", "exploding"}


def test_a_gru_flossed_by_the_advice_is_healthy_and_its_gates_stay_open():
    cell = fl.GRUCell(1, GATED, update_bias=4.0, key=KEY)
    state = cell.initial_state()
    model = run_advice(advice(examined(cell), "shut gates"), step=cell, state=state, inputs=BITS)
    report = examined(model)
    assert said(report) == set()
    assert np.median(report.measured.kept) < 0.5


def test_a_surrogate_scaled_by_the_advice_is_healthy():
    cell = lif(10.0, target=0.5)
    state = cell.initial_state()
    report = examined(cell, inputs=SPIKES, horizon=100)
    model = run_advice(advice(report, "vanishing"), step=cell, state=state, inputs=SPIKES)
    assert "vanishing" not in examined(model, inputs=SPIKES, horizon=100)


def test_a_surrogate_widened_by_the_advice_is_no_longer_too_sharp():
    cell = lif(300.0)
    code = advice(examined(cell, inputs=SPIKES, horizon=100), "sharp")
    model = run_advice(code, step=cell, state=cell.initial_state(), inputs=SPIKES)
    assert "sharp" not in examined(model, inputs=SPIKES, horizon=100)


def test_silent_neurons_spike_with_the_weights_of_the_advice():
    cell = lif(target=0.1)
    code = advice(examined(cell, inputs=SPIKES, horizon=100), "silent")
    model = run_advice(code, step=cell, state=cell.initial_state(), inputs=SPIKES)
    report = examined(model, inputs=SPIKES, horizon=100)
    assert "silent" not in report
    assert report.measured.spikes[0].rates.mean() > 0.001
    assert code.code.endswith("# for fl.train: fl.LIFSpec(..., fluctuations=1.0, input_rate=rate)")
    rate = 1000 * float(SPIKES.mean())
    made = fl.LIFSpec(N, sharpness=10.0, fluctuations=1.0, input_rate=rate).build(40, key=KEY)
    assert "silent" not in said(examined(made, inputs=SPIKES, horizon=100))
