"""Attractor dimension and entropy rate from a spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flossing as fl

INF = np.inf
PROPERTY = settings(max_examples=25, deadline=None)
# Single-precision arithmetic on a handful of numbers.
EXACT = 1e-5


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.9056, 0.0, -14.5723], 2 + 0.9056 / 14.5723),
        ([0.41922, -1.62319], 1 + 0.41922 / 1.62319),
        ([0.3, 0.2, -0.1, -0.8, -2.0], 3 + 0.4 / 0.8),
        ([-0.1, -2.0], 0),
        ([0.0, -1.0], 1),
        ([1.0, -1.0, -5.0], 2),
        ([0.5, -INF], 1),
        ([0.5, -0.2, -INF, -INF], 2),
        ([-INF, -INF], 0),
        ([-1.62319, 0.41922], 1 + 0.41922 / 1.62319),
    ],
    ids=[
        "Lorenz", "Henon", "between", "all negative", "marginal", "sum zero", "lost after first",
        "lost after second", "all lost", "unsorted",
    ],
)  # fmt: skip
def test_kaplan_yorke_dimension(exponents, dimension):
    found = fl.kaplan_yorke_dimension(jnp.array(exponents))
    assert float(found) == pytest.approx(dimension, abs=EXACT)


def test_dimension_is_that_of_the_state_if_volumes_do_not_shrink():
    assert fl.kaplan_yorke_dimension(jnp.array([0.5, 0.1, -0.2]), state_dimension=3) == 3


@pytest.mark.parametrize("state_dimension", [None, 5])
def test_dimension_needs_more_exponents_while_their_sum_is_positive(state_dimension):
    with pytest.raises(ValueError, match=r"sum of all 2 is still 0\.4; more exponents are needed"):
        fl.kaplan_yorke_dimension(jnp.array([0.5, -0.1]), state_dimension=state_dimension)


def test_undetermined_dimension_is_infinite_in_compiled_code():
    assert jax.jit(fl.kaplan_yorke_dimension)(jnp.array([0.5, -0.1])) == INF


def test_dimension_of_known_exponents_can_be_computed_inside_compiled_code():
    exponents = jnp.array([0.5, -1.0])
    found = jax.jit(lambda: fl.kaplan_yorke_dimension(exponents))()
    assert float(found) == pytest.approx(1.5, abs=EXACT)


# Multiples of 1/16, whose sums are exact in single precision.
spectra = st.lists(st.integers(-48, 48), min_size=1, max_size=6).map(
    lambda exponents: np.array([*exponents, -800], np.float32) / 16
)


@PROPERTY
@given(spectra)
def test_dimension_lies_between_its_whole_part_and_one_more(exponents):
    ordered = np.sort(exponents)[::-1]
    whole = int(np.sum(np.cumsum(ordered) >= 0))
    assert whole <= float(fl.kaplan_yorke_dimension(jnp.asarray(exponents))) <= whole + 1


@PROPERTY
@given(spectra, st.sampled_from([0.25, 2.0, 64.0]))
def test_dimension_does_not_depend_on_the_unit_of_time(exponents, factor):
    # Powers of two, so that scaling does not round.
    found = fl.kaplan_yorke_dimension(jnp.asarray(factor * exponents))
    assert found == fl.kaplan_yorke_dimension(jnp.asarray(exponents))


@pytest.mark.parametrize(
    ("exponents", "rate"),
    [([0.9056, 0.0, -14.5723], 0.9056), ([0.3, 0.2, -INF], 0.5), ([-0.1, -2.0], 0.0)],
)
def test_entropy_rate_is_the_sum_of_the_positive_exponents(exponents, rate):
    assert float(fl.entropy_rate(jnp.array(exponents))) == pytest.approx(rate, abs=EXACT)


def test_entropy_rate_of_all_exponents_may_consist_of_positive_ones():
    found = fl.entropy_rate(jnp.array([0.3, 0.2]), state_dimension=2)
    assert float(found) == pytest.approx(0.5, abs=EXACT)


def test_undetermined_entropy_rate_is_infinite_in_compiled_code():
    assert jax.jit(fl.entropy_rate)(jnp.array([0.3, 0.2])) == INF


@pytest.fixture(scope="module")
def doubling():
    """The spectrum of a map that stretches all of its two directions."""
    return fl.lyapunov_spectrum(
        lambda x, _: 2 * x, jnp.zeros(2), num_steps=5, key=jax.random.key(0)
    )


def test_a_full_spectrum_knows_that_it_is_full_for_its_dimension(doubling):
    assert doubling.kaplan_yorke_dimension == 2


def test_a_full_spectrum_knows_that_it_is_full_for_its_entropy_rate(doubling):
    assert float(doubling.entropy_rate) == pytest.approx(2 * np.log(2), abs=EXACT)
