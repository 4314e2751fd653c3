"""LIF networks against a loop over neurons and Jacobians derived by hand."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from cell_helpers import (
    INPUTS,
    RESET_GRADIENTS,
    RESETS,
    UNITS,
    close,
    jacobian,
    normal,
    over,
    random_state,
    scan,
    trajectory,
)

import flossing as fl
from flossing.initialisers import Gaussian
from flossing.surrogates import SuperSpike

CONSTANTS = {
    "one number": lambda: {},
    "per neuron": lambda: {
        "time_step": 0.5,
        "membrane_time_constant": jnp.linspace(5.0, 20.0, UNITS),
        "synapse_time_constant": jnp.linspace(8.0, 2.0, UNITS),
        "threshold": jnp.linspace(0.4, 0.6, UNITS),
    },
}
ADAPTATION = {
    "no adaptation": {},
    "adaptation": {"adaptation_time_constant": 30.0, "adaptation_strength": 0.8},
}
with_reset = over("reset", RESETS)
with_reset_gradient = over("reset_gradient", RESET_GRADIENTS)
with_adaptation = over("adaptation", ADAPTATION.values(), ids=ADAPTATION)
with_constants = over("constants", CONSTANTS.values(), ids=CONSTANTS)


def lif(key, **options):
    """A network of five neurons, most of which fire now and then when driven by ``drive``."""
    options = {"threshold": 0.5, "surrogate": SuperSpike(2.0, peak=0.7)} | options
    return fl.LIFCell(INPUTS, UNITS, input_gain=3.0, key=key, **options)


def drive(steps):
    return jnp.asarray(np.random.default_rng(2).random((steps, INPUTS)) < 0.3, float)


def lif_by_hand(cell, inputs):
    """Membrane, synapse, adaptation and spikes at each time, one neuron after the other."""
    dt = cell.time_step
    tau_mem, tau_syn, threshold, strength = (
        np.broadcast_to(value, UNITS)
        for value in (
            cell.membrane_time_constant,
            cell.synapse_time_constant,
            cell.threshold,
            cell.adaptation_strength,
        )
    )
    adaptive = cell.adaptation_time_constant is not None
    u, v = np.asarray(cell.input_weight), np.asarray(cell.recurrent_weight)
    mem, syn, adapt = np.zeros((3, UNITS))
    rows = []
    for input in np.asarray(inputs):
        limit = [threshold[i] + (strength[i] * adapt[i] if adaptive else 0) for i in range(UNITS)]
        out = [1.0 if mem[i] > limit[i] else 0.0 for i in range(UNITS)]
        mem, syn, adapt = mem.copy(), syn.copy(), adapt.copy()
        for i in range(UNITS):
            syn[i] *= math.exp(-dt / tau_syn[i])
            syn[i] += sum(u[i, j] * input[j] for j in range(INPUTS))
            syn[i] += sum(v[i, j] * out[j] for j in range(UNITS))
            beta = math.exp(-dt / tau_mem[i])
            mem[i] = beta * mem[i] + (1 - beta) * syn[i]
            if out[i] and cell.reset == "to_zero":
                mem[i] = 0.0
            if out[i] and cell.reset == "subtract":
                mem[i] -= limit[i]
            if adaptive:
                rho = math.exp(-dt / cell.adaptation_time_constant)
                adapt[i] = rho * adapt[i] + (1 - rho) * out[i]
        rows.append((mem, syn, adapt, out))
    return [np.asarray(column) for column in zip(*rows, strict=True)]


@with_reset
@with_adaptation
@with_constants
def test_lif_trajectory_is_that_of_a_loop_over_neurons(reset, adaptation, constants, key):
    cell = lif(key, reset=reset, **adaptation, **constants())
    inputs = drive(100)
    states = trajectory(cell, cell.initial_state(), inputs)
    mem, syn, adapt, out = lif_by_hand(cell, inputs)
    assert 20 < out.sum() < 400
    close(states.membrane, mem)
    close(states.synapse, syn)
    if adaptation:
        close(states.adaptation, adapt)
    else:
        assert states.adaptation is None


@with_adaptation
def test_lif_output_is_the_spikes_that_act_in_the_next_step(adaptation, key):
    cell = lif(key, **adaptation)
    inputs = drive(100)
    states = trajectory(cell, cell.initial_state(), inputs)
    spikes = jax.vmap(cell.output)(states)
    np.testing.assert_array_equal(spikes[:-1], lif_by_hand(cell, inputs)[3][1:])


@with_reset
@with_adaptation
def test_lif_values_do_not_depend_on_the_reset_gradient(reset, adaptation, key):
    found = []
    for reset_gradient in RESET_GRADIENTS:
        cell = lif(key, reset=reset, reset_gradient=reset_gradient, **adaptation)
        state = random_state(cell)
        assert cell.output(state).any()
        found.append(cell(state, normal(INPUTS)))
    assert eqx.tree_equal(*found)


def lif_jacobian_by_hand(cell, state, input):
    """The dense Jacobian in blocks (membrane, synapse, adaptation), from the equations on paper."""

    def per_neuron(value):
        return np.diag(np.broadcast_to(np.asarray(value, float), UNITS))

    mem, syn = np.asarray(state.membrane), np.asarray(state.synapse)
    u, v = np.asarray(cell.input_weight), np.asarray(cell.recurrent_weight)
    one, zero = np.eye(UNITS), np.zeros((UNITS, UNITS))
    adaptive = state.adaptation is not None
    adapt = np.asarray(state.adaptation) if adaptive else np.zeros(UNITS)
    strength = per_neuron(cell.adaptation_strength) if adaptive else zero
    limit = per_neuron(cell.threshold) + strength * np.diag(adapt)
    beta = np.exp(-cell.time_step / per_neuron(cell.membrane_time_constant).diagonal())
    alpha = np.exp(-cell.time_step / per_neuron(cell.synapse_time_constant).diagonal())
    beta, alpha = np.diag(beta), np.diag(alpha)

    distance = mem - limit.diagonal()
    out = np.diag((distance > 0).astype(float))
    slope = np.diag(0.7 / (2 * np.abs(distance) + 1) ** 2)
    new_syn = alpha @ syn + u @ input + v @ out.diagonal()
    charge = np.diag(beta @ mem + (one - beta) @ new_syn)
    # Derivatives by membrane, synapse and adaptation, side by side.
    d_limit = np.hstack([zero, zero, strength])
    d_out = np.hstack([slope, zero, -slope @ strength])
    d_syn = np.hstack([v @ slope, alpha, -v @ slope @ strength])
    d_charge = np.hstack([beta, zero, zero]) + (one - beta) @ d_syn

    if cell.reset == "none" or cell.reset_gradient == "ignored":
        d_mem = d_charge
    elif cell.reset == "to_zero":
        d_mem = (one - out) @ d_charge
        if cell.reset_gradient == "differentiated":
            d_mem = d_mem - charge @ d_out
    else:
        d_mem = d_charge - out @ d_limit
        if cell.reset_gradient == "differentiated":
            d_mem = d_mem - limit @ d_out
    if not adaptive:
        return np.vstack([d_mem, d_syn])[:, : 2 * UNITS]
    rho = math.exp(-cell.time_step / cell.adaptation_time_constant)
    d_adapt = np.hstack([zero, zero, rho * one]) + (1 - rho) * d_out
    return np.vstack([d_mem, d_syn, d_adapt])


@with_reset
@with_reset_gradient
@with_adaptation
def test_lif_jacobian_is_the_one_derived_by_hand(reset, reset_gradient, adaptation, key):
    constants = CONSTANTS["per neuron"]()
    cell = lif(key, reset=reset, reset_gradient=reset_gradient, **adaptation, **constants)
    state, input = random_state(cell), normal(INPUTS)
    assert 0 < cell.output(state).sum() < UNITS
    close(jacobian(cell, state, input), lif_jacobian_by_hand(cell, state, input))


def test_lif_exact_reset_removes_the_membrane_direction_of_a_neuron_that_spikes(key):
    cell = lif(key, reset="to_zero", reset_gradient="detached")
    state = random_state(cell)
    rows = np.abs(jacobian(cell, state, jnp.zeros(INPUTS))[:UNITS]).max(1)
    np.testing.assert_array_equal(rows == 0, cell.output(state) == 1)


@over("dt", [0.25, 1.0, 2.0])
def test_lif_time_step_is_in_milliseconds(dt, key):
    """Without input, six milliseconds of decay are the same in steps of any length."""
    cell = lif(key, time_step=dt, threshold=10.0, recurrent=Gaussian(0.0))
    state = fl.LIFState(jnp.eye(UNITS)[0], jnp.eye(UNITS)[1])
    for _ in range(round(6 / dt)):
        state = cell(state, jnp.zeros(INPUTS))
    close(state.membrane[0], math.exp(-6 / 10))
    close(state.synapse[1], math.exp(-6 / 5))


@over(
    ("tau_mem", "tau_syn"),
    [((10.0,) * 5, (5.0,) * 5), ((20.0, 15.0, 10.0, 6.0, 5.0), (30.0, 8.0, 4.0, 3.0, 2.0))],
    ids=["equal", "per neuron"],
)
def test_lif_without_spikes_has_the_exponents_of_its_time_constants(tau_mem, tau_syn, key):
    constants = {
        "membrane_time_constant": jnp.asarray(tau_mem),
        "synapse_time_constant": jnp.asarray(tau_syn),
    }
    cell = lif(key, time_step=0.5, recurrent=Gaussian(0.0), **constants)
    start, inputs = cell.initial_state(key=key), jnp.zeros((4050, INPUTS))
    spectrum = fl.lyapunov_spectrum(cell, start, inputs, warmup=4000, key=key)
    # Different exponents lie at least 0.5 / 60 per step apart: the basis has settled to exp(-33),
    # and what is left is rounding.
    close(spectrum.exponents, np.sort(-0.5 / np.asarray([*tau_mem, *tau_syn]))[::-1])


def test_lif_centred_rows_have_a_mean_of_zero(key):
    for centred in (True, False):
        cell = lif(key, centred=centred)
        means = [weight.mean(1) for weight in (cell.recurrent_weight, cell.input_weight)]
        assert (np.abs(np.concatenate(means)) < 1e-15).all() == centred


@with_adaptation
def test_lif_constants_get_no_gradient(adaptation, key):
    constants = {
        "membrane_time_constant": jnp.full(UNITS, 10.0),
        "synapse_time_constant": jnp.full(UNITS, 5.0),
        "threshold": jnp.full(UNITS, 0.5),
    }
    if adaptation:
        constants["adaptation_time_constant"] = jnp.full(UNITS, 30.0)
        constants["adaptation_strength"] = jnp.full(UNITS, 0.8)
    cell = lif(key, reset="subtract", **constants)

    def loss(cell):
        states = scan(cell, cell.initial_state(key=key), drive(20))
        return sum((x**2).sum() for x in jax.tree.leaves(states))

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(cell)
    assert jnp.abs(gradient.recurrent_weight).max() > 0
    for name in constants:
        np.testing.assert_array_equal(getattr(gradient, name), np.zeros(UNITS))
