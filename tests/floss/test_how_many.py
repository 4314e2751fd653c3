"""How many exponents are flossed where nobody says so."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import flossing as fl

KEY = jax.random.key(0)


def flossed(model, state, *, inputs=1, **settings):
    """How many exponents an update moves."""
    flosser = fl.Flosser(window=4, warmup=1, state_warmup=0, **settings)
    given = model, flosser.init(model), state, jnp.zeros((4, inputs))
    return eqx.filter_eval_shape(flosser.update, *given, key=KEY)[2].exponents.shape[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (lambda: fl.TanhCell(1, 80, key=KEY), 75),
        (lambda: fl.GRUCell(1, 64, key=KEY), 60),
        (lambda: fl.LSTMCell(1, 80, key=KEY), 75),  # 160 state variables
        (lambda: fl.LIFCell(1, 80, key=KEY), 75),  # 160 state variables
        (lambda: fl.TanhCell(1, 1024, key=KEY), 128),
        (lambda: fl.TanhCell(1, 1, key=KEY), 1),
        (lambda: fl.Stack([fl.TanhCell(1, 20, key=KEY), fl.TanhCell(20, 30, key=KEY)]), 47),
    ],
)
def test_nearly_as_many_exponents_are_flossed_as_a_cell_has_units(cell, expected):
    made = cell()
    assert flossed(made, made.initial_state()) == expected


@pytest.mark.slow
def test_of_another_step_nearly_all_state_variables_count():
    model = {"weight": jnp.eye(10)}
    step = lambda m: lambda state, input: {"a": m["weight"] @ state["a"], "b": state["b"] / 2}  # noqa: E731
    assert flossed(model, {"a": jnp.ones(10), "b": jnp.ones(7)}, step=step) == 16


@pytest.mark.slow
def test_a_given_number_is_taken_as_far_as_there_are_directions():
    cell = fl.TanhCell(1, 12, key=KEY)
    assert flossed(cell, cell.initial_state(), num_exponents=3) == 3
    assert flossed(cell, cell.initial_state(), num_exponents=16) == 12


def test_the_published_schedule_has_its_own_number():
    assert fl.Phases.published().num_exponents == 75
