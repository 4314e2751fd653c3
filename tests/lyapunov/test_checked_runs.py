"""What every function of a step checks, beside the messages in the table of docs/errors.md."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

pytestmark = pytest.mark.usefixtures("untyped")


def decay(state, input):
    return 0.5 * state


def test_every_function_checks_step_state_inputs_and_number_of_steps(key):
    broken = (jnp.zeros(2), jnp.array([np.nan, 0.0, jnp.inf]))
    drive = {"drive": jnp.zeros((5, 2)).at[3, 1].set(jnp.nan)}
    faults = [
        ((0.5, jnp.zeros(2), None, 5), TypeError, r"step: expected a function .* got float"),
        ((decay, broken, None, 5), ValueError, r"state\[1\]: has 2 NaN or infinite entries"),
        (
            (decay, jnp.zeros(2), drive, None),
            ValueError,
            r"inputs\['drive'\]: NaN .* first at time step 3",
        ),
        ((decay, jnp.zeros(2), None, None), ValueError, r"num_steps: .* there are no inputs"),
    ]
    for function in (
        fl.lyapunov_spectrum,
        fl.local_exponents,
        fl.covariant_vectors,
        fl.log_singular_values,
        fl.condition_number,
        fl.gradient_norms,
        fl.long_term_jacobian,
        fl.flossing_loss,
    ):
        random = {} if function is fl.long_term_jacobian else {"key": key}
        for (step, state, inputs, steps), error, message in faults:
            with pytest.raises(error, match=message):
                function(step, state, inputs, num_steps=steps, **random)


@pytest.mark.parametrize(("steps", "every"), [(8, 1), (7, 5)])
def test_a_state_that_becomes_infinite_names_a_step_that_exists(steps, every, key):
    # 10^(2^t) overflows single precision in step 6, its derivative twice that state in step 7.
    with pytest.raises(ValueError, match="NaN or infinite by step 7;"):
        fl.lyapunov_spectrum(
            lambda x, _: x**2,
            jnp.full(2, 10.0),
            num_steps=steps,
            renormalise_every=every,
            key=key,
        )


def test_a_state_that_becomes_nan_behind_sane_tangents_is_found(key):
    with pytest.raises(ValueError, match="became NaN or infinite"):
        fl.lyapunov_spectrum(
            lambda x, u: 0.5 * x + jnp.where(u == 3, np.nan, 0),
            jnp.zeros(2),
            jnp.arange(5),
            key=key,
        )


def test_closed_over_states_pass_the_checks_inside_compiled_code(key):
    state = jnp.ones(2)
    run = jax.jit(lambda: fl.lyapunov_spectrum(decay, state, num_steps=5, key=key).exponents)
    np.testing.assert_allclose(run(), np.log([0.5, 0.5]), rtol=0, atol=1e-6)
