"""Batches, masks, reverse mode, recomputed parts, kinds of states."""

from typing import NamedTuple

import dense
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402
from flossing.lyapunov import StepWarning  # noqa: E402

N, K, STEPS, BATCH = 8, 3, 30, 4
F64 = torch.float64


@pytest.fixture
def network(engine):
    """A chaotic tanh network, which takes batches, with states and inputs of a batch."""
    weight = (1.5 * torch.randn(N, N, dtype=F64) / N**0.5).requires_grad_()

    def step(state, input):
        return torch.tanh(state @ weight.T + input)

    return step, weight, torch.randn(BATCH, N, dtype=F64), torch.randn(STEPS, BATCH, N, dtype=F64)


@pytest.fixture
def basis():
    """Start tangents."""
    return torch.randn(N, K, dtype=F64)


def test_exponents_are_those_of_dense_jacobians(network, basis):
    step, _, states, inputs = network
    found = ft.lyapunov_spectrum(step, states[0], inputs[:, 0], basis=basis)
    matrices, final = dense.jacobians(step, states[0], inputs[:, 0])
    np.testing.assert_allclose(
        found.exponents, dense.exponents(matrices, basis.numpy()), atol=1e-12
    )
    np.testing.assert_allclose(found.final_state, final, atol=1e-14)
    assert found.exponents.dtype == F64


def test_a_batch_has_the_spectra_of_its_examples(network, basis):
    step, _, states, inputs = network
    together = ft.lyapunov_spectrum(step, states, inputs, basis=basis, warmup=4, state_warmup=3)
    for i in range(BATCH):
        alone = ft.lyapunov_spectrum(
            step, states[i], inputs[:, i], basis=basis, warmup=4, state_warmup=3
        )
        for field in ("exponents", "finite_time", "standard_errors", "final_state", "lost"):
            np.testing.assert_allclose(
                getattr(together, field)[i], getattr(alone, field), atol=1e-12
            )
        q = together.final_basis[i]
        np.testing.assert_allclose((q.T @ alone.final_basis).abs(), np.eye(K), atol=1e-10)


def test_an_example_that_ended_counts_the_steps_before(network, basis):
    step, _, states, inputs = network
    mask = torch.ones(STEPS, BATCH, dtype=torch.bool)
    mask[17:, 1] = False
    options = {"basis": basis, "num_windows": 6}
    found = ft.lyapunov_spectrum(step, states, inputs, mask=mask, **options)
    short = ft.lyapunov_spectrum(step, states[1], inputs[:17, 1], basis=basis)
    whole = ft.lyapunov_spectrum(step, states[0], inputs[:, 0], basis=basis)
    np.testing.assert_allclose(found.exponents[1], short.exponents, atol=1e-12)
    np.testing.assert_allclose(found.exponents[0], whole.exponents, atol=1e-12)
    np.testing.assert_allclose(found.final_state[1], short.final_state, atol=1e-12)
    local = ft.local_exponents(step, states, inputs, mask=mask, basis=basis, window=5)
    assert bool(torch.isnan(local[1, 4:]).all())
    weights = torch.tensor([5.0, 5, 5, 2], dtype=F64)[:, None]
    np.testing.assert_allclose((local[1, :4] * weights).sum(0) / 17, short.exponents, atol=1e-12)


def test_windows_have_the_means_of_their_steps(network, basis):
    step, _, states, inputs = network
    each = ft.local_exponents(step, states[0], inputs[:, 0], basis=basis)
    by_seven = ft.local_exponents(step, states[0], inputs[:, 0], basis=basis, window=7)
    expected = [each[a : a + 7].mean(0) for a in range(0, STEPS, 7)]
    np.testing.assert_allclose(by_seven, torch.stack(expected), atol=1e-13)


def test_a_step_of_one_state_gives_the_same(network, basis, engine):
    step, weight, states, inputs = network
    single = lambda state, input: torch.tanh(weight @ state + input)  # noqa: E731
    one = ft.lyapunov_spectrum(single, states[0], inputs[:, 0], basis=basis, differentiable=True)
    many = ft.lyapunov_spectrum(step, states[0], inputs[:, 0], basis=basis, differentiable=True)
    assert "one tangent at a time" in one.engine
    assert engine in many.engine
    np.testing.assert_allclose(one.exponents.detach(), many.exponents.detach(), atol=1e-13)
    gradients = [torch.autograd.grad(x.exponents.sum(), weight)[0] for x in (one, many)]
    np.testing.assert_allclose(*gradients, atol=1e-12)


def test_gradients_are_those_of_finite_differences(network, basis):
    step, weight, states, inputs = network

    def total():
        return ft.lyapunov_spectrum(
            step, states, inputs, basis=basis, warmup=3, differentiable=True
        )

    gradient = torch.autograd.grad(total().exponents.sum(), weight)[0]
    direction = torch.randn(N, N, dtype=F64)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * 1e-6 * direction
            values.append(float(total().exponents.sum()))
            weight -= sign * 1e-6 * direction
    assert float((gradient * direction).sum()) == pytest.approx(
        (values[0] - values[1]) / 2e-6, rel=1e-6
    )


@pytest.mark.parametrize(
    "options",
    [
        {"state_warmup": 3, "warmup": 4},
        {"detach_states": True},
        {"warmup": 5, "detach_warmup": True},
        {"renormalise_every": 4, "store_every": 7},
        {"tangents": lambda leaf: True, "mask": torch.arange(STEPS)[:, None] < 18 + torch.arange(BATCH)},
    ],
)  # fmt: skip
def test_jacobians_at_once_and_copies_of_the_state_give_the_same(options, basis, monkeypatch):
    def found():
        torch.manual_seed(1)
        cell = torch.nn.GRUCell(N, N).double()
        step = lambda state, input: cell(input, state)  # noqa: E731
        states, inputs = torch.randn(BATCH, N, dtype=F64), torch.randn(STEPS, BATCH, N, dtype=F64)
        states.requires_grad_(), inputs.requires_grad_()
        spectrum = ft.lyapunov_spectrum(
            step, states, inputs, basis=basis, differentiable=True, **options
        )
        loss = spectrum.exponents.square().sum() + spectrum.final_state.sum()
        loss = loss + (spectrum.final_basis * torch.randn(N, K, dtype=F64)).sum()
        leaves = [*cell.parameters(), states, inputs]
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
        return spectrum, gradients

    ours, gradients = found()
    monkeypatch.setattr("flossing.torch._engine.MOST_WORK", -1)
    theirs, expected = found()
    assert "Jacobians" in ours.engine
    assert "copies" in theirs.engine
    for field in ("exponents", "finite_time", "final_state", "final_basis"):
        a, b = (getattr(spectrum, field).detach() for spectrum in (ours, theirs))
        np.testing.assert_allclose(a, b, atol=1e-10)
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_jacobians_at_once_are_for_small_states_all_of_whose_tensors_are_perturbed():
    def engine(n, k, tangents=None):
        weight = torch.randn(n, n) / n**0.5
        step = lambda state, input: (torch.tanh(state[0] @ weight), state[1] + 1)  # noqa: E731
        state = torch.randn(2, n), torch.zeros(2, 1)
        return ft.lyapunov_spectrum(
            step, state, num_steps=2, num_exponents=k, tangents=tangents
        ).engine

    assert "Jacobians" in engine(10, 2)
    assert "copies" in engine(200, 2)
    assert "copies" in engine(10, 2, (True, False))


def test_recomputed_parts_give_the_same_gradients(network, basis):
    step, weight, states, inputs = network
    states.requires_grad_(), inputs.requires_grad_()
    found = []
    for store in (1, 4):
        spectrum = ft.lyapunov_spectrum(
            step, states, inputs, basis=basis, store_every=store, warmup=5, differentiable=True
        )
        loss = spectrum.exponents.square().sum() + spectrum.final_state.sum()
        found.append(torch.autograd.grad(loss, [weight, states, inputs]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_nothing_is_stored_unless_derivatives_are_asked_for(network):
    step, _, states, inputs = network
    spectrum = ft.lyapunov_spectrum(step, states, inputs, num_exponents=2)
    assert not spectrum.exponents.requires_grad
    assert not spectrum.final_state.requires_grad


def test_reverse_mode_agrees_over_long_times(network):
    step, *_ = network
    inputs = torch.randn(1500, N, dtype=F64)
    state = torch.zeros(N, dtype=F64)
    forward = ft.lyapunov_spectrum(step, state, inputs, num_exponents=K, warmup=50)
    back = ft.lyapunov_spectrum(step, state, inputs, num_exponents=K, warmup=50, mode="reverse")
    assert "reverse" in back.engine
    np.testing.assert_allclose(back.exponents, forward.exponents, atol=2e-2)
    np.testing.assert_allclose(back.final_state, forward.final_state, atol=1e-13)


def test_reverse_mode_multiplies_the_transposed_jacobians(network, basis):
    step, _, states, inputs = network
    matrices, _ = dense.jacobians(step, states[0], inputs[:, 0])
    found = ft.lyapunov_spectrum(step, states[0], inputs[:, 0], basis=basis, mode="reverse")
    expected = dense.exponents([m.T for m in reversed(matrices)], basis.numpy())
    np.testing.assert_allclose(found.exponents, expected, atol=1e-12)


class Once(torch.autograd.Function):
    """A tanh whose backward pass cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        """Its value."""
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        """Its derivative."""
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x) ** 2)


def test_a_step_without_second_derivative_is_measured_in_reverse_and_says_so(network):
    _, weight, states, inputs = network
    step = lambda state, input: Once.apply(state @ weight.T + input)  # noqa: E731
    with pytest.warns(StepWarning, match="measured in reverse mode"):
        found = ft.lyapunov_spectrum(step, states, inputs, num_exponents=2)
    assert "reverse" in found.engine
    with pytest.raises(ValueError, match="backward pass cannot be differentiated"):
        ft.flossing_loss(step, states, inputs, num_exponents=2)


def test_fused_attention_is_measured_without_it(engine):
    class Attend(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = torch.nn.Linear(4, 12)

        def forward(self, state, input):
            q, k, v = self.maps(state)[:, None].chunk(3, -1)
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return torch.tanh(state + mixed[:, 0])

    block, states = Attend(), torch.randn(2, 6, 4)
    found = ft.lyapunov_spectrum(block, states, num_steps=8, num_exponents=3)
    single = lambda state, input: block(state[None], None)[0]  # noqa: E731
    basis = torch.eye(24)[:, :3]
    matrices, _ = dense.jacobians(single, states[0], [None] * 8)
    one = ft.lyapunov_spectrum(block, states, num_steps=8, basis=basis)
    assert found.engine.endswith(f"{engine}, plain kernels")
    np.testing.assert_allclose(
        one.exponents[0], dense.exponents(matrices, basis.numpy()), atol=1e-4
    )
    ft.flossing_loss(block, states, num_steps=4, num_exponents=2).backward()
    assert float(block.maps.weight.grad.abs().max()) > 0


class Pair(NamedTuple):
    """A state of two parts and a counter."""

    fast: torch.Tensor
    slow: torch.Tensor
    steps: torch.Tensor


def test_states_are_trees_whose_integers_carry_no_perturbations():
    def step(state, input):
        both = Pair(0.5 * state["a"].fast, 0.9 * state["a"].slow, state["a"].steps + 1)
        return {"a": both, "b": [0.25 * state["b"][0]]}

    start = {
        "a": Pair(torch.ones(2), torch.ones(1), torch.tensor(0)),
        "b": [torch.ones(1)],
    }
    found = ft.lyapunov_spectrum(step, start, num_steps=400, batched=False)
    expected = np.log([0.9, 0.5, 0.5, 0.25])
    np.testing.assert_allclose(found.exponents, expected, atol=2e-2)
    assert int(found.final_state["a"].steps) == 400
    without = ft.lyapunov_spectrum(
        step, start, num_steps=400, batched=False, tangents={"a": (True, False, False), "b": True}
    )
    np.testing.assert_allclose(without.exponents, np.log([0.5, 0.5, 0.25]), atol=2e-2)


def test_a_complex_number_counts_as_two():
    turn = torch.polar(torch.tensor([0.9, 0.5], dtype=F64), torch.tensor([0.3, 1.0], dtype=F64))
    step = lambda state, input: turn * state  # noqa: E731
    found = ft.lyapunov_spectrum(
        step, torch.ones(2, dtype=torch.complex128), num_steps=300, batched=False
    )
    np.testing.assert_allclose(found.exponents, np.log([0.9, 0.9, 0.5, 0.5]), atol=1e-2)


def test_half_precision_is_measured_with_tangents_of_single_precision():
    weight = torch.randn(N, N) / N**0.5
    wide = lambda state, input: torch.tanh(state @ weight.T + input)  # noqa: E731
    half = weight.bfloat16()
    narrow = lambda state, input: torch.tanh(state @ half.T + input)  # noqa: E731
    inputs, basis = torch.randn(200, N), torch.randn(N, K)
    expected = ft.lyapunov_spectrum(wide, torch.zeros(N), inputs, basis=basis)
    found = ft.lyapunov_spectrum(
        narrow, torch.zeros(N, dtype=torch.bfloat16), inputs.bfloat16(), basis=basis
    )
    assert found.exponents.dtype == found.final_basis.dtype == torch.float32
    assert found.final_state.dtype == torch.bfloat16
    np.testing.assert_allclose(found.exponents, expected.exponents, atol=0.02)


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_growth_beyond_the_range_of_squares_is_measured(factor):
    found = ft.lyapunov_spectrum(
        lambda state, input: factor ** (1 - 2 * (input == 1)) * state,
        torch.full((3,), 1.0),
        torch.tensor([0.0, 1, 0, 1, 0])[:, None].round(),
        num_windows=5,
    )
    np.testing.assert_allclose(
        found.finite_time[:, 0], np.log(factor) * np.array([1, -1, 1, -1, 1]), rtol=1e-5
    )


def test_memory_is_told_before_a_run_that_would_not_fit(network, monkeypatch):
    step, _, states, inputs = network
    monkeypatch.setattr("flossing.torch._memory.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match=r"3 tangents of 4 states of 8 numbers need about"):
        ft.lyapunov_spectrum(step, states, inputs, num_exponents=3)


def test_the_memory_of_a_gradient_is_foreseen(network, engine):
    from flossing.torch._check_run import check_run
    from flossing.torch._memory import Saved

    step, weight, states, inputs = network
    with Saved() as saved:
        spectrum = ft.lyapunov_spectrum(step, states, inputs, num_exponents=K, differentiable=True)
    run = check_run(step, states, inputs, None, differentiate=True)
    rows = K if "copies" in engine else N
    foreseen = rows * STEPS * run.bytes_per_tangent
    assert 0.5 < saved.bytes_beside([weight]) / foreseen < 2
    assert spectrum.exponents.requires_grad


def test_the_memory_of_a_step_does_not_count_the_inputs_of_other_steps():
    from flossing.torch._check_run import check_run

    cell = torch.nn.RNNCell(5, N)
    step = lambda state, input: cell(input, state)  # noqa: E731
    sizes = [
        check_run(step, torch.zeros(N), torch.randn(steps, 5), None).bytes_per_tangent
        for steps in (2, 500)
    ]
    assert sizes[0] == sizes[1]


def test_a_spectrum_prints_itself(network):
    step, _, states, inputs = network
    one = ft.lyapunov_spectrum(step, states[0], inputs[:, 0], num_exponents=2, time_step=0.5)
    assert "2 of 8 Lyapunov exponents, nats per unit time" in str(one)
    rows = [line.split() for line in repr(one).splitlines()[2:4]]
    found = np.array([[float(x) for x in row[1:3]] for row in rows])
    np.testing.assert_allclose(found[:, 0], one.exponents, atol=6e-3)
    np.testing.assert_allclose(found[:, 1], one.standard_errors, atol=6e-3)
    constants = 1 / np.abs(one.exponents.numpy())
    np.testing.assert_allclose(one.time_constants, constants, rtol=1e-6)
    np.testing.assert_allclose([float(row[3]) for row in rows], constants, rtol=6e-3)
    many = ft.lyapunov_spectrum(step, states, inputs, num_exponents=2)
    assert "4 examples" in str(many)
    data = many.to_xarray()
    assert data["exponents"].dims == ("example", "exponent")
    np.testing.assert_array_equal(data["finite_time"], many.finite_time)
    (line,) = many.plot().get_lines()[4:5]
    np.testing.assert_allclose(line.get_ydata(), np.median(many.exponents, 0), rtol=1e-6)


def test_dimension_and_entropy_rate_follow_from_the_exponents(network):
    import jax.numpy as jnp

    import flossing as fl

    step, _, states, inputs = network
    found = ft.lyapunov_spectrum(step, states, inputs)
    for i in range(BATCH):
        exponents = found.exponents[i].numpy()
        assert float(found.kaplan_yorke_dimension[i]) == pytest.approx(
            float(fl.kaplan_yorke_dimension(jnp.asarray(exponents), N)), rel=1e-5
        )
        assert float(found.entropy_rate[i]) == pytest.approx(exponents[exponents > 0].sum())
