"""Cells whose spikes reset before the next step integrates, against a loop over neurons."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import (
    INPUTS,
    RESET_GRADIENTS,
    UNITS,
    close,
    jacobian,
    normal,
    over,
    raises,
    random_state,
    trajectory,
)

import flossing as fl
from flossing.cells import ReadoutState
from flossing.initialisers import Gaussian
from flossing.surrogates import SuperSpike


def spread():
    """A factor for each unit, in the precision of the test."""
    return jnp.linspace(0.5, 1.5, UNITS)


MEMBRANES = {
    "leak": lambda: {"membrane_time_constant": 10 * spread(), "leak_potential": 0.1 * spread()},
    "no leak": lambda: {"membrane_time_constant": None},
}
SYNAPSES = {
    "synapse": lambda: {"synapse_time_constant": 5 * spread(), "synapse_gain": 2 * spread()},
    "no synapse": lambda: {},
}
with_membrane = over("membrane", MEMBRANES.values(), ids=MEMBRANES)
with_synapse = over("synapse", SYNAPSES.values(), ids=SYNAPSES)
with_integration = over("integration", ["exact", "euler"])


def neurons(key, **options):
    options = {
        "time_step": 0.5,
        "threshold": 0.4 * spread(),
        "reset_potential": -0.1 * spread(),
        "resistance": 1.5 * spread(),
        "surrogate": SuperSpike(2.0, peak=0.7),
        "recurrent": Gaussian(),
        "input_gain": 4.0,
        "bias": True,
    } | options
    cell = fl.IntegrateFireCell(INPUTS, UNITS, key=key, **options)
    return eqx.tree_at(lambda c: c.bias, cell, 0.2 * spread())


def readout(key, **options):
    options = {"time_step": 0.5, "resistance": 1.5 * spread(), "input_gain": 4.0} | options
    return fl.IntegratorCell(INPUTS, UNITS, key=key, **options)


def drive(*shape):
    return jnp.asarray(np.random.default_rng(2).random((*shape, INPUTS)) < 0.5, float)


def by_hand(cell, inputs):
    """Membranes, synapses and spikes after each step, one neuron after the other."""

    def of(name, i):
        value = getattr(cell, name)
        return None if value is None else float(np.broadcast_to(value, UNITS)[i])

    def relax(value, tau, to):
        keep = (
            math.exp(-cell.time_step / tau)
            if cell.integration == "exact"
            else 1 - cell.time_step / tau
        )
        return keep * value + (1 - keep) * to

    fires = isinstance(cell, fl.IntegrateFireCell)
    u = np.asarray(cell.input_weight)
    v = np.asarray(cell.recurrent_weight) if fires else np.zeros((UNITS, UNITS))
    mem = [of("leak_potential", i) or 0.0 for i in range(UNITS)]
    syn, out, rows = [0.0] * UNITS, [0.0] * UNITS, []
    for input in np.asarray(inputs):
        now = list(out)
        for i in range(UNITS):
            current = sum(u[i, j] * input[j] for j in range(INPUTS))
            current += sum(v[i, j] * now[j] for j in range(UNITS))
            current += 0 if cell.bias is None else float(cell.bias[i])
            if cell.synapse_time_constant is not None:
                syn[i] = relax(
                    syn[i], of("synapse_time_constant", i), (of("synapse_gain", i) or 1) * current
                )
                current = syn[i]
            if now[i]:
                mem[i] = of("reset_potential", i)
            current *= of("resistance", i)
            if cell.membrane_time_constant is None:
                mem[i] += cell.time_step * current
            else:
                mem[i] = relax(
                    mem[i],
                    of("membrane_time_constant", i),
                    (of("leak_potential", i) or 0) + current,
                )
            out[i] = float(fires and mem[i] > of("threshold", i))
        rows.append((list(mem), list(syn), list(out)))
    return [np.asarray(column) for column in zip(*rows, strict=True)]


@with_membrane
@with_synapse
@with_integration
def test_neurons_move_as_in_a_loop_over_neurons(membrane, synapse, integration, key):
    cell = neurons(key, integration=integration, **membrane(), **synapse())
    inputs = drive(100)
    states = trajectory(cell, cell.initial_state(), inputs)
    mem, syn, out = by_hand(cell, inputs)
    assert 20 < out.sum() < 400
    close(states.membrane, mem)
    assert states.synapse is None or close(states.synapse, syn) is None
    np.testing.assert_array_equal(jax.vmap(cell.output)(states), out)


@with_membrane
@with_synapse
@with_integration
def test_readouts_move_as_in_a_loop_over_units(membrane, synapse, integration, key):
    cell = readout(key, integration=integration, **membrane(), **synapse())
    inputs = drive(50)
    close(cell.over_time(inputs), by_hand(cell, inputs)[0])
    close(trajectory(cell, cell.initial_state(), inputs).membrane, by_hand(cell, inputs)[0])


@pytest.mark.slow
@over("make", [neurons, readout])
@with_synapse
def test_many_trials_at_once_are_the_trials_one_by_one(make, synapse, key):
    cell = make(key, **synapse())
    inputs = drive(30, 2, 3)
    together = cell.over_time(inputs)
    assert together.shape == (30, 2, 3, UNITS)
    for trial in np.ndindex(2, 3):
        close(together[(slice(None), *trial)], cell.over_time(inputs[(slice(None), *trial)]))


def test_a_spike_resets_and_the_current_of_the_next_step_counts(key):
    """That is what tells the cell from ``fl.LIFCell``, whose membrane would be 0."""
    cell = fl.IntegrateFireCell(1, 1, reset_potential=0.25, key=key)
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.ones((1, 1)))
    state = cell(fl.LIFState(jnp.asarray([1.5]), None), jnp.ones(1))
    keep = math.exp(-0.1)
    close(state.membrane, [keep * 0.25 + (1 - keep)])


@over("reset_gradient", RESET_GRADIENTS)
@with_membrane
@with_synapse
@with_integration
def test_the_jacobian_is_the_one_derived_by_hand(
    reset_gradient, membrane, synapse, integration, key
):
    cell = neurons(
        key, reset_gradient=reset_gradient, integration=integration, **membrane(), **synapse()
    )
    state, input = random_state(cell), normal(INPUTS)
    out = np.asarray(cell.output(state))
    assert 0 < out.sum() < UNITS
    mem, dt = np.asarray(state.membrane), cell.time_step

    def rest(tau):
        return 1 - np.exp(-dt / np.asarray(tau)) if integration == "exact" else dt / np.asarray(tau)

    slope = 0.7 / (2 * np.abs(mem - np.asarray(cell.threshold)) + 1) ** 2
    d_reset = 1 - out
    if reset_gradient == "ignored":
        d_reset = np.ones(UNITS)
    elif reset_gradient == "differentiated":
        d_reset = 1 - out + (np.asarray(cell.reset_potential) - mem) * slope
    d_drive = np.asarray(cell.recurrent_weight) * slope
    synaptic = cell.synapse_time_constant is not None
    if synaptic:
        share = rest(cell.synapse_time_constant)
        d_drive = (share * np.asarray(cell.synapse_gain))[:, None] * d_drive
        below = np.hstack([d_drive, np.diag(1 - share)])
    keep, enters = np.ones(UNITS), np.full(UNITS, dt)
    if cell.membrane_time_constant is not None:
        enters = rest(cell.membrane_time_constant)
        keep = 1 - enters
    enters = enters * np.asarray(cell.resistance)
    if synaptic:
        above = (
            np.hstack([np.diag(keep * d_reset), np.zeros((UNITS, UNITS))]) + enters[:, None] * below
        )
        expected = np.vstack([above, below])
    else:
        expected = np.diag(keep * d_reset) + enters[:, None] * d_drive
    close(jacobian(cell, state, input), expected)


def test_values_do_not_depend_on_the_reset_gradient(key):
    found = [neurons(key, reset_gradient=kind) for kind in RESET_GRADIENTS]
    state = random_state(found[0])
    assert found[0].output(state).any()
    states = [cell(state, normal(INPUTS)).membrane for cell in found]
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])


@with_integration
def test_without_spikes_exponents_are_those_of_the_time_constants(integration, key):
    tau_mem, tau_syn = (
        np.asarray([20.0, 15.0, 10.0, 6.0, 5.0]),
        np.asarray([30.0, 8.0, 4.0, 3.0, 2.0]),
    )
    cell = neurons(
        key,
        integration=integration,
        threshold=100.0,
        recurrent=None,
        membrane_time_constant=jnp.asarray(tau_mem),
        synapse_time_constant=jnp.asarray(tau_syn),
    )
    start, inputs = cell.initial_state(key=key), jnp.zeros((4050, INPUTS))
    spectrum = fl.lyapunov_spectrum(cell, start, inputs, warmup=4000, key=key)
    share = 0.5 / np.asarray([*tau_mem, *tau_syn])
    rates = -share if integration == "exact" else np.log(1 - share)
    close(spectrum.exponents, np.sort(rates)[::-1])


def test_membranes_without_leak_keep_what_they_get(key):
    cell = fl.IntegratorCell(
        1, 1, time_step=0.25, membrane_time_constant=None, resistance=4.0, key=key
    )
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.ones((1, 1)))
    close(cell.over_time(jnp.ones((5, 1)))[:, 0], [1.0, 2.0, 3.0, 4.0, 5.0])
    spectrum = fl.lyapunov_spectrum(cell, cell.initial_state(), jnp.ones((9, 1)), key=key)
    close(spectrum.exponents, [0.0])


def test_a_euler_step_of_one_time_constant_forgets_the_membrane(key):
    cell = fl.IntegratorCell(
        1, 1, integration="euler", time_step=2.0, membrane_time_constant=2.0, key=key
    )
    state = cell(ReadoutState(jnp.asarray([7.0]), None), jnp.ones(1))
    close(state.membrane, cell.input_weight[0])


def test_start_states_are_at_the_leak_potential_and_below_threshold(key):
    cell = neurons(key, leak_potential=-0.5 * spread(), synapse_time_constant=3.0)
    close(cell.initial_state().membrane, -0.5 * spread())
    state = cell.initial_state(key=key)
    assert (state.membrane > -0.5 * spread()).all()
    assert (state.membrane < cell.threshold).all()
    close(state.synapse, jnp.zeros(UNITS))
    close(readout(key, leak_potential=0.3).initial_state().membrane, jnp.full(UNITS, 0.3))


def test_escape_noise_makes_the_neurons_stochastic_and_leaves_the_rest(key):
    """Of a neuron at threshold a spike has probability one half."""
    quiet = fl.IntegrateFireCell(1, 400, membrane_time_constant=None, input_gain=0.0, key=key)
    cell = fl.with_escape(quiet, fl.escape_noise.SigmoidNoise(5.0))
    assert not cell.output(cell.initial_state()).any()
    state = cell.initial_state()._replace(membrane=jnp.ones(400))
    inputs = fl.escape_noise.with_noise(cell, jnp.zeros((20, 1)), key=key)
    spikes = cell.over_time(inputs, state)
    first = cell(state, jax.tree.map(lambda x: x[0], inputs))
    np.testing.assert_array_equal(cell.output(first), spikes[0])
    # Five standard deviations of the mean of 400 fair coins.
    assert abs(spikes[0].mean() - 0.5) < 5 * 0.5 / 20


def test_constants_get_no_gradient(key):
    names = ["membrane_time_constant", "synapse_time_constant", "synapse_gain", "resistance"]
    names += ["leak_potential", "threshold", "reset_potential"]
    cell = neurons(key, **(MEMBRANES["leak"]() | SYNAPSES["synapse"]()))

    def loss(cell):
        return (cell.over_time(drive(20)) ** 2).sum()

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(cell)
    assert jnp.abs(gradient.recurrent_weight).max() > 0
    assert jnp.abs(gradient.bias).max() > 0
    for name in names:
        np.testing.assert_array_equal(getattr(gradient, name), np.zeros(UNITS))


@over("make", [fl.IntegrateFireCell, fl.IntegratorCell])
def test_settings_that_would_do_nothing_or_harm_are_refused(make, key, untyped):
    for settings, message in (
        ({"synapse_gain": 2.0}, "synapse_gain: works with synapse_time_constant only"),
        (
            {"leak_potential": 0.1, "membrane_time_constant": None},
            "leak_potential: works with membrane_time_constant only",
        ),
        (
            {"integration": "euler", "time_step": 3.0, "membrane_time_constant": jnp.full(4, 2.0)},
            "time_step: an Euler step of 3 is longer than the shortest membrane_time_constant, 2",
        ),
        ({"integration": "heun"}, "integration: expected one of 'exact', 'euler', got 'heun'."),
        ({"resistance": jnp.ones(3)}, "resistance: expected one number or shape (4,)"),
        ({"leak_potential": jnp.inf}, "leak_potential: expected finite numbers"),
        ({"membrane_time_constant": 0.0}, "membrane_time_constant: expected a finite positive"),
    ):
        with raises(ValueError, message):
            make(2, 4, key=key, **settings)
