"""How many exponents are flossed where nobody says so."""

import jax
import jax.numpy as jnp
import pytest

import flossing as fl

KEY = jax.random.key(0)


def flossed(make, state=None, **settings):
    """How many exponents an update moves; nothing is computed, not even the model."""
    flosser = fl.Flosser(window=2, warmup=0, state_warmup=0, renormalise_every=1, **settings)

    def exponents():
        model = make()
        start = model.initial_state() if state is None else state
        given = model, flosser.init(model), start, jnp.zeros((2, 1))
        return flosser.update(*given, key=KEY)[2].exponents

    return jax.eval_shape(exponents).shape[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (lambda: fl.TanhCell(1, 80, key=KEY), 75),
        (lambda: fl.GRUCell(1, 64, key=KEY), 60),
        (lambda: fl.LSTMCell(1, 80, key=KEY), 75),  # 160 state variables
        (lambda: fl.LIFCell(1, 80, key=KEY), 75),  # 160 state variables
        (lambda: fl.TanhCell(1, 1024, key=KEY), 512),
        (lambda: fl.TanhCell(1, 1, key=KEY), 1),
        (lambda: fl.Stack([fl.TanhCell(1, 20, key=KEY), fl.TanhCell(20, 30, key=KEY)]), 47),
    ],
)
def test_nearly_as_many_exponents_are_flossed_as_a_cell_has_units(cell, expected):
    assert flossed(cell) == expected


@pytest.mark.slow
def test_of_another_step_nearly_all_state_variables_count():
    step = lambda m: lambda state, input: {"a": m["weight"] @ state["a"], "b": state["b"] / 2}  # noqa: E731
    state = {"a": jnp.ones(10), "b": jnp.ones(7)}
    assert flossed(lambda: {"weight": jnp.eye(10)}, state, step=step) == 16


@pytest.mark.slow
def test_a_given_number_is_taken_as_far_as_there_are_directions():
    make = lambda: fl.TanhCell(1, 12, key=KEY)  # noqa: E731
    assert flossed(make, num_exponents=3) == 3
    assert flossed(make, num_exponents=16) == 12
    # Of an LSTM as many as it has units: flossed in all directions, gates shut and nothing is learned.
    layers = lambda: [fl.LSTMCell(1, 3, key=KEY), fl.TanhCell(3, 2, key=KEY)]  # noqa: E731
    assert flossed(lambda: fl.Stack(layers()), num_exponents=75) == 3 + 2


def test_the_published_schedule_has_its_own_number():
    assert fl.Phases.published().num_exponents == 75
