"""What the benchmarks of growth and of products count (no timing here)."""

import dataclasses
import importlib
import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_exponents_do_not_depend_on_how_they_are_computed(module):
    growth = module("growth")
    ways = [{}, {"gradient": False}, {"renormalise_every": 1}, {"store_every": 5}]
    found = [growth.measure(growth.Point(8, 3, 30, **way)) for way in ways]
    for one in found:
        assert one["first_exponent"] == pytest.approx(found[0]["first_exponent"], abs=1e-5)
        assert one["last_exponent"] == pytest.approx(found[0]["last_exponent"], abs=1e-5)
        assert one["milliseconds"] > 0


def test_a_growth_exponent_is_the_slope_of_the_last_two_doublings(module):
    exponent = module("growth").exponent
    assert exponent([1.0, 3.0, 6.0, 12.0]) == pytest.approx(1)
    assert exponent([5.0, 10.0, 40.0]) == pytest.approx(1.5)


def test_wide_spectra_are_renormalised_at_every_step_and_equal_exponents_rarely(module):
    products, problems = module("products"), module("_flossing_problems")
    wide = problems.Case("tanh", 40, 40, 30, 0.0, "auto")
    problem = problems.make_problem(wide)
    assert products.renormalisations(wide, problem) == 30
    arrays = lambda c: (c.recurrent_weight, c.input_weight, c.bias)  # noqa: E731
    cell = eqx.tree_at(arrays, problem.cell, (0.9 * jnp.eye(40), jnp.zeros((40, 1)), jnp.zeros(40)))
    equal = dataclasses.replace(problem, cell=cell, state=jnp.zeros(40))
    # After 1, 3, 7 and 15 steps, since no interval is longer than twice the last one, before the last step,
    # so that the guard sees what came before it, and at the end.
    assert products.renormalisations(wide, equal) == 6
