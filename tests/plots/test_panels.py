"""Panels hold the numbers that they are given, in the units of their labels."""

import os
import subprocess
import sys

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from flossing import plots
from flossing.plots.series import smooth


@pytest.fixture
def axis():
    return Figure().subplots()


def test_gradient_norms_go_back_in_time(axis):
    """Norms that fall by 10 per step back lie on the line that an exponent of -ln 10 predicts."""
    norms = 10.0 ** np.arange(-4.0, 1.0)
    plots.gradient_norms(axis, norms, first_exponent=-np.log(10))
    measured, predicted = axis.get_lines()
    for line in (measured, predicted):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(5))
        np.testing.assert_allclose(line.get_ydata(), -np.arange(5.0), atol=1e-12)


def test_gradient_norms_may_be_logarithms_of_several_networks(axis):
    logs = jnp.log(10.0) * jnp.array([[-2.0, -1.0, 0.0], [-4.0, -2.0, 0.0], [-jnp.inf, -3.0, 0.0]])
    plots.gradient_norms(axis, logs, log=True)
    lines = [np.asarray(line.get_ydata()) for line in axis.get_lines()]
    np.testing.assert_allclose(lines[0], [0, -1, -2], atol=1e-6)
    np.testing.assert_allclose(lines[2], [0, -3, np.nan], atol=1e-6)
    np.testing.assert_allclose(lines[3], [0, -2, np.nan], atol=1e-6)


def test_singular_values_say_their_condition_number(axis):
    plots.singular_values(axis, np.log([1e3, 10.0, 1e-4]))
    np.testing.assert_allclose(axis.get_lines()[0].get_ydata(), [3, 1, -4], atol=1e-12)
    assert axis.get_title() == "condition number of 3 directions: $10^{7}$"
    plots.singular_values(axis, [0.0, -np.inf])
    assert axis.get_title() == "condition number of 2 directions: infinite"


def test_condition_numbers_lie_on_the_slope_of_their_exponents(axis):
    horizons = np.array([10, 20, 40])
    logs = 0.3 * horizons + np.array([[0.5], [1.5]])
    plots.condition_numbers(axis, horizons, logs, slope=0.3)
    mean, line = axis.get_lines()[2:]
    np.testing.assert_allclose(mean.get_ydata(), (0.3 * horizons + 1) / np.log(10))
    np.testing.assert_allclose(line.get_ydata(), mean.get_ydata())


def test_time_constants_leave_out_what_has_none(axis):
    plots.time_constants(axis, [0.5, 0.0, -0.25, -np.inf], unit="ms")
    values = axis.get_lines()[0].get_ydata()
    np.testing.assert_array_equal(values, [2, np.nan, 4, np.nan])
    assert "(ms)" in axis.get_ylabel()
    assert axis.get_yscale() == "log"


def test_local_exponents_stand_over_their_windows(axis):
    values = np.array([[0.5, -1.0], [0.25, -np.inf]])
    plots.local_exponents(axis, values, window_steps=(10, 5), time_step=0.1)
    stairs = {patch.get_label(): patch.get_data() for patch in axis.patches}
    for i, name in enumerate(("$\\lambda_{1}$", "$\\lambda_{2}$")):
        np.testing.assert_allclose(stairs[name].edges, [0, 1, 1.5])
        expected = np.where(np.isfinite(values[:, i]), values[:, i], np.nan)
        np.testing.assert_array_equal(stairs[name].values, expected)
    assert axis.get_xlabel() == "time"


def test_descents_point_against_the_gradient(axis):
    """Arrows are of unit length, at the places of the grid, and none where a gradient is zero."""
    grid = np.linspace(-1, 1, 5)
    gradient = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    plots.descents(axis, grid, grid, gradient, 0 * gradient)
    true, surrogate = axis.collections
    at = np.stack([true.U, true.V], -1).reshape(5, 5, 2)
    lengths = np.linalg.norm(gradient, axis=-1, keepdims=True)
    expected = -gradient / np.where(lengths > 0, lengths, 1)
    np.testing.assert_allclose(at, expected, atol=1e-12)
    assert np.all(surrogate.U == 0)
    np.testing.assert_array_equal(true.get_offsets(), gradient.reshape(-1, 2))


@pytest.mark.parametrize(("lowest", "map_"), [(0.1, "Blues_r"), (-0.1, "RdBu")])
def test_cosines_below_zero_have_colours_of_their_own(axis, lowest, map_):
    plots.cosines(axis, [0, 1], [0, 1], [[1.0, lowest], [np.nan, 0.5]])
    image = axis.collections[0]
    assert image.get_cmap().name == map_
    np.testing.assert_array_equal(image.get_array().reshape(2, 2), [[1, np.nan], [lowest, 0.5]])


def test_networks_have_a_thin_line_each_and_their_median(axis):
    values = np.array([[1.0, 2.0, np.inf], [2.0, 4.0, 5.0], [6.0, 5.0, 6.0]])
    plots.networks_and_median(axis, [0, 1, 2], values, "k", "all", shaded=True)
    *thin, thick = axis.get_lines()
    assert len(thin) == 3
    np.testing.assert_array_equal(thick.get_ydata(), [2, 4, 5.5])
    assert thick.get_linewidth() > thin[0].get_linewidth()
    edges = axis.collections[0].get_paths()[0].vertices
    assert {1.5, 4.0, 3.0, 4.5} <= set(edges[:, 1])


def test_running_means_begin_with_what_is_there():
    values = np.array([[1.0], [3.0], [5.0], [7.0]])
    np.testing.assert_array_equal(smooth(values, 2)[:, 0], [1, 2, 4, 6])


def test_the_style_is_left_as_it_was_found():
    before = mpl.rcParams.copy()
    with plots.style():
        assert not mpl.rcParams["axes.spines.top"]
    assert mpl.rcParams == before
    with pytest.raises(TypeError, match="got 3"):
        plots.drawn(3, plots.spectrum, [0.0])
    assert mpl.rcParams == before


@pytest.mark.slow
def test_what_the_backend_of_a_notebook_sets_stays(tmp_path):
    """It is loaded with the first figure, which is made in our style, and makes later figures appear."""
    backend = "from matplotlib.backends.backend_agg import *\nimport matplotlib as mpl\nmpl.interactive(True)"
    (tmp_path / "notebook.py").write_text(backend)
    code = (
        "import matplotlib as mpl; from flossing import plots; "
        "plots.drawn(None, plots.spectrum, [0.0]); print(mpl.is_interactive())"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"MPLBACKEND": "module://notebook", "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
