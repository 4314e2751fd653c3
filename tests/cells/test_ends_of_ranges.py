"""Time constants, gains, radii and rates at the ends of their ranges, against exact numbers."""

import math
from decimal import Decimal, localcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import close, over, raises
from hypothesis import given, settings, strategies as st

import flossing as fl
from flossing.cells import LeakyReadout, fluctuation_driven

few = settings(max_examples=8, deadline=None, derandomize=True, database=None)
KEY = jax.random.key(0)
# Ratios of two time constants: nearly equal, and far apart.
ratios = st.one_of(
    st.floats(-1e-3, 1e-3).map(lambda e: 1 + e),
    st.sampled_from([1.0, 1 + 1e-9, 1 - 1e-9, 1 + 2**-52]),
    st.floats(-6, 6).map(lambda e: 10**e),
)


def exact_response(tau_mem, tau_syn, steps):
    """Membrane after one unit input, from the closed form with its difference, in 80 digits."""
    with localcontext() as context:
        context.prec = 80
        beta, alpha = (Decimal(-1) / Decimal(tau) for tau in (tau_mem, tau_syn))
        beta, alpha = beta.exp(), alpha.exp()
        if alpha == beta:
            response = [(1 - beta) * (n + 1) * beta**n for n in range(steps)]
        else:
            response = [
                (1 - beta) * (alpha ** (n + 1) - beta ** (n + 1)) / (alpha - beta)
                for n in range(steps)
            ]
        return np.asarray([float(x) for x in response])


def responses(tau_mem, tau_syn, steps):
    """Of a readout and of the two LIF layers, to one input of weight 1 at the first step."""
    constants = {"membrane_time_constant": tau_mem, "synapse_time_constant": tau_syn}
    silent = {"threshold": 1e30, "reset": "none"}
    inputs = jnp.zeros((steps, 1)).at[0].set(1.0)
    ones = jnp.ones((1, 1))
    readout = LeakyReadout(1, 1, key=KEY, **constants)
    readout = eqx.tree_at(lambda c: c.weight, readout, ones)
    dense = fl.LIFCell(1, 1, feedforward_only=True, key=KEY, **silent, **constants)
    dense = eqx.tree_at(lambda c: c.input_weight, dense, ones)
    conv = fl.ConvLIFCell(1, 1, 1, 1, key=KEY, **silent, **constants)
    conv = eqx.tree_at(lambda c: c.convolution.kernel, conv, ones[None])
    for cell in (readout, dense, conv):

        def step(state, input, cell=cell):
            state = cell(state, input)
            return state, state.membrane[0]

        yield np.asarray(jax.lax.scan(step, cell.initial_state(), inputs)[1], float)


@given(tau_syn=st.floats(0.1, 1e4), ratio=ratios)
@few
def test_membranes_follow_the_closed_form_however_near_two_time_constants_are(tau_syn, ratio):
    expected = exact_response(tau_syn * ratio, tau_syn, 12)
    for found in responses(tau_syn * ratio, tau_syn, 12):
        # Powers of a rounded decay err by the number of steps times eps; what is below 1e-290 vanishes.
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-290)


@over("steps_of_tau", [1e3, 1e6, 1e8, 1e12, 1e30])
def test_membranes_of_single_precision_integrate_slowly(steps_of_tau):
    """1 - exp(-dt / tau) is 1.3 % off at 1e6 steps if it is a difference, and 0 from 1e8 on."""
    with jax.enable_x64(False):
        expected = exact_response(steps_of_tau, 5.0, 30)
        for found in responses(steps_of_tau, 5.0, 30):
            np.testing.assert_allclose(found, expected, rtol=1e-5)


@over("steps_of_tau", [1e3, 1e6, 1e8, 1e12])
def test_adaptation_of_single_precision_grows_slowly(steps_of_tau):
    with jax.enable_x64(False):
        cell = fl.LIFCell(1, 1, adaptation_time_constant=steps_of_tau, reset="none", key=KEY)
        state = cell.initial_state()._replace(membrane=jnp.full(1, 5.0))
        found = cell(state, jnp.zeros(1)).adaptation
        np.testing.assert_allclose(found, -math.expm1(-1 / steps_of_tau), rtol=1e-6)


@pytest.mark.slow
@over("dtype", ["float32", "float64"])
def test_a_leak_near_either_end_has_its_exponent(dtype):
    """ln(1 - leak), the exponent without recurrence, from 1e-6 to 1 - 1e-6."""
    with jax.enable_x64(dtype == "float64"):
        for leak in (1e-6, 0.5, 0.999, 0.99999, 1 - 1e-6):
            cell = fl.TanhCell(1, 2, leak=leak, recurrent=fl.initialisers.Gaussian(0.0), key=KEY)
            jacobian = jax.jacfwd(cell)(jnp.zeros(2), jnp.zeros(1))
            error = 2 * jnp.finfo(dtype).eps
            np.testing.assert_allclose(jacobian, (1 - leak) * np.eye(2), rtol=error)


@over("form", ["pre-activation", "post-activation"])
@over("leak", [0.3, 0.5, 0.50001, 0.9])
def test_both_forms_of_a_leaky_step_are_the_formula(leak, form, key):
    cell = fl.TanhCell(2, 4, leak=leak, form=form, key=key)
    x, s = np.asarray([0.3, -1.2, 0.0, 2.0]), np.asarray([1.0, -0.5])
    drive = np.asarray(cell.input_weight) @ s + np.asarray(cell.bias)
    weight = np.asarray(cell.recurrent_weight)
    new = weight @ np.tanh(x) + drive if form[:3] == "pre" else np.tanh(weight @ x + drive)
    close(cell(jnp.asarray(x), jnp.asarray(s)), (1 - leak) * x + leak * new)


@given(
    ends=st.tuples(st.floats(0, 0.999999), st.floats(1e-6, 1)).filter(lambda e: e[0] < e[1] - 1e-7)
)
@few
def test_radii_lie_in_their_ring(ends):
    with jax.enable_x64(False):
        cell = fl.LinearRecurrentCell(1, 200, min_radius=ends[0], max_radius=ends[1], key=KEY)
        radius = np.exp(np.asarray(cell.exponents, float))
        # The square of a radius is rounded to single precision, and so are two logarithms.
        assert (radius >= ends[0] * (1 - 1e-6)).all()
        assert (radius <= ends[1] * (1 + 1e-6)).all()
        assert np.isfinite(np.asarray(cell.log_scale)).all()


def test_tiny_rings_and_phases_stay_tiny(untyped):
    for size in (1e-3, 1e-6, 1e-12):
        cell = fl.LinearRecurrentCell(1, 99, max_radius=size, max_phase=size, key=KEY)
        assert jnp.exp(cell.exponents).max() <= size * (1 + 1e-6)
        assert jnp.exp(cell.log_phase).max() <= size * (1 + 1e-6)
    for radii in ({"max_radius": 1e-13}, {"min_radius": 0.9999999}):
        with raises(
            ValueError, "min_radius, max_radius: expected at most 0.999999 and at least 1e-"
        ):
            fl.LinearRecurrentCell(1, 2, key=KEY, **radii)


@given(tau_syn=st.floats(0.1, 1e4), ratio=ratios, rate=st.floats(0.5, 1e3))
@few
def test_fluctuation_driven_weights_have_the_exact_energy(tau_syn, ratio, rate):
    """The integral of the squared double exponential, from its partial fractions, in 80 digits."""
    tau_mem = tau_syn * ratio
    with localcontext() as context:
        context.prec = 80
        s, m = Decimal(tau_syn), Decimal(tau_mem)
        difference = s / 2 + m / 2 - 2 * s * m / (s + m)
        # Of equal ones it is that of (t / tau) exp(-t / tau).
        energy = s / 4 if s == m else (s / (s - m)) ** 2 * difference
        expected = float(1 / (Decimal(rate) / 1000 * energy)) ** 0.5
    cell = LeakyReadout(
        3, 2, membrane_time_constant=tau_mem, synapse_time_constant=tau_syn, key=KEY
    )
    unit = LeakyReadout(3, 2, membrane_time_constant=2.0, synapse_time_constant=2.0, key=KEY)
    found, reference = (
        fluctuation_driven(c, rate=r, key=KEY).weight for c, r in ((cell, rate), (unit, 2000.0))
    )
    # The reference has an energy of 1/2 ms at 2 spikes per ms: a scale of 1.
    close(found, expected * reference, 1e-12)


def test_every_unit_gets_the_spread_of_its_time_constants(key):
    taus = [5.0, 20.0, 200.0]
    cells = [
        LeakyReadout(400, 3, membrane_time_constant=jnp.asarray(taus), key=key),
        fl.LIFCell(
            400, 3, membrane_time_constant=jnp.asarray(taus), feedforward_only=True, key=key
        ),
    ]
    for cell in cells:
        made = fluctuation_driven(cell, rate=20.0, key=key)
        weight = made.weight if isinstance(made, LeakyReadout) else made.input_weight
        for row, tau in zip(weight, taus, strict=True):
            expected = (400 * 0.02 * 25 / (2 * (5 + tau))) ** -0.5
            np.testing.assert_allclose(row.std(), expected, rtol=5 / math.sqrt(800))


def test_rates_are_in_hz_and_one_number(key, untyped):
    cell = fl.LIFCell(2, 3, key=key)
    for name, use in (
        ("rate", lambda rate: fluctuation_driven(cell, rate=rate, key=key)),
        ("input_rate", lambda rate: fl.LIFSpec(3, fluctuations=1.0, input_rate=rate)),
    ):
        with raises(
            ValueError, f"{name}: expected a rate in Hz, at least 0.5, got 0.1; for 0.1 spi"
        ):
            use(0.1)
        with raises(ValueError, f"{name}: expected one number, got shape (2,)."):
            use([5.0, 5.0])
        with raises(ValueError, f"{name}: expected a finite positive number, got 0."):
            use(0.0)
    many = fl.ConvLIFCell(4, 1, 2, 1, membrane_time_constant=jnp.ones(8), key=key)
    with raises(ValueError, "cell: the neurons of a convolution share their weights;"):
        fluctuation_driven(many, rate=5.0, key=key)


def test_the_default_rate_of_a_specification_is_100_hz(key):
    made = fl.LIFSpec(300, fluctuations=1.0).build(50, key=key)
    expected = (0.9 / (50 * 0.1 * 25 / 30)) ** 0.5
    np.testing.assert_allclose(made.input_weight.std(), expected, rtol=5 / math.sqrt(2 * 15000))
