"""Settings that only some cells have; they are never ignored silently."""

import re

import jax
import numpy as np
import pytest

import flossing as fl
from flossing.runs import CellConfig


def build(*arguments, **options):
    return CellConfig(*arguments, hidden_size=4, **options).build(1, jax.random.key(0))


def test_settings_reach_their_cells():
    assert build("tanh", leak=0.5).leak == 0.5
    assert (build("relu", recurrent="identity").recurrent_weight == jax.numpy.eye(4)).all()
    assert build("gru", gate_bias=2.0).bias.tolist() == [0] * 4 + [2] * 4 + [0] * 4
    assert (build("lstm", chrono=10.0).bias[4:8] == -build("lstm", chrono=10.0).bias[:4]).all()
    assert build("gru", openness=3.0).bias.tolist() == [3] * 4 + [-3] * 4 + [0] * 4
    assert build("lstm", openness=3.0).bias.tolist() == [3] * 4 + [-3] * 4 + [0] * 4 + [3] * 4
    binary = build("binary", centred=True, centred_inputs=False, membrane_readout=True)
    assert isinstance(binary, fl.BinaryCell)
    assert (binary.centred, binary.centred_inputs, binary.membrane_readout) == (True, False, True)
    linear = build("linear", min_radius=0.5, max_radius=0.6)
    assert isinstance(linear, fl.LinearRecurrentCell)
    assert ((linear.log_decay > -0.68) & (linear.log_decay < -0.36)).all()  # ln(-ln radius)
    assert isinstance(build("linear", layers=2), fl.Stack)


def test_fluctuation_driven_weights_are_as_large_as_inputs_are_rare():
    inputs = [
        CellConfig("lif", 400, fluctuations=f, input_rate=r)
        .build(50, jax.random.key(0))
        .input_weight
        for f, r in ((1.0, 100.0), (2.0, 100.0), (1.0, 400.0))
    ]
    spreads = [float(w.std()) for w in inputs]
    assert spreads[1] / spreads[0] == pytest.approx(2, rel=1e-3)
    assert spreads[2] / spreads[0] == pytest.approx(0.5, rel=1e-3)
    energy = 5.0**2 / (2 * (5 + 10))
    assert spreads[0] == pytest.approx((0.9 / (50 * 0.1 * energy)) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gru", {"leak": 0.5}),
        ("tanh", {"gate_bias": 1.0}),
        ("lif", {"centred": True}),
        ("tanh", {"membrane_readout": True}),
        ("tanh", {"fluctuations": 1.0}),
        ("binary", {"input_rate": 200.0}),
        ("relu", {"chrono": 10.0}),
        ("tanh", {"openness": 3.0}),
        ("lstm", {"max_radius": 0.9}),
        ("linear", {"gain": 1.0}),
        ("linear", {"recurrent": "orthogonal"}),
        ("relu", {"first_exponent": 0.0}),
    ],
)
def test_others_refuse_them(name, options):
    message = f"cell.{next(iter(options))}: the {name} cell has no such setting; leave it out."
    with pytest.raises(ValueError, match=re.escape(message)):
        build(name, **options)


def test_only_a_ring_has_shortcuts():
    with pytest.raises(
        ValueError, match=r"cell\.shortcuts: only a ring has shortcuts, got gaussian"
    ):
        CellConfig("tanh", 8, shortcuts=0.1).build(1, jax.random.key(0))
    cell = CellConfig("tanh", 8, recurrent="ring", shortcuts=0.1, density=0.5).build(
        1, jax.random.key(0)
    )
    assert 8 < int((cell.recurrent_weight != 0).sum()) < 64


def test_only_a_ring_has_lines_whose_units_hold_bits_to_the_next_start():
    with pytest.raises(ValueError, match=r"cell\.lines: only a ring has lines, got gaussian"):
        CellConfig("binary", 8, lines=2).build(1, jax.random.key(0))
    with pytest.raises(ValueError, match=r"cell\.lines: expected at most 8, got 9"):
        CellConfig("binary", 8, recurrent="ring", lines=9).build(1, jax.random.key(0))
    cell = CellConfig(
        "binary",
        8,
        recurrent="ring",
        gain=0.5,
        lines=2,
        input_gain=0.1,
        centred=True,
        bias_range=0.01,
    ).build(1, jax.random.key(0))
    assert 0 < float(cell.bias.max()) <= 0.01
    states = [cell.initial_state()]
    bits = jax.random.bernoulli(jax.random.key(1), 0.5, (20, 1)).astype(float)
    for bit in bits:
        states.append(cell(states[-1], bit))
    signs = np.sign(cell.input_weight[:, 0])
    for first in (0, 4):
        for lag in range(
            4
        ):  # A unit that is lag steps down the line holds the bit of lag steps ago.
            unit = [float(state[first + lag]) > 0 for state in states[8:]]
            then = (bits[7 - lag : 20 - lag, 0] > 0.5) == (signs[first] > 0)
            np.testing.assert_array_equal(unit, then)
