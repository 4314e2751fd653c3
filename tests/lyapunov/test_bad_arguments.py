"""Arguments and states that do not fit: one telling error each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

pytestmark = pytest.mark.usefixtures("untyped", "unoptimised")

NAN = np.nan


def decay(state, input):
    return 0.5 * state


STEP_FUNCTIONS = {
    "lyapunov_spectrum": fl.lyapunov_spectrum,
    "local_exponents": fl.local_exponents,
    "covariant_vectors": fl.covariant_vectors,
    "log_singular_values": fl.log_singular_values,
    "condition_number": fl.condition_number,
    "gradient_norms": fl.gradient_norms,
    "long_term_jacobian": lambda *args, key, **options: fl.long_term_jacobian(*args, **options),
}
of_every_function = pytest.mark.parametrize("name", STEP_FUNCTIONS)


@of_every_function
def test_step_that_is_not_a_function(name, key):
    with pytest.raises(TypeError, match=r"step: expected a function .* got float"):
        STEP_FUNCTIONS[name](0.5, jnp.zeros(2), num_steps=5, key=key)


@of_every_function
def test_state_with_nan(name, key):
    state = (jnp.zeros(2), jnp.array([NAN, 0.0, jnp.inf]))
    with pytest.raises(ValueError, match=r"state\[1\]: has 2 NaN or infinite entries"):
        STEP_FUNCTIONS[name](decay, state, num_steps=5, key=key)


@of_every_function
def test_inputs_with_nan(name, key):
    inputs = {"drive": jnp.zeros((5, 2)).at[3, 1].set(NAN)}
    with pytest.raises(ValueError, match=r"inputs\['drive'\]: NaN .* first at time step 3"):
        STEP_FUNCTIONS[name](decay, jnp.zeros(2), inputs, key=key)


@of_every_function
def test_neither_inputs_nor_number_of_steps(name, key):
    with pytest.raises(ValueError, match=r"num_steps: .* because there are no inputs"):
        STEP_FUNCTIONS[name](decay, jnp.zeros(2), key=key)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (1.0, "inputs: expected arrays with time .* got a scalar"),
        ((np.zeros(5), np.zeros(4)), r"inputs: arrays of different lengths along time: \[4, 5\]"),
        (np.zeros((0, 2)), "inputs: expected at least one time step, got none"),
    ],
    ids=["scalar", "different lengths", "empty"],
)
def test_inputs_without_one_common_time_axis(inputs, message, key):
    with pytest.raises(ValueError, match=message):
        fl.lyapunov_spectrum(decay, jnp.zeros(2), inputs, key=key)


def test_number_of_steps_that_contradicts_the_inputs(key):
    with pytest.raises(ValueError, match="num_steps: got 4, but inputs has 5 time steps"):
        fl.lyapunov_spectrum(decay, jnp.zeros(2), jnp.zeros(5), num_steps=4, key=key)


@pytest.mark.parametrize("state", [jnp.arange(3), (), 1])
def test_state_without_a_floating_point_number(state, key):
    with pytest.raises(ValueError, match="state: expected floating-point arrays"):
        fl.lyapunov_spectrum(decay, state, num_steps=5, key=key)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x, u: x[:1], r"float32\[2\]; it returned float32\[1\]"),
        (lambda x, u: (x, x), r"it returned tuple\(float32\[2\], float32\[2\]\)"),
        (lambda x, u: x.astype(jnp.float16), r"it returned float16\[2\]"),
    ],
    ids=["shape", "structure", "dtype"],
)
def test_step_that_returns_another_kind_of_state(step, message, key):
    with pytest.raises(ValueError, match=f"step: must return a state like .*{message}"):
        fl.lyapunov_spectrum(step, jnp.zeros(2), num_steps=5, key=key)


def test_step_that_fails_shows_what_it_got(key):
    with pytest.raises(
        ValueError, match=r"step: .* failed with state float32\[2\] and input float32\[3\]"
    ):
        fl.lyapunov_spectrum(lambda x, u: x + u, jnp.zeros(2), jnp.zeros((5, 3)), key=key)


def test_state_that_becomes_infinite_names_the_step(key):
    # 10^(2^t) overflows single precision in step 6, its derivative twice that state in step 7.
    with pytest.raises(ValueError, match="NaN or infinite by step 7;"):
        fl.lyapunov_spectrum(lambda x, _: x**2, jnp.full(2, 10.0), num_steps=8, key=key)


def test_state_that_becomes_infinite_in_the_last_interval_names_a_step_that_exists(key):
    with pytest.raises(ValueError, match="NaN or infinite by step 7;"):
        fl.lyapunov_spectrum(
            lambda x, _: x**2, jnp.full(2, 10.0), num_steps=7, renormalise_every=5, key=key
        )


def test_state_that_becomes_nan_behind_sane_tangents_is_found(key):
    with pytest.raises(ValueError, match="became NaN or infinite"):
        fl.lyapunov_spectrum(
            lambda x, u: 0.5 * x + jnp.where(u == 3, NAN, 0), jnp.zeros(2), jnp.arange(5), key=key
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_exponents": 3}, "num_exponents: got 3, but the state has only 2 dimensions"),
        ({"num_exponents": 0}, "num_exponents: expected at least 1, got 0"),
        ({"key": None}, "key: expected a random key .* got None"),
        ({"state_warmup": -1}, "state_warmup: expected at least 0, got -1"),
        ({"state_warmup": 3, "warmup": 2}, r"3 \+ 2 steps leave none of 5 to count"),
        ({"renormalise_every": 0}, "renormalise_every: expected at least 1, got 0"),
        ({"num_windows": 0}, "num_windows: expected at least 1, got 0"),
        ({"time_step": 0.0}, "time_step: expected a finite positive number, got 0"),
        ({"num_steps": 0}, "num_steps: expected at least 1, got 0"),
        ({"basis": jnp.eye(3)}, r"basis: expected shape \(2, 3\), got \(3, 3\)"),
        ({"basis": jnp.eye(2), "num_exponents": 1}, r"basis: expected shape \(2, 1\), got \(2, 2\)"),
        ({"basis": jnp.ones(2)}, r"basis: expected shape .* got \(2,\)"),
        ({"basis": jnp.full((2, 2), NAN)}, "basis: .*NaN"),
    ],
)  # fmt: skip
def test_options_of_the_spectrum_with_bad_values(options, message, key):
    arguments = {"num_steps": 5, "key": key, **options}
    with pytest.raises(ValueError, match=message):
        fl.lyapunov_spectrum(decay, jnp.zeros(2), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_exponents": 1.0}, "num_exponents: expected an integer, got 1.0"),
        ({"num_steps": "5"}, "num_steps: expected an integer, got '5'"),
        ({"state_warmup": True}, "state_warmup: expected an integer, got True"),
        ({"key": 0}, "key: expected a random key .* got 0"),
        ({"time_step": "1 ms"}, "time_step: expected a number, got '1 ms'"),
    ],
)
def test_options_of_the_spectrum_of_the_wrong_type(options, message, key):
    arguments = {"num_steps": 5, "key": key, **options}
    with pytest.raises(TypeError, match=message):
        fl.lyapunov_spectrum(decay, jnp.zeros(2), **arguments)


def test_window_that_is_no_multiple_of_the_interval(key):
    with pytest.raises(ValueError, match=r"window: expected a multiple .* \(2\), got 3"):
        fl.local_exponents(decay, jnp.zeros(2), num_steps=6, window=3, renormalise_every=2, key=key)


@pytest.mark.parametrize("number", [0, 3])
def test_number_of_singular_values_beyond_the_dimensions(number, key):
    with pytest.raises(ValueError, match=r"num_directions: .*got"):
        fl.log_singular_values(decay, jnp.zeros(2), num_steps=5, num_directions=number, key=key)


def test_gradient_norms_need_a_loss_or_a_key():
    with pytest.raises(ValueError, match=r"key: expected a random key .* got None"):
        fl.gradient_norms(decay, jnp.zeros(2), num_steps=5)


def test_singular_values_along_a_trajectory_that_becomes_nan(key):
    with pytest.raises(ValueError, match="became NaN or infinite along the trajectory"):
        fl.log_singular_values(lambda x, _: x**2, jnp.full(2, 10.0), num_steps=8, key=key)


def test_closed_over_states_pass_the_checks_inside_compiled_code(key):
    state = jnp.ones(2)
    run = jax.jit(lambda: fl.lyapunov_spectrum(decay, state, num_steps=5, key=key).exponents)
    np.testing.assert_allclose(run(), np.log(0.5), rtol=0, atol=1e-6)
