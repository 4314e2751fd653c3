"""Complex and half-precision states, steps without forward mode, and steps in foreign words."""

import functools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

RANDOM = np.random.default_rng(5)
FACTORS = np.array([0.95, 0.8, 0.6]) * np.exp(1j * np.array([0.3, 1.0, 2.0]))
MIX = 0.05 * (RANDOM.normal(size=(3, 3)) + 1j * RANDOM.normal(size=(3, 3)))
DRIVE = jnp.asarray(RANDOM.normal(size=(40, 3)))


def complex_step(state, input):
    """A linear recurrent unit whose states act on each other through their real parts."""
    return jnp.asarray(FACTORS) * state + jnp.asarray(MIX) @ jnp.tanh(state.real) + input


def real_pair(state, input):
    real, imaginary = state
    new = complex_step(real + 1j * imaginary, input)
    return jnp.stack([new.real, new.imag])


@pytest.mark.slow
def test_a_complex_state_is_a_pair_of_real_ones(x64):
    options = dict(warmup=5, basis=jnp.eye(6), renormalise_every=1)
    found = fl.lyapunov_spectrum(complex_step, jnp.zeros(3, complex), DRIVE, **options)
    expected = fl.lyapunov_spectrum(real_pair, jnp.zeros((2, 3)), DRIVE, **options)
    np.testing.assert_allclose(found.exponents, expected.exponents, atol=1e-13)
    assert found.final_state.dtype == complex


@pytest.mark.slow
def test_other_measures_of_a_complex_state_are_those_of_a_pair(x64):
    for function in (fl.log_singular_values, fl.gradient_norms):
        one, two = (
            function(step, start, DRIVE, key=jax.random.key(0))
            for step, start in [
                (complex_step, jnp.zeros(3, complex)),
                (real_pair, jnp.zeros((2, 3))),
            ]
        )
        np.testing.assert_allclose(one, two, rtol=1e-6)
    dense = fl.long_term_jacobian(complex_step, jnp.zeros(3, complex), DRIVE)
    np.testing.assert_allclose(
        dense, fl.long_term_jacobian(real_pair, jnp.zeros((2, 3)), DRIVE), atol=1e-14
    )
    assert not jnp.iscomplexobj(dense)


def test_every_factor_of_a_complex_diagonal_counts_twice(x64, key):
    step = jax.tree_util.Partial(lambda factors, x, u: factors * x, jnp.asarray(FACTORS))
    found = fl.lyapunov_spectrum(step, jnp.zeros(3, complex), num_steps=300, warmup=200, key=key)
    np.testing.assert_allclose(found.exponents, np.repeat(np.log(np.abs(FACTORS)), 2), atol=1e-12)


@pytest.mark.slow
def test_gradients_of_a_complex_step_are_those_of_finite_differences(x64, key):
    def loss(size):
        step = lambda x, u: size * complex_step(x, u)  # noqa: E731
        return fl.flossing_loss(step, jnp.zeros(3, complex), DRIVE, renormalise_every=1, key=key)

    both = jax.jit(jax.value_and_grad(loss))
    slope = (both(1 + 1e-6)[0] - both(1 - 1e-6)[0]) / 2e-6
    assert float(both(1.0)[1]) == pytest.approx(float(slope), rel=1e-7)


@pytest.mark.filterwarnings("ignore::flossing.StepWarning")  # of leaves that are alone
def test_a_state_of_mixed_types_counts_its_floating_point_numbers(key):
    def step(state, input):
        return {
            "z": 0.9j * state["z"],
            "half": (0.5 * state["half"]).astype(jnp.float16),
            "x": 0.7 * state["x"],
            "count": state["count"] + 1,
        }

    state = {
        "z": jnp.zeros(1, jnp.complex64), "half": jnp.zeros(1, jnp.float16),
        "x": jnp.zeros(1), "count": 0,
    }  # fmt: skip
    found = fl.lyapunov_spectrum(step, state, num_steps=60, warmup=40, key=key)
    np.testing.assert_allclose(found.exponents, np.log([0.9, 0.9, 0.7, 0.5]), atol=1e-3)
    assert found.final_state["half"].dtype == jnp.float16


@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)])
def test_half_precision_is_measured_with_tangents_of_single_precision(dtype, key):
    """Rounding a tangent in the step moves its length by at most eps, so an exponent by about eps."""
    weight = (jax.random.normal(key, (20, 20)) / np.sqrt(20)).astype(dtype)

    def spectrum(weight):
        step = jax.tree_util.Partial(lambda w, x, u: jnp.tanh(w @ x + w[0]), weight)
        start = jnp.zeros(20, weight.dtype)
        return fl.lyapunov_spectrum(
            step, start, num_steps=300, warmup=100, num_exponents=4, renormalise_every=1, key=key
        )

    half, single = spectrum(weight), spectrum(weight.astype(jnp.float32))
    assert half.exponents.dtype == half.final_basis.dtype == jnp.float32
    assert half.final_state.dtype == dtype
    np.testing.assert_allclose(
        half.exponents, single.exponents, atol=2 * float(jnp.finfo(dtype).eps)
    )
    halve = lambda x, u: 0.5 * x  # noqa: E731
    norms = fl.gradient_norms(halve, jnp.ones(2, dtype), num_steps=3, key=key)
    np.testing.assert_allclose(norms, [0.125, 0.25, 0.5, 1], rtol=3 * float(jnp.finfo(dtype).eps))


@jax.custom_vjp
def spike(x):
    return (x > 0).astype(x.dtype)


spike.defvjp(lambda x: (spike(x), x), lambda x, error: (error / (1 + 10 * jnp.abs(x)) ** 2,))
superspike = fl.surrogates.SuperSpike(10.0)


def neurons(spike, weight):
    return lambda v, u: 0.9 * v + weight @ spike(v - 0.5) + u


@pytest.mark.slow
def test_a_step_with_custom_vjp_is_measured_and_flossed_as_with_a_surrogate(x64, key):
    weight = jax.random.normal(key, (6, 6)) / 3
    inputs = 0.3 * jax.random.normal(jax.random.key(1), (30, 6))

    def exponents_and_slope(spike):
        @jax.jit
        @functools.partial(jax.grad, has_aux=True)
        def slope(weight):
            found = fl.lyapunov_spectrum(
                neurons(spike, weight), jnp.zeros(6), inputs, basis=jnp.eye(6), renormalise_every=1
            ).exponents
            return jnp.mean(found**2), found

        return slope(weight)[::-1]

    with pytest.warns(fl.StepWarning, match="custom_vjp, which has no forward mode"):
        found, reverse = exponents_and_slope(spike)
    expected, forward = exponents_and_slope(superspike)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert np.abs(reverse).max() > 1e-3
    np.testing.assert_allclose(reverse, forward, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flossing.StepWarning")
def test_other_measures_of_a_step_with_custom_vjp(x64, key):
    weight = jax.random.normal(key, (4, 4)) / 2
    inputs = 0.3 * jax.random.normal(jax.random.key(1), (12, 4))
    steps = neurons(spike, weight), neurons(superspike, weight)
    for function in (fl.long_term_jacobian, fl.log_singular_values, fl.gradient_norms):
        options = {} if function is fl.long_term_jacobian else {"key": key}
        one, two = (function(step, jnp.zeros(4), inputs, **options) for step in steps)
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)


def test_the_argument_order_of_equinox_is_named(key, untyped):
    with pytest.raises(TypeError, match=r"step: Equinox cells take \(input, state\).*lambda state"):
        fl.lyapunov_spectrum(
            eqx.nn.GRUCell(3, 3, key=key), jnp.zeros(3), jnp.zeros((5, 3)), key=key
        )
    cell = eqx.nn.GRUCell(2, 3, key=key)
    swapped = lambda input, state: cell(input, state)  # noqa: E731
    with pytest.raises(ValueError, match=r"It works as step\(input, state\): Equinox cells"):
        fl.lyapunov_spectrum(swapped, jnp.zeros(3), jnp.zeros((5, 2)), key=key)


@pytest.mark.parametrize("fails_at_once", [True, False])
def test_modules_of_flax_that_change_inside_a_step_get_the_next_step(fails_at_once, key):
    class TraceContextError(Exception):
        """As Flax raises it when a module from outside of a trace changes inside."""

    @jax.custom_jvp
    def identity(x):
        return x

    @identity.defjvp
    def changes(primals, tangents):
        raise TraceContextError("Cannot mutate RngCount from a different trace level")

    def step(state, input):
        if fails_at_once:
            changes((), ())
        return identity(state)

    with pytest.raises(ValueError, match=r"module.eval\(\), or split .* nnx.RngState"):
        fl.lyapunov_spectrum(step, jnp.zeros(3), num_steps=5, key=key)


def fake_torch(name):
    return type(name, (), {"__module__": "torch", "__call__": lambda self, *_: None})()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("step", (fake_torch("GRUCell"), jnp.zeros(2), jnp.zeros((5, 2)))),
        ("state", (lambda x, u: x, fake_torch("Tensor"), jnp.zeros((5, 2)))),
        ("inputs", (lambda x, u: x, jnp.zeros(2), fake_torch("Tensor"))),
    ],
)
def test_objects_of_torch_are_named(name, arguments, key, untyped):
    with pytest.raises(TypeError, match=f"{name}: got a .* of PyTorch; expected JAX arrays"):
        fl.lyapunov_spectrum(*arguments, key=key)


def test_old_names_are_refused_with_the_new_ones(key, untyped):
    cell = fl.TanhCell(1, 3, key=key)
    run = (cell, cell.initial_state(), jnp.zeros((9, 1)))
    for call in (fl.lyapunov_spectrum, fl.local_exponents, fl.covariant_vectors, fl.flossing_loss):
        with pytest.raises(
            TypeError, match="basis_warmup: is now called warmup: steps in which state"
        ):
            call(*run, basis_warmup=2, key=key)
    with pytest.raises(TypeError, match="relax_steps: is now called state_warmup"):
        fl.Network(cell, 1, relax_steps=2, key=key)
    with pytest.raises(TypeError, match="return_exponents: is now called has_aux"):
        fl.flossing_loss(*run, return_exponents=True, key=key)


@pytest.mark.slow
def test_a_loop_that_makes_its_function_anew_is_told_at_the_third(key):
    def measure(gain):
        options = {"num_steps": 3, "renormalise_every": 1, "key": key}
        return fl.lyapunov_spectrum(lambda x, u: gain * x, jnp.zeros(2), **options)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told = [(measure(gain), len(caught))[1] for gain in (0.1, 0.2, 0.3, 0.4)]
    assert told == [0, 0, 1, 1]
    message = str(caught[0].message)
    assert message.startswith("step: compiled for the third time")
    assert "test_kinds_of_steps.py" in message
    assert "jax.tree_util.Partial(function, parameters)" in message


def test_a_function_that_is_kept_is_not_compiled_again(key):
    step = jax.tree_util.Partial(lambda gain, x, u: gain * x)
    halve = lambda x, u: 0.5 * x  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for gain in (0.1, 0.2, 0.3, 0.4):
            parameters = jax.tree_util.Partial(step.func, jnp.asarray(gain))
            fl.lyapunov_spectrum(parameters, jnp.zeros(2), num_steps=3, key=key)
            fl.lyapunov_spectrum(halve, jnp.zeros(2), num_steps=3, key=key)


class Damped(eqx.Module):
    gain: float | jax.Array

    def __call__(self, state, input):
        return self.gain * state


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [Damped, functools.partial(jax.tree_util.Partial, lambda g, x, u: g * x)]
)
def test_a_step_with_other_python_numbers_is_told_at_the_third_and_arrays_are_not(make):
    def measure(number):
        (jacobian,) = fl.long_term_jacobian(make(number), jnp.ones(1), num_steps=3)
        return np.log(jacobian[0]) / 3

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for gain in (0.1, 0.2, 0.1, 0.4, 0.5):
            assert abs(measure(gain) - np.log(gain)) < 1e-6
    (message,) = [str(w.message) for w in caught]
    name = make.__name__ if isinstance(make, type) else "Partial"
    assert message.startswith(
        f"step: compiled for the third time, for other Python numbers in a {name},"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for gain in (0.6, 0.7, 0.8, 0.9):
            assert abs(measure(jnp.asarray(gain)) - np.log(gain)) < 1e-6


@pytest.mark.slow
def test_a_partial_function_that_is_made_anew_is_told_too():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            step = jax.tree_util.Partial(lambda w, x, u: w * x, jnp.asarray(0.5))
            fl.long_term_jacobian(step, jnp.ones(6), num_steps=2)
    (message,) = [str(w.message) for w in caught]
    assert "for functions made at" in message


@pytest.mark.slow
def test_programs_of_such_a_loop_are_forgotten_before_memory_maps_run_out(monkeypatch):
    from flossing import _compiled
    from flossing.lyapunov import _fresh

    calls = []
    monkeypatch.setattr(_fresh, "forget_programs", lambda: calls.append(1))
    monkeypatch.setattr(_fresh, "OFTEN", 2)
    assert _compiled.forget_programs is not _fresh.forget_programs
    for gain in range(5):
        fl.long_term_jacobian(lambda x, u: gain * x + x / 2, jnp.zeros(2), num_steps=3)  # noqa: B023
    assert len(calls) >= 5  # of a step and a filter each


class Model:
    """A plain class, whose instances are steps and have steps."""

    def __init__(self, gain):
        self.gain = gain

    def __call__(self, state, input):
        return self.gain * state

    def step(self, state, input):
        return self.gain * state


def scaled(gain, state, input):
    return gain * state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "make"),  # places are told apart by sizes too
    [
        (5, lambda gain: functools.partial(scaled, gain)),
        (6, lambda gain: jax.jit(functools.partial(scaled, gain))),
        (7, lambda gain: Model(gain).step),
        (8, lambda gain: Model(gain)),
    ],
    ids=["partial", "jit of partial", "method", "object"],
)
def test_other_ways_to_make_a_step_anew_are_told_as_well(size, make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number, gain in enumerate((0.1, 0.2, 0.3, 0.4)):  # of other lengths each time
            fl.long_term_jacobian(make(gain), jnp.zeros(size), num_steps=3 + number)
        kept = make(0.5)
        for _ in range(4):
            fl.long_term_jacobian(kept, jnp.zeros(size), num_steps=3)
    assert [str(w.message)[:37] for w in caught] == ["step: compiled for the third time, fo"]


@pytest.mark.slow
def test_nothing_is_told_of_a_program_of_the_users_that_is_traced_again():
    @functools.partial(jax.jit, static_argnums=0)
    def program(steps):
        return fl.long_term_jacobian(lambda x, u: 0.5 * x, jnp.zeros(2), num_steps=steps)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for steps in (3, 4, 5, 6):
            program(steps)


def test_a_step_without_any_derivative_is_named(key):
    def step(x, u):
        return jax.lax.while_loop(lambda x: x[0] > 1, lambda x: 0.5 * spike(x), x)

    with pytest.raises(
        ValueError, match="step: has neither forward nor reverse mode: Reverse-mode"
    ):
        fl.lyapunov_spectrum(step, jnp.ones(3), num_steps=5, key=key)
