"""Cells against equations and Jacobians written by hand in numpy, and against Equinox's cells."""

import functools
import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import flossing as fl
from flossing.initialisers import Gaussian, dale_signs
from flossing.surrogates import SuperSpike

over = pytest.mark.parametrize

# Double precision, a few sums of a few numbers of order one: errors of some 1e-16, rarely of 1e-14.
# 1e-12 is far from them and far from any mistake.
ROUNDING = 1e-12

RESETS = ["to_zero", "subtract", "none"]
RESET_GRADIENTS = ["detached", "differentiated", "ignored"]
INPUTS, UNITS = 3, 5

CELLS = {
    "tanh, pre-activation": fl.TanhCell,
    "tanh, post-activation": functools.partial(fl.TanhCell, form="post-activation"),
    "gru": fl.GRUCell,
    "lstm": fl.LSTMCell,
    "binary": fl.BinaryCell,
    "lif": functools.partial(fl.LIFCell, threshold=0.3, input_gain=3.0),
    "lif, adaptive": functools.partial(
        fl.LIFCell, threshold=0.3, input_gain=3.0, adaptation_time_constant=30.0, reset="subtract"
    ),
}
every_cell = over("make", CELLS.values(), ids=CELLS)


@pytest.fixture(autouse=True)
def double_precision(x64):
    """Everywhere, unless a test says otherwise."""


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


def close(found, expected, tolerance=ROUNDING):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def scan(cell, state, inputs):
    """All states after the first."""

    def step(state, input):
        state = cell(state, input)
        return state, state

    return jax.lax.scan(step, state, inputs)[1]


trajectory = eqx.filter_jit(scan)


def jacobian(cell, state, input):
    vector, unravel = ravel_pytree(state)
    return jax.jacfwd(lambda v: ravel_pytree(cell(unravel(v), input))[0])(vector)


def normal(*shape, seed=0):
    """Normal numbers from numpy, which has nothing to compile."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), float)


def random_state(cell, seed=1):
    """Numbers of order one in every state variable."""
    vector, unravel = ravel_pytree(cell.initial_state())
    return unravel(normal(vector.size, seed=seed))


def stack(key):
    keys = jax.random.split(key, 3)
    return fl.Stack(
        [
            fl.TanhCell(INPUTS, UNITS, key=keys[0]),
            fl.LIFCell(
                UNITS,
                UNITS,
                threshold=0.3,
                reset="subtract",
                adaptation_time_constant=30.0,
                input_gain=3.0,
                key=keys[1],
            ),
            fl.LSTMCell(UNITS, UNITS, key=keys[2]),
        ]
    )


# Tanh networks


@over("form", ["pre-activation", "post-activation"])
def test_tanh_step_is_its_equation(form, key):
    cell = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    if form == "pre-activation":
        expected = w @ np.tanh(state) + u @ input + b
    else:
        expected = np.tanh(w @ state + u @ input + b)
    close(cell(state, input), expected)


@over("form", ["pre-activation", "post-activation"])
def test_tanh_jacobian_is_the_documented_one(form, key):
    cell = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w = np.asarray(cell.recurrent_weight)
    if form == "pre-activation":
        expected = w @ np.diag(1 - np.tanh(state) ** 2)
    else:
        expected = np.diag(1 - cell(state, input) ** 2) @ w
    close(jacobian(cell, state, input), expected)


def both_forms(key):
    """The same network in both forms, started half a step apart, with random bits as inputs."""
    pre = fl.TanhCell(INPUTS, UNITS, recurrent=Gaussian(0.9), key=key)
    post = fl.TanhCell(INPUTS, UNITS, form="post-activation", recurrent=Gaussian(0.9), key=key)
    bits = jnp.asarray(np.random.default_rng(2).random((2000, INPUTS)) < 0.5, float)
    state = normal(UNITS)
    return pre, post, state, jnp.tanh(state), bits


def test_tanh_post_activation_is_the_tanh_of_the_pre_activation(key):
    pre, post, before, after, bits = both_forms(key)
    close(trajectory(post, after, bits[:50]), jnp.tanh(trajectory(pre, before, bits[:50])))


def test_tanh_forms_have_long_jacobians_that_are_conjugate(key):
    """J_post Phi'_0 = Phi'_T J_pre, with Phi' the diagonal matrix of the slopes of tanh."""
    pre, post, before, after, bits = both_forms(key)
    first, last = 1 - after**2, 1 - jnp.tanh(trajectory(pre, before, bits[:10])[-1]) ** 2

    def run(cell):
        return lambda state: jax.lax.scan(lambda s, x: (cell(s, x), None), state, bits[:10])[0]

    left = jax.jacfwd(run(post))(after) * first
    right = last[:, None] * jax.jacfwd(run(pre))(before)
    assert jnp.abs(right).max() > 1e-6
    np.testing.assert_allclose(left, right, rtol=0, atol=ROUNDING * jnp.abs(right).max())


def test_tanh_forms_have_the_same_exponents(key):
    """Up to what the slopes of tanh at both ends can do to volumes, divided by the time."""
    pre, post, before, after, bits = both_forms(key)
    slopes = 1 - after**2
    one = fl.lyapunov_spectrum(pre, before, bits, basis=jnp.eye(UNITS))
    two = fl.lyapunov_spectrum(post, after, bits, basis=jnp.diag(slopes))
    start, end = (
        np.cumsum(-np.sort(np.log(s))) for s in (slopes, 1 - np.tanh(one.final_state) ** 2)
    )
    difference = np.cumsum(two.exponents) - np.cumsum(one.exponents)
    # 2000 logarithms, each rounded to some 1e-15.
    assert (difference * len(bits) <= start + 1e-8).all()
    assert (difference * len(bits) >= -end - 1e-8).all()
    assert max(start[-1], end[-1]) / len(bits) < 0.01


# Gated cells


def from_equinox(make, **more):
    """A cell of Equinox with random numbers for all weights, and how to copy them into ours."""
    empty = eqx.filter_eval_shape(make, INPUTS, UNITS, key=jax.random.key(0))
    theirs = jax.tree.map(lambda x: normal(*x.shape, seed=x.size), empty)
    names = {"recurrent_weight": "weight_hh", "input_weight": "weight_ih", "bias": "bias"} | more

    def copy(ours):
        def where(cell):
            return [getattr(cell, name) for name in names]

        return eqx.tree_at(where, ours, [getattr(theirs, name) for name in names.values()])

    return theirs, copy


def test_gru_is_the_gru_of_equinox(key):
    theirs, copy = from_equinox(eqx.nn.GRUCell, recurrent_bias="bias_n")
    ours = copy(fl.GRUCell(INPUTS, UNITS, key=key))
    state, inputs = normal(UNITS), normal(4, INPUTS)
    for input in inputs:
        expected = theirs(input, state)
        state = ours(state, input)
        close(state, expected)


def test_lstm_is_the_lstm_of_equinox(key):
    theirs, copy = from_equinox(eqx.nn.LSTMCell)
    ours = copy(fl.LSTMCell(INPUTS, UNITS, key=key))
    state, inputs = fl.LSTMState(*normal(2, UNITS)), normal(4, INPUTS)
    for input in inputs:
        expected = theirs(input, (state.hidden, state.cell))
        state = ours(state, input)
        close(state.hidden, expected[0])
        close(state.cell, expected[1])


def test_gru_update_bias_makes_it_remember(key):
    cell = fl.GRUCell(INPUTS, UNITS, update_bias=40.0, key=key)
    state = normal(UNITS)
    # The update gate is 1 - exp(-40) up to a factor of its other inputs.
    close(cell(state, normal(INPUTS)), state)


def test_lstm_forget_bias_makes_the_cell_remember(key):
    cell = fl.LSTMCell(INPUTS, UNITS, forget_bias=40.0, key=key)
    state, input = fl.LSTMState(*normal(2, UNITS)), normal(INPUTS)
    empty = fl.LSTMState(state.hidden, jnp.zeros(UNITS))
    close(cell(state, input).cell - cell(empty, input).cell, state.cell)


# Binary networks


def test_binary_step_is_its_equation(key):
    cell = fl.BinaryCell(INPUTS, UNITS, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    active = np.asarray(state) > 0
    assert 0 < active.sum() < UNITS
    close(cell(state, input), w @ active + u @ input + b)
    np.testing.assert_array_equal(cell.output(state), active)


def test_binary_jacobian_is_weights_times_surrogate_derivatives(key):
    cell = fl.BinaryCell(INPUTS, UNITS, surrogate=SuperSpike(2.0, peak=0.7), key=key)
    state = normal(UNITS)
    slopes = 0.7 / (2 * np.abs(state) + 1) ** 2
    expected = np.asarray(cell.recurrent_weight) @ np.diag(slopes)
    close(jacobian(cell, state, normal(INPUTS)), expected)


@functools.cache
def start_values():
    """A function of sharpness and keys: leading exponents of networks driven by random bits."""

    def first_exponent(sharpness, key):
        cell_key, bit_key, state_key, basis_key = jax.random.split(key, 4)
        cell = fl.BinaryCell(1, 80, surrogate=SuperSpike(sharpness), key=cell_key)
        bits = jax.random.bernoulli(bit_key, 0.5, (350, 1)).astype(float)
        state = cell.initial_state(key=state_key)
        return fl.lyapunov_spectrum(
            cell, state, bits, num_exponents=1, warmup=25, basis_warmup=25, key=basis_key
        ).exponents[0]

    return jax.jit(jax.vmap(first_exponent, (None, 0)))


@over(("sharpness", "published"), [(0.5, -0.21), (1.0, -0.49)])
def test_binary_networks_start_with_the_published_first_exponent(sharpness, published, key):
    exponents = start_values()(sharpness, jax.random.split(key, 9))
    # Networks of 80 units differ by a standard deviation of 0.05, so the mean of nine, as in the
    # figure, is known to 0.017: three of these.
    np.testing.assert_allclose(exponents.mean(), published, rtol=0, atol=0.05)


# Leaky integrate-and-fire networks

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


def test_lif_reset_gradients_and_resets_all_differ(key):
    """Nine choices give five Jacobians: there is one way to have no reset or to ignore it."""
    found = set()
    adaptation = ADAPTATION["adaptation"]
    for reset in RESETS:
        for reset_gradient in RESET_GRADIENTS:
            cell = lif(key, reset=reset, reset_gradient=reset_gradient, **adaptation)
            state = random_state(cell)
            found.add(np.round(jacobian(cell, state, jnp.zeros(INPUTS)), 6).tobytes())
    assert len(found) == 5


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
    spectrum = fl.lyapunov_spectrum(cell, start, inputs, basis_warmup=4000, key=key)
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
        "adaptation_strength": jnp.full(UNITS, 0.8),
    }
    if adaptation:
        constants["adaptation_time_constant"] = jnp.full(UNITS, 30.0)
    cell = lif(key, reset="subtract", **constants)

    def loss(cell):
        states = scan(cell, cell.initial_state(key=key), drive(20))
        return sum((x**2).sum() for x in jax.tree.leaves(states))

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(cell)
    assert jnp.abs(gradient.recurrent_weight).max() > 0
    for name in constants:
        np.testing.assert_array_equal(getattr(gradient, name), np.zeros(UNITS))


# Stacks


def test_stack_is_its_layers_run_by_hand(key):
    cell = stack(key)
    states, inputs = random_state(cell), normal(5, INPUTS)
    found = trajectory(cell, states, inputs)
    below = inputs
    for layer, state, its_states in zip(cell.layers, states, found, strict=True):
        expected = trajectory(layer, state, below)
        close(ravel_pytree(its_states)[0], ravel_pytree(expected)[0])
        below = jax.vmap(layer.output)(expected)
    np.testing.assert_array_equal(jax.vmap(cell.output)(found), below)


def test_stack_has_as_many_exponents_as_all_layers_have_states(key):
    cell = stack(key)
    spectrum = eqx.filter_eval_shape(
        fl.lyapunov_spectrum, cell, cell.initial_state(), jnp.zeros((5, INPUTS)), key=key
    )
    assert spectrum.exponents.shape == (UNITS + 3 * UNITS + 2 * UNITS,)


def test_stack_shrinks_volume_as_much_as_its_layers_together(key):
    """Its Jacobian is block-triangular: lower layers do not see higher ones."""
    cell = stack(key)
    states, input = random_state(cell), normal(INPUTS)
    alone = 0.0
    for layer, state, new in zip(cell.layers, states, cell(states, input), strict=True):
        alone += np.linalg.slogdet(jacobian(layer, state, input)).logabsdet
        input = layer.output(new)
    whole = jacobian(cell, states, normal(INPUTS))
    assert np.isfinite(alone)
    # The error of a log-determinant is some eps times the condition number.
    tolerance = 30 * np.finfo(float).eps * np.linalg.cond(whole)
    assert tolerance < 1e-6
    np.testing.assert_allclose(np.linalg.slogdet(whole).logabsdet, alone, rtol=0, atol=tolerance)


def test_stack_gives_each_layer_another_random_state(key):
    cell = fl.Stack([fl.TanhCell(UNITS, UNITS, key=key)] * 2)
    first, second = cell.initial_state(key=key)
    assert not jnp.allclose(first, second)


def test_stack_takes_its_sizes_from_its_ends(key):
    cell = fl.Stack([fl.TanhCell(INPUTS, UNITS, key=key), fl.TanhCell(UNITS, 4, key=key)])
    assert (cell.input_size, cell.hidden_size) == (INPUTS, 4)


# Dale's law

DALE = {
    "tanh, pre-activation": fl.TanhCell,
    "tanh, post-activation": functools.partial(fl.TanhCell, form="post-activation"),
    "binary": fl.BinaryCell,
    "lif": CELLS["lif"],
}


def column_signs(cell):
    """Least and greatest sign in each column of the effective weights, by the Jacobian near zero."""
    state = jax.tree.map(lambda x: 1e-6 * x, random_state(cell))
    matrix = jacobian(cell, state, jnp.zeros(INPUTS))
    if isinstance(cell, fl.LIFCell):
        matrix = matrix[cell.hidden_size :, : cell.hidden_size]
    signs = np.sign(matrix)
    return signs.min(0), signs.max(0)


def after_large_step(cell):
    """The cell after one gradient step that is large enough to change the signs of raw weights."""

    def loss(weight):
        changed = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        states = scan(changed, random_state(cell), normal(5, INPUTS))
        return jax.tree.leaves(states)[0][-1].sum()

    weight = cell.recurrent_weight - 100 * jax.jit(jax.grad(loss))(cell.recurrent_weight)
    return eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)


@over("make", DALE.values(), ids=DALE)
def test_dale_fixes_the_signs_of_columns_through_training(make, key):
    cell = make(INPUTS, UNITS, dale=0.6, key=key)
    trained = after_large_step(cell)
    flipped = jnp.sign(trained.recurrent_weight) != jnp.sign(cell.recurrent_weight)
    assert flipped.sum() > 2
    for network in (cell, trained):
        least, greatest = column_signs(network)
        np.testing.assert_array_equal(least, dale_signs(UNITS, 0.6))
        np.testing.assert_array_equal(greatest, dale_signs(UNITS, 0.6))


@over("make", DALE.values(), ids=DALE)
def test_signs_are_free_without_dale(make, key):
    least, greatest = column_signs(make(INPUTS, UNITS, key=key))
    assert (least < greatest).all()


# What all cells share


@over("name", CELLS)
def test_start_state_is_zero_without_a_key(name, key):
    variables = {"lstm": 2, "lif": 2, "lif, adaptive": 3}.get(name, 1)
    state = CELLS[name](INPUTS, UNITS, key=key).initial_state()
    np.testing.assert_array_equal(ravel_pytree(state)[0], np.zeros(variables * UNITS))


@every_cell
def test_start_state_is_random_with_a_key(make, key):
    cell = make(INPUTS, UNITS, key=key)
    one, again = cell.initial_state(key=key), cell.initial_state(key=key)
    other = cell.initial_state(key=jax.random.key(1))
    assert eqx.tree_equal(one, again)
    assert not eqx.tree_equal(one, other)
    assert jax.tree.structure(one) == jax.tree.structure(cell.initial_state())


@over("make", [CELLS["tanh, post-activation"], fl.GRUCell, fl.LSTMCell])
def test_random_rates_lie_within_reach(make, key):
    state = ravel_pytree(make(4, 200, key=key).initial_state(key=key))[0]
    assert (jnp.abs(state) < 1).all()
    assert state.min() < -0.9
    assert state.max() > 0.9


def test_random_membranes_lie_between_rest_and_threshold(key):
    thresholds = jnp.repeat(jnp.asarray([0.5, 2.0]), 100)
    state = fl.LIFCell(4, 200, threshold=thresholds, key=key).initial_state(key=key)
    relative = state.membrane / thresholds
    assert (relative >= 0).all()
    assert (relative < 1).all()
    assert all(half.max() > 0.9 for half in jnp.split(relative, 2))
    np.testing.assert_array_equal(state.synapse, jnp.zeros(200))


@every_cell
def test_output_is_one_number_per_unit(make, key):
    cell = make(INPUTS, UNITS, key=key)
    state = random_state(cell)
    readable = {fl.LSTMCell: lambda s: s.hidden, fl.TanhCell: lambda s: s, fl.GRUCell: lambda s: s}
    if type(cell) in readable:
        np.testing.assert_array_equal(cell.output(state), readable[type(cell)](state))
    else:
        assert set(np.unique(cell.output(state))) == {0, 1}
    assert cell.output(state).shape == (UNITS,)


@every_cell
def test_step_of_a_batch_is_the_batch_of_steps(make, key):
    cell = make(INPUTS, UNITS, key=key)
    states = [random_state(cell, seed) for seed in range(4)]
    states = jax.tree.map(lambda *x: jnp.stack(x), *states)
    inputs = normal(4, INPUTS)
    together = jax.vmap(cell)(states, inputs)
    for i in range(4):
        alone = cell(jax.tree.map(lambda x, i=i: x[i], states), inputs[i])
        picked = jax.tree.map(lambda x, i=i: x[i], together)
        close(ravel_pytree(picked)[0], ravel_pytree(alone)[0])


def test_many_networks_are_one_program(key):
    """Cells made under vmap are those made one by one, and run side by side."""
    keys = jax.random.split(key, 3)
    make = eqx.filter_vmap(lambda k: fl.LIFCell(INPUTS, UNITS, key=k))
    cells = eqx.filter_jit(make)(keys)
    state, input = random_state(fl.LIFCell(INPUTS, UNITS, key=key)), normal(INPUTS)
    together = eqx.filter_vmap(lambda cell: cell(state, input))(cells)
    for i, k in enumerate(keys):
        close(together.membrane[i], fl.LIFCell(INPUTS, UNITS, key=k)(state, input).membrane)


@over("make", [*CELLS.values(), None], ids=[*CELLS, "stack"])
def test_gradients_are_finite_and_reach_every_weight(make, key):
    cell = stack(key) if make is None else make(INPUTS, UNITS, key=key)

    def loss(arguments):
        cell, state = arguments
        states = scan(cell, state, inputs)
        return (jax.vmap(cell.output)(states) ** 2).sum()

    inputs = normal(20, INPUTS)
    by_cell, by_state = eqx.filter_jit(eqx.filter_grad(loss))((cell, random_state(cell)))
    for gradient in jax.tree.leaves((by_cell, by_state)):
        assert jnp.isfinite(gradient).all()
    for gradient in jax.tree.leaves(by_cell):
        assert (gradient != 0).any()


@every_cell
def test_cells_follow_the_default_precision(make, key):
    def build():
        cell = make(INPUTS, UNITS, key=key)
        return eqx.filter(cell, eqx.is_array), cell(cell.initial_state(key=key), jnp.ones(INPUTS))

    def dtypes():
        return {x.dtype for x in jax.tree.leaves(eqx.filter_eval_shape(build))}

    assert dtypes() == {jnp.dtype("float64")}
    with jax.enable_x64(False):
        assert dtypes() == {jnp.dtype("float32")}


@over("make", [fl.TanhCell, fl.GRUCell, fl.LSTMCell, fl.BinaryCell])
def test_input_weights_have_the_documented_spread(make, key):
    weight = make(4, 200, input_gain=3.0, key=key).input_weight
    # The relative error of a standard deviation from n numbers is sqrt(1 / 2n): five of these.
    np.testing.assert_allclose(weight.std(), 3 / 4, rtol=5 * math.sqrt(1 / (2 * weight.size)))


def test_lif_input_weights_have_the_documented_spread(key):
    weight = fl.LIFCell(4, 200, input_gain=3.0, key=key).input_weight
    np.testing.assert_allclose(weight.std(), 3 / 2, rtol=5 * math.sqrt(1 / (2 * weight.size)))


@over("make", [fl.TanhCell, fl.BinaryCell])
def test_biases_are_uniform_between_zero_and_their_range(make, key):
    bias = make(4, 200, bias_range=0.3, key=key).bias
    assert (bias >= 0).all()
    assert (bias <= 0.3).all()
    # The mean of n uniform numbers of standard deviation range / sqrt(12): five of these.
    np.testing.assert_allclose(bias.mean(), 0.15, atol=5 * 0.3 / math.sqrt(12 * 200))


def test_binary_default_recurrence_has_variance_two_over_n(key):
    weight = fl.BinaryCell(4, 200, key=key).recurrent_weight
    np.testing.assert_allclose(weight.var(), 2 / 200, rtol=5 * math.sqrt(2 / weight.size))


# Errors


WRONG_STATES = {
    "tanh, pre-activation": (jnp.zeros(4), "state: expected shape (5,), got (4,)."),
    "tanh, post-activation": (jnp.zeros((2, 5)), "state: expected shape (5,), got (2, 5)."),
    "gru": (jnp.zeros(()), "state: expected shape (5,), got ()."),
    "lstm": (
        fl.LSTMState(jnp.zeros(5), jnp.zeros(4)),
        "state.cell: expected shape (5,), got (4,).",
    ),
    "binary": (jnp.zeros(4), "state: expected shape (5,), got (4,)."),
    "lif": (
        fl.LIFState(jnp.zeros(4), jnp.zeros(5)),
        "state.membrane: expected shape (5,), got (4,).",
    ),
    "lif, adaptive": (
        fl.LIFState(jnp.zeros(5), jnp.zeros(5)),
        "state.adaptation: expected shape (5,), got None.",
    ),
}


@over("name", CELLS)
def test_wrong_states_are_named(name, key, untyped):
    state, message = WRONG_STATES[name]
    with raises(ValueError, message):
        CELLS[name](INPUTS, UNITS, key=key)(state, jnp.zeros(INPUTS))


@over("shape", [(), (2,), (4, 3)])
@every_cell
def test_wrong_inputs_are_named(make, shape, key, untyped):
    cell = make(INPUTS, UNITS, key=key)
    with raises(ValueError, f"input: expected shape (3,), got {shape}."):
        cell(cell.initial_state(), jnp.zeros(shape))


def test_stack_wants_one_state_per_layer(key, untyped):
    cell = stack(key)
    with raises(ValueError, "state: expected one entry for each of 3 layers, got 2."):
        cell(cell.initial_state()[:2], jnp.zeros(INPUTS))


def test_stack_refuses_layers_that_do_not_fit(key, untyped):
    layers = [fl.TanhCell(INPUTS, UNITS, key=key), fl.GRUCell(INPUTS, UNITS, key=key)]
    message = "layers[1]: input_size is 3, but the layer below has hidden_size 5."
    with raises(ValueError, message):
        fl.Stack(layers)


@over(
    ("layers", "error", "message"),
    [
        ([], ValueError, "layers: expected at least one cell, got none."),
        ([jnp.tanh], TypeError, "layers[0]: expected a cell, got "),
    ],
)
def test_stack_refuses_what_is_no_cell(layers, error, message, untyped):
    with raises(error, message):
        fl.Stack(layers)


@over(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: expected at least 1, got 0."),
        ({"hidden_size": 2.0}, TypeError, "hidden_size: expected an integer, got 2.0 (float)."),
        ({"hidden_size": True}, TypeError, "hidden_size: expected an integer, got True (bool)."),
        ({"input_gain": math.nan}, ValueError, "input_gain: expected finite numbers, got nan."),
        ({"key": None}, ValueError, "key: expected a random key such as jax.random.key(0), got"),
        ({"key": 7}, TypeError, "key: expected a random key such as jax.random.key(0), got 7"),
        (
            {"recurrent": lambda key, size: jnp.ones(size)},
            ValueError,
            "recurrent: expected shape (5, 5), got (5,).",
        ),
    ],
)
@every_cell
def test_bad_arguments_are_named(make, options, error, message, key, untyped):
    arguments = {"input_size": INPUTS, "hidden_size": UNITS, "key": key} | options
    with raises(error, message):
        make(**arguments)


@over(
    ("make", "options", "error", "message"),
    [
        (fl.TanhCell, {"form": "post"}, ValueError, "form: expected one of 'pre-activation', 'p"),
        (fl.TanhCell, {"bias_range": -0.1}, ValueError, "bias_range: expected a finite non-negat"),
        (
            fl.TanhCell,
            {"dale": 1.2},
            ValueError,
            "dale: expected a number between 0 and 1, got 1.2",
        ),
        (fl.BinaryCell, {"bias_range": -0.1}, ValueError, "bias_range: expected a finite non-neg"),
        (fl.BinaryCell, {"dale": -1.0}, ValueError, "dale: expected a finite non-negative number"),
        (fl.GRUCell, {"update_bias": math.inf}, ValueError, "update_bias: expected finite numbers"),
        (fl.LSTMCell, {"forget_bias": "1"}, TypeError, "forget_bias: expected a number, got '1'"),
        (fl.LIFCell, {"time_step": 0.0}, ValueError, "time_step: expected a finite positive numb"),
        (fl.LIFCell, {"reset": "hard"}, ValueError, "reset: expected one of 'to_zero', 'subtract"),
        (fl.LIFCell, {"reset_gradient": ""}, ValueError, "reset_gradient: expected one of 'detac"),
        (fl.LIFCell, {"threshold": -1.0}, ValueError, "threshold: expected a finite positive num"),
        (fl.LIFCell, {"dale": 2.0}, ValueError, "dale: expected a number between 0 and 1, got 2."),
        (
            fl.LIFCell,
            {"membrane_time_constant": jnp.ones(4)},
            ValueError,
            "membrane_time_constant: expected one number or shape (5,), got shape (4,).",
        ),
        (
            fl.LIFCell,
            {"synapse_time_constant": jnp.zeros(5)},
            ValueError,
            "synapse_time_constant: expected a finite positive number, got 0.0.",
        ),
        (
            fl.LIFCell,
            {"adaptation_time_constant": math.inf},
            ValueError,
            "adaptation_time_constant: expected a finite positive number, got inf.",
        ),
        (
            fl.LIFCell,
            {"adaptation_strength": -0.1},
            ValueError,
            "adaptation_strength: expected a finite non-negative number, got -0.1.",
        ),
        (
            fl.LIFCell,
            {"dale": 0.8, "centred": True},
            ValueError,
            "centred: rows with a mean of zero contradict fixed signs (dale).",
        ),
    ],
)
def test_bad_options_are_named(make, options, error, message, key, untyped):
    with raises(error, message):
        make(INPUTS, UNITS, key=key, **options)
