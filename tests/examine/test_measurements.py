"""What ``examine`` measures, against dense Jacobians and exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

KEY = jax.random.key(0)


def examined(step, state, inputs, **options):
    return fl.examine(step, state, inputs, key=KEY, **options).measured


MATRIX = jnp.asarray([[0.9, 0.2, 0.0], [0.0, 0.5, 0.0], [0.0, 0.1, -0.3]])


def linear(state, input):
    return MATRIX @ state + input


@pytest.fixture(scope="module")
def of_linear():
    inputs = jax.random.normal(KEY, (600, 3))
    return examined(linear, jnp.zeros(3), inputs, horizon=30), np.asarray(inputs)


def test_exponents_are_those_of_the_eigenvalues(of_linear):
    exponents = of_linear[0].exponents
    np.testing.assert_allclose(exponents, np.log([0.9, 0.5, 0.3]), atol=2e-3)


def test_what_a_step_keeps_is_the_diagonal_of_the_jacobian(of_linear):
    # 8 perturbations in each of 400 steps: the error of a mean is a fiftieth of a row's norm.
    np.testing.assert_allclose(of_linear[0].kept, np.diag(MATRIX), atol=0.06)


def test_changes_and_sensitivities_are_norms_of_rows(of_linear):
    measured = of_linear[0]
    np.testing.assert_allclose(measured.sensitivity, np.linalg.norm(MATRIX, axis=1), rtol=0.06)
    np.testing.assert_allclose(
        measured.change, np.linalg.norm(MATRIX - np.eye(3), axis=1), rtol=0.06
    )


def test_the_response_is_the_difference_of_two_inputs(of_linear):
    # Independent standard normal inputs differ by sqrt(2).
    np.testing.assert_allclose(of_linear[0].response, np.sqrt(2), rtol=0.1)


def test_gradient_and_singular_values_are_those_of_the_matrix_power(of_linear):
    measured = of_linear[0]
    power = np.linalg.matrix_power(np.asarray(MATRIX, float), 30)
    np.testing.assert_allclose(
        measured.log_singular_values[:2], np.log(np.linalg.svd(power)[1][:2]), rtol=1e-3
    )
    assert measured.measured_decades == pytest.approx(30 * np.log10(0.9), abs=0.7)
    assert measured.directions == 0
    assert measured.decades == pytest.approx(30 * np.log10(0.9), abs=0.05)


@pytest.mark.slow
def test_layers_of_a_stack_have_the_exponents_of_their_own_blocks():
    keys = jax.random.split(KEY, 2)
    fast, slow = (
        fl.TanhCell(n, 12, recurrent=fl.initialisers.Gaussian(g), key=k)
        for n, g, k in ((1, 0.4, keys[0]), (12, 0.9, keys[1]))
    )
    stack = fl.Stack([fast, slow])
    inputs = jax.random.bernoulli(KEY, 0.5, (300, 1)).astype(float)
    measured = examined(stack, stack.initial_state(), inputs)
    alone = fl.lyapunov_spectrum(
        stack, stack.initial_state(), inputs, num_exponents=1, warmup=100,
        tangents=(True, False), renormalise_every=1, key=KEY,
    )  # fmt: skip
    named = dict(measured.layers)
    assert list(named) == ["1, TanhCell", "2, TanhCell"]
    assert named["1, TanhCell"] == pytest.approx(float(alone.exponents[0]), abs=0.03)
    assert named["2, TanhCell"] == pytest.approx(measured.leading, abs=0.05)


@pytest.mark.slow
def test_a_lif_layer_is_measured_with_its_spikes_and_its_reset():
    cell = fl.fluctuation_driven(
        fl.LIFCell(20, 16, surrogate=fl.surrogates.SuperSpike(10.0), key=KEY), rate=20.0, key=KEY
    )
    inputs = jax.random.bernoulli(KEY, 0.02, (300, 20)).astype(float)
    measured = examined(cell, cell.initial_state(), inputs, horizon=50)
    (layer,) = measured.spikes

    def step(state, input):
        state = cell(state, input)
        return state, cell.output(state)

    _, spikes = jax.lax.scan(step, cell.initial_state(), inputs)
    np.testing.assert_allclose(layer.rates, spikes[100:].mean(0), atol=1e-6)
    assert measured.time_step == 1.0
    assert layer.kept_after_spike == pytest.approx(0, abs=1e-6)  # an exact reset
    assert layer.kept_without_spike == pytest.approx(np.exp(-0.1), abs=0.02)
    assert layer.surrogate == cell.surrogate.describe()
    assert layer.response == pytest.approx(15.0)


@pytest.mark.slow
def test_a_clock_is_left_out_and_named_with_the_rank_it_would_have():
    def step(state, input):
        return {"h": jnp.tanh(0.5 * state["h"] + input), "clock": state["clock"] + 1.0}

    state = {"h": jnp.zeros(4), "clock": jnp.zeros(())}
    report = fl.examine(step, state, jax.random.normal(KEY, (80, 4)), key=KEY)
    assert report.measured.apart == (("['clock']", 1.0),)
    assert report.measured.state_dimension == 4
    (finding,) = (x for x in report.advice if x.name == "apart")
    assert "exponent 0, which would be number 1" in finding.evidence
    names: dict = {"jax": jax, "fl": fl, "step": step, "state": state, "key": KEY}
    exec(finding.code, names | {"inputs": jax.random.normal(KEY, (80, 4))}, names)
    assert names["spectrum"].state_dimension == 4


def test_the_equations_of_a_trajectory_are_conditioned_as_dense_algebra_says():
    from made_models import healthy

    horizon = 40
    for factor in (0.8, 1.2):
        patient = healthy(exponents=np.full(8, np.log(factor)))
        matrix = np.eye(horizon) - factor * np.eye(horizon, k=-1)
        exact = np.linalg.svd(matrix)[1][-1]
        assert exact / 2 < patient.parallel_condition < 2 * exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 90}, "horizon: got 90, but inputs has only 80 time steps"),
        ({"horizon": 0}, "horizon: expected at least 1"),
        ({"num_exponents": 0}, "num_exponents: expected at least 1"),
        ({"time_step": -1.0}, "time_step"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        fl.examine(linear, jnp.zeros(3), jnp.zeros((80, 3)), key=KEY, **options)


def test_a_network_is_led_to_its_cell():
    network = fl.Network(fl.TanhCell(1, 4, key=KEY), 1, key=KEY)
    with pytest.raises(TypeError, match=r"give network.cell as step"):
        fl.examine(network, jnp.zeros(4), jnp.zeros((20, 1)), key=KEY)


def test_constant_inputs_are_known_as_such():
    measured = examined(linear, jnp.zeros(3), jnp.ones((600, 3)), horizon=30)
    assert not measured.inputs_vary


def test_without_inputs_a_horizon_is_needed():
    with pytest.raises(ValueError, match="horizon: expected a number of steps"):
        fl.examine(lambda x, u: 0.5 * x, jnp.ones(2), key=KEY)
