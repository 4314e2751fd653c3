"""What spectra and covariant vectors print, draw and hand on: the numbers that they hold."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import flossing as fl
from flossing.floss import FlossInfo

FACTORS = jnp.array([2.0, 1.0, 0.5, 0.1, 0.0])
OF_EXPONENTS = ("exponents", "standard_errors", "finite_time", "lost", "final_basis")


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def diagonal(x, u):
    return FACTORS * x


@pytest.fixture
def spectrum(key):
    options = {"basis": jnp.eye(5), "time_step": 0.5, "renormalise_every": 1}
    with pytest.warns(fl.LostDirectionsWarning):
        return fl.lyapunov_spectrum(diagonal, jnp.ones(5), num_steps=20, **options)


@pytest.fixture
def driven(network, key):
    """A spectrum of 12 exponents that are all different, with errors."""
    cell, state, inputs = network("tanh", 60, 12)
    return fl.lyapunov_spectrum(cell, state, inputs, warmup=10, renormalise_every=1, key=key)


def rows_of(text):
    lines = [line.split() for line in text.splitlines() if line.startswith("  ")][1:]
    return {int(row[0]): [float(x) for x in row[1:]] for row in lines if row[0] != "..."}


def test_time_constants_are_those_of_the_factors(spectrum):
    expected = [0.5 / np.log(2), np.inf, 0.5 / np.log(2), 0.5 / np.log(10), 0]
    np.testing.assert_allclose(spectrum.time_constants, expected, rtol=1e-6)


@pytest.mark.slow
def test_a_spectrum_prints_its_numbers(spectrum, driven):
    assert repr(spectrum).splitlines() == [
        "5 of 5 Lyapunov exponents, nats per unit time, 20 steps",
        "  i  exponent  error  time constant (units of time)",
        "  1    +1.386  0.000                          0.721",
        "  2    +0.000  0.000                            inf",
        "  3    -1.386  0.000                          0.721",
        "  4    -4.605  0.000                          0.217",
        "  5      -inf  0.000                              0",
        "Kaplan-Yorke dimension: 3",
        "lost directions: 1, with exponents of minus infinity",
    ]
    rows = rows_of(str(driven))
    assert list(rows) == [1, 2, 3, 4, 5, 12]
    at = np.array(list(rows)) - 1
    for column, values in enumerate((driven.exponents, driven.standard_errors)):
        np.testing.assert_allclose([row[column] for row in rows.values()], values[at], atol=5e-4)
    np.testing.assert_allclose(
        [row[2] for row in rows.values()], driven.time_constants[at], rtol=6e-3
    )
    assert f"Kaplan-Yorke dimension: {float(driven.kaplan_yorke_dimension):.3g}" in str(driven)


@pytest.mark.parametrize("k", [1, 7, 8, 12])
def test_a_spectrum_has_ten_lines_at_most(k, driven):
    first = {name: getattr(driven, name)[..., :k] for name in OF_EXPONENTS}
    found = dataclasses.replace(driven, **first)
    assert len(repr(found).splitlines()) == min(k, 7) + 3
    assert found._repr_html_().count("<tr>") == min(k, 7) + 1


def test_too_few_exponents_give_a_bound_of_the_dimension(key):
    found = fl.lyapunov_spectrum(diagonal, jnp.ones(5), num_steps=9, num_exponents=2, key=key)
    assert "Kaplan-Yorke dimension: at least 2" in repr(found)


@pytest.mark.slow
def test_spectra_of_several_trajectories_print_their_median(network, key):
    cell, _, inputs = network("tanh", 30, 4)
    one = lambda x: fl.lyapunov_spectrum(cell, x, inputs, renormalise_every=1, key=key)  # noqa: E731
    many = jax.jit(jax.vmap(one))(jax.random.normal(key, (3, 4)))
    assert "nats per step, 30 steps, 3 trajectories" in repr(many)
    found = np.array(list(rows_of(repr(many)).values()))
    values = np.asarray(many.exponents)
    expected = [np.median(values, 0), values.min(0), values.max(0)]
    np.testing.assert_allclose(found.T, expected, atol=5e-4)
    data = many.to_xarray()
    assert data["exponents"].dims == ("trajectory", "exponent")
    assert data["finite_time"].dims == ("trajectory", "window", "exponent")
    lines = many.plot().get_lines()
    np.testing.assert_array_equal([line.get_ydata() for line in lines[:3]], values)
    np.testing.assert_allclose(lines[3].get_ydata(), np.median(values, 0))


def test_numbers_that_are_not_known_are_shown_by_their_shapes(driven):
    texts = []

    @jax.jit
    def within(spectrum):
        texts.append(repr(spectrum))
        assert spectrum._repr_html_() is None
        return spectrum.time_constants

    np.testing.assert_allclose(within(driven), 1 / jnp.abs(driven.exponents))
    texts.append(repr(jax.eval_shape(lambda x: x, driven)))
    texts.append(repr(jax.tree.map(lambda x: None, driven)))
    assert "exponents=f32[12]" in texts[0]
    assert "shape=(12,)" in texts[1]
    assert "exponents=None" in texts[2]
    given_away = jax.tree.map(lambda x: x + 0, driven)
    given_away.exponents.delete()
    assert repr(given_away).startswith("LyapunovSpectrum(")


def test_a_spectrum_draws_its_numbers(driven, spectrum):
    axis = driven.plot()
    points, zero = axis.get_lines()
    np.testing.assert_array_equal(points.get_xdata(), np.arange(1, 13))
    np.testing.assert_allclose(points.get_ydata(), driven.exponents)
    assert list(zero.get_ydata()) == [0, 0]
    bars = np.array(axis.collections[0].get_segments())
    errors = np.asarray(driven.standard_errors)
    np.testing.assert_allclose(bars[:, 1, 1] - bars[:, 0, 1], 2 * errors, rtol=1e-4, atol=1e-6)
    assert "nats per step" in axis.get_ylabel()
    given = plt.figure().subplots()
    count = len(plt.get_fignums())
    assert spectrum.plot(given) is given
    assert len(plt.get_fignums()) == count
    np.testing.assert_allclose(given.get_lines()[0].get_ydata(), spectrum.exponents[:4], rtol=1e-6)
    texts = [text.get_text() for text in given.get_legend().get_texts()]
    assert "lost directions, not shown: 1" in texts
    assert "unit time" in given.get_ylabel()


def test_a_dataset_has_the_fields_and_their_units(driven, spectrum, tmp_path):
    data = driven.to_xarray()
    for name in ("exponents", "standard_errors", "finite_time", "lost", "time_constants"):
        np.testing.assert_array_equal(data[name], getattr(driven, name))
    np.testing.assert_array_equal(data["window_steps"], driven.window_steps)
    assert data["finite_time"].dims == ("window", "exponent")
    assert data["exponent"].values.tolist() == list(range(1, 13))
    assert data["exponents"].attrs["units"] == "nats per step"
    assert data.attrs["state_dimension"] == 12
    assert "time_step" not in data.attrs
    assert spectrum.to_xarray().attrs["time_step"] == 0.5
    assert spectrum.to_xarray()["exponents"].attrs["units"] == "nats per unit time"
    data.to_netcdf(tmp_path / "spectrum.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "spectrum.nc", engine="h5netcdf"), data)


@pytest.mark.slow
def test_covariant_vectors_print_and_draw_their_angles(network, key):
    cell, state, inputs = network("tanh", 50, 4)
    found = fl.covariant_vectors(cell, state, inputs, warmup=10, tail=10, key=key)
    vectors = np.asarray(found.vectors)
    cosines = np.mean([np.abs(v.T @ v) for v in vectors], axis=0)
    np.testing.assert_allclose(found.alignment, cosines, rtol=1e-5)
    rows = rows_of(repr(found))
    others = cosines[~np.eye(4, dtype=bool)].reshape(4, 3)
    for column, values in enumerate((found.exponents, others.mean(1), others.max(1))):
        np.testing.assert_allclose([row[column] for row in rows.values()], values, rtol=6e-3)
    axis = found.plot()
    np.testing.assert_allclose(axis.collections[0].get_array().reshape(4, 4), cosines, rtol=1e-5)
    data = found.to_xarray()
    assert data["vectors"].dims == ("time", "variable", "exponent")
    np.testing.assert_array_equal(data["vectors"], vectors)
    np.testing.assert_array_equal(data["local_exponents"], found.local_exponents)
    single = fl.covariant_vectors(cell, state, inputs, num_exponents=1, key=key)
    assert len(repr(single).splitlines()) == 3


def test_infos_of_flossing_are_one_line(key):
    info = FlossInfo(jnp.array(0.25), jnp.array([0.5, -1.0, -2.0]), *map(jnp.array, (0, False, 0)))
    text = "FlossInfo(loss=0.25, exponents=0.5 to -2 (3), num_lost=0, skipped=False, num_skipped=0)"
    assert repr(info) == text
    assert "exponents=Array" in repr(jax.tree.map(lambda x: x[None], info))
