"""Directions that a step maps to zero: how many, which, who is told, and that the others stay exact."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import flossing as fl

lost_warning = pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")


def stretch(state, factors):
    return factors * state


def _constant(matrix, state, input):
    return matrix @ state


def dying(*deaths, steps=12, factors=(3.0, 2.0, 0.5)):
    """Constant stretching factors of three directions, zero at the given ``(step, direction)``."""
    result = np.ones((steps, 1)) * np.array(factors)
    for step, direction in deaths:
        result[step, direction] = 0
    return jnp.asarray(result)


ORDERS = [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)]


@lost_warning
@pytest.mark.parametrize("direction", [0, 1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_survivors_keep_their_exact_exponents_whichever_column_dies(direction, order, x64):
    # The start basis is made of coordinate axes, in any order, so that each column has its own exponent.
    spectrum = fl.lyapunov_spectrum(
        stretch, jnp.zeros(3), dying((5, direction)), basis=jnp.eye(3)[:, jnp.array(order)]
    )
    survivors = [np.log((3.0, 2.0, 0.5)[axis]) for axis in order if axis != direction]
    np.testing.assert_allclose(spectrum.exponents, [*survivors, -np.inf], rtol=0, atol=1e-13)


@lost_warning
@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("order", ORDERS[:3])
def test_two_deaths_in_the_same_step_leave_one_exact_survivor(every, order, x64):
    spectrum = fl.lyapunov_spectrum(
        stretch,
        jnp.zeros(3),
        dying((5, 0), (5, 2)),
        basis=jnp.eye(3)[:, jnp.array(order)],
        renormalise_every=every,
    )
    np.testing.assert_allclose(
        spectrum.exponents, [np.log(2), -np.inf, -np.inf], rtol=0, atol=1e-13
    )


@lost_warning
def test_deaths_at_different_times_add_up(x64):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((3, 0), (8, 1)), basis=jnp.eye(3))
    np.testing.assert_allclose(
        spectrum.exponents, [np.log(0.5), -np.inf, -np.inf], rtol=0, atol=1e-13
    )


@lost_warning
def test_survivors_keep_their_exact_exponents_after_a_death_in_the_last_step(x64):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((11, 0)), basis=jnp.eye(3))
    np.testing.assert_allclose(
        spectrum.exponents, [np.log(2), np.log(0.5), -np.inf], rtol=0, atol=1e-13
    )


@lost_warning
def test_survivors_have_the_exponents_of_the_map_without_the_dying_direction(x64):
    blocks = np.random.default_rng(0).normal(size=(20, 2, 2))
    whole = np.zeros((20, 3, 3))
    whole[:, 1:, 1:], whole[:, 0, 0] = blocks, 5.0
    whole[10, 0, 0] = 0
    with_dying = fl.lyapunov_spectrum(
        lambda x, matrix: matrix @ x, jnp.zeros(3), whole, basis=jnp.eye(3)
    )
    alone = fl.lyapunov_spectrum(lambda x, m: m @ x, jnp.zeros(2), blocks, basis=jnp.eye(2))
    np.testing.assert_allclose(with_dying.exponents[:2], alone.exponents, rtol=0, atol=1e-12)


@lost_warning
@pytest.mark.parametrize(
    ("matrix", "lost"),
    [
        (np.diag([0.5, 0.3, 0.0]), 1),
        ([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], 2),
        ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], 3),
        ([[0.5, 2.0, 3.0], [0.0, 0.3, 1.0], [0.0, 0.0, 0.0]], 1),
    ],
    ids=["zero row", "nilpotent block", "nilpotent", "triangular with zero row"],
)
def test_as_many_directions_are_lost_as_a_power_of_the_map_has_zero_eigenvalues(matrix, lost, key):
    spectrum = fl.lyapunov_spectrum(
        Partial(_constant, jnp.array(matrix)), jnp.zeros(3), num_steps=10, key=key
    )
    np.testing.assert_array_equal(spectrum.lost, [False] * (3 - lost) + [True] * lost)


@pytest.fixture
def spiking(key, x64):
    """Three LIF neurons without recurrence; the first two are driven and spike, the third is silent."""
    cell = fl.LIFCell(1, 3, recurrent=fl.initialisers.Gaussian(0.0), key=key)
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.array([[0.4], [0.7], [0.0]]))
    return cell, cell.initial_state(), jnp.ones((600, 1))


@lost_warning
def test_each_neuron_that_ever_resets_to_zero_loses_one_direction(spiking, key):
    cell, state, inputs = spiking
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, warmup=200, key=key)
    np.testing.assert_array_equal(spectrum.lost, [False] * 4 + [True] * 2)


@lost_warning
def test_what_survives_resets_decays_with_the_synapses(spiking, key):
    # A surviving tangent of a spiking neuron points along the synapse, with a membrane part below half of
    # that: ln(sqrt(1.25)) over 400 steps is 3e-4. The silent neuron keeps its membrane.
    cell, state, inputs = spiking
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, warmup=200, key=key)
    expected = [-0.1, -0.2, -0.2, -0.2]
    np.testing.assert_allclose(spectrum.exponents[:4], expected, rtol=0, atol=3e-4)


def test_as_many_exponents_as_survive_can_be_had_without_a_warning(spiking, key):
    cell, state, inputs = spiking
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, num_exponents=4, key=key)
    assert not spectrum.lost.any()


def test_warning_counts_and_names_the_lost_exponents(x64):
    with pytest.warns(
        fl.LostDirectionsWarning,
        match=r"2 of 3 tangent .* exponents number 2 to 3 are minus infinity.* At most 1 ",
    ):
        fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 0), (5, 2)), basis=jnp.eye(3))


@pytest.mark.parametrize("part", ["state_warmup", "warmup"])
def test_warning_covers_the_basis_warmup_and_not_the_warmup(part, recwarn, x64):
    fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 0)), basis=jnp.eye(3), **{part: 8})
    expected = [fl.LostDirectionsWarning] if part == "warmup" else []
    assert [warning.category for warning in recwarn] == expected


@lost_warning
def test_final_basis_is_orthonormal_with_zero_columns_for_lost_directions(x64):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 0)), basis=jnp.eye(3))
    gram = spectrum.final_basis.T @ spectrum.final_basis
    np.testing.assert_allclose(gram, np.diag([1.0, 1.0, 0.0]), rtol=0, atol=1e-14)


@lost_warning
def test_final_basis_is_orthonormal_after_a_death_in_the_last_step(x64):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((11, 0)), basis=jnp.eye(3))
    gram = spectrum.final_basis.T @ spectrum.final_basis
    np.testing.assert_allclose(gram, np.diag([1.0, 1.0, 0.0]), rtol=0, atol=1e-14)


@lost_warning
def test_finite_time_exponents_are_finite_before_the_death_and_not_after(x64):
    spectrum = fl.lyapunov_spectrum(
        stretch, jnp.zeros(3), dying((5, 0)), basis=jnp.eye(3), num_windows=4
    )
    np.testing.assert_array_equal(np.isinf(spectrum.finite_time[:, 2]), [False, True, True, True])


@lost_warning
def test_lost_directions_have_no_standard_error(key):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 0)), key=key)
    assert spectrum.standard_errors[2] == 0


@lost_warning
def test_dimension_of_a_spectrum_with_lost_directions_is_finite(x64):
    spectrum = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 2)), basis=jnp.eye(3))
    assert spectrum.kaplan_yorke_dimension == 2


@lost_warning
def test_lost_directions_stay_lost_in_the_next_chunk(x64):
    early = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying((5, 0)), basis=jnp.eye(3))
    late = fl.lyapunov_spectrum(stretch, jnp.zeros(3), dying(), basis=early.final_basis)
    np.testing.assert_allclose(
        late.exponents, [np.log(2), np.log(0.5), -np.inf], rtol=0, atol=1e-13
    )


def test_a_tangent_that_is_nan_is_an_error_and_not_a_loss(key):
    def step(state, on):
        return jax.lax.cond(on, lambda x: jnp.sqrt(0 * x), lambda x: x, state)

    with pytest.raises(ValueError, match="NaN or infinite by step 3;"):
        fl.lyapunov_spectrum(step, jnp.ones(2), jnp.arange(5) == 2, key=key)


def test_compiled_code_does_not_warn_but_says_which_directions_are_lost(x64):
    run = jax.jit(
        lambda inputs: fl.lyapunov_spectrum(stretch, jnp.zeros(3), inputs, basis=jnp.eye(3)).lost
    )
    np.testing.assert_array_equal(run(dying((5, 0))), [False, False, True])


def test_a_batch_loses_directions_one_by_one(x64):
    order = ORDERS[1]
    basis = jnp.eye(3)[:, jnp.array(order)]

    def run(inputs):
        return fl.lyapunov_spectrum(stretch, jnp.zeros(3), inputs, basis=basis).exponents

    batch = jnp.stack([dying(), dying((5, order[0]))])
    logs = np.log([(3.0, 2.0, 0.5)[axis] for axis in order])
    np.testing.assert_allclose(
        jax.vmap(run)(batch), [logs, [*logs[1:], -np.inf]], rtol=0, atol=1e-13
    )
