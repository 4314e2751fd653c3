"""``ft.examine``: numbers against ``fl.examine`` and dense Jacobians, and patients of PyTorch libraries."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import flossing as fl  # noqa: E402
import flossing.torch as ft  # noqa: E402


def said(report):
    """Names of faults and warnings."""
    return {x.name for x in report.advice if x.severity in ("fault", "warning")}


def bits(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 2, shape, generator=generator).float()


@pytest.fixture(scope="module")
def both():
    """The same RNN examined in PyTorch and, converted, in JAX."""
    torch.manual_seed(0)
    module, x = torch.nn.RNNCell(1, 24), bits(200, 1)
    step, state = ft.as_step(module, x[0])
    cell = ft.to_cell(module)
    ours = fl.examine(
        cell, jnp.zeros(24), jnp.asarray(x.numpy()), horizon=40, key=jax.random.key(0)
    )
    return ft.examine(step, state, x, horizon=40), ours, module, x


def test_findings_are_those_of_the_converted_cell(both):
    theirs, ours, *_ = both
    assert said(theirs) == said(ours) == {"vanishing"}
    assert "ft.Flosser" in theirs.advice[0].code


def test_numbers_are_those_of_the_converted_cell(both):
    theirs, ours = both[0].measured, both[1].measured
    np.testing.assert_allclose(theirs.exponents[:4], ours.exponents[:4], atol=0.02)
    np.testing.assert_allclose(
        theirs.log_singular_values[0], ours.log_singular_values[0], rtol=0.01
    )
    np.testing.assert_allclose(theirs.sensitivity, ours.sensitivity, rtol=0.15)
    np.testing.assert_allclose(theirs.kept, ours.kept, atol=0.1)


def test_what_a_step_keeps_is_the_diagonal_of_the_dense_jacobian(both):
    report, _, module, _ = both
    weight = module.weight_hh.detach().numpy()
    slope = 1 - np.square(report.measured.states)
    np.testing.assert_allclose(report.measured.kept, np.diag(weight) * slope.mean(0), atol=0.01)


def test_of_a_batch_numbers_are_means_over_examples():
    torch.manual_seed(0)
    module, x = torch.nn.RNNCell(1, 16), bits(120, 3, 1)
    step, state = ft.as_step(module, x[0])
    report = ft.examine(step, state, x, horizon=30)
    single = [
        ft.lyapunov_spectrum(step, state[i], x[:, i], num_exponents=1, warmup=30).exponents[0]
        for i in range(3)
    ]
    assert report.measured.leading == pytest.approx(float(torch.stack(single).mean()), abs=0.02)
    assert "batch" not in report


def test_clocks_and_running_means_are_named_and_left_out():
    weight = (
        0.95 * torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(0)))[0]
    )

    def step(state, input):
        return {
            "h": torch.tanh(state["h"] @ weight.T + input),
            "clock": state["clock"] + 0.1,
            "mean": 0.99 * state["mean"] + 0.01 * state["h"],
        }

    state = {"h": torch.zeros(20), "clock": torch.zeros(1), "mean": torch.zeros(20)}
    report = ft.examine(step, state, 0.03 * torch.randn(200, 20), horizon=20)
    assert dict(report.measured.apart) == {"['clock']": 1.0, "['mean']": pytest.approx(0.99)}
    assert said(report) == set()
    assert "apart" in report
    assert report.measured.leading == pytest.approx(np.log(0.95), abs=0.02)


def test_an_orthogonal_network_with_small_inputs_is_healthy():
    torch.manual_seed(0)
    module, x = torch.nn.RNNCell(1, 24), bits(200, 1) * 0.1
    torch.nn.init.orthogonal_(module.weight_hh)
    for bias in (module.bias_hh, module.bias_ih):
        torch.nn.init.zeros_(bias)
    step, state = ft.as_step(module, x[0])
    assert said(ft.examine(step, state, x, horizon=30)) == set()


@pytest.mark.slow
def test_an_lstm_flossed_by_the_advice_has_usable_gradients():
    torch.manual_seed(0)
    module, x = torch.nn.LSTM(1, 16), bits(200, 1)
    step, state = ft.as_step(module, x[0])
    report = ft.examine(step, state, x, horizon=40)
    (finding,) = (x for x in report.advice if x.name == "vanishing")
    exec(finding.code, {"ft": ft, "step": step, "state": state, "inputs": x})
    assert "vanishing" not in ft.examine(step, state, x, horizon=40)


def test_an_slstm_of_unequal_sizes_is_told_that_it_has_no_memory():
    snntorch = pytest.importorskip("snntorch")
    x = bits(100, 20)
    step, state = ft.as_step(snntorch.SLSTM(20, 12), x[0])
    assert "forgotten" in said(ft.examine(step, state, x, horizon=40))


def test_spikes_in_the_state_of_snntorch_are_counted():
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    x = (torch.rand(150, 20) < 0.05).float()
    module = snntorch.RSynaptic(alpha=0.9, beta=0.8, linear_features=20)
    step, state = ft.as_step(module, x[0])
    report = ft.examine(step, state, x, horizon=40, time_step=1.0)
    counted, now = [], state
    for input in x:
        now = step(now, input)
        counted.append(now["spk"])
    rates = torch.stack(counted)[50:].mean(0).detach()
    np.testing.assert_allclose(report.measured.spikes[0].rates, rates, atol=1e-6)
    assert "rates (Hz)" in str(report)


def test_sinabs_is_told_that_its_derivative_counts_as_a_constant():
    layers = pytest.importorskip("sinabs.layers")
    x = (torch.rand(100, 12) < 0.2).float()
    step, state = ft.as_step(layers.LIF(tau_mem=20.0), x[0])
    report = ft.examine(step, state, x, horizon=20)
    (finding,) = (x for x in report.advice if x.name == "checks")
    assert "detached-input" in finding.sentence


def test_a_norse_network_is_examined_with_the_reset_that_was_measured():
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    x = (torch.rand(120, 20) < 0.1).float()
    step, state = ft.as_step(norse.LIFRecurrentCell(20, 16), x[0])
    report = ft.examine(step, state, x, horizon=40)
    assert report.measured.spikes
    assert any(name == "reset" for name, _ in report.rows) == bool(report.measured.resets)


@pytest.mark.parametrize("mode", ["horizon", "num_exponents"])
def test_bad_arguments_are_named(mode):
    with pytest.raises(ValueError, match=f"{mode}: expected at least 1"):
        ft.examine(lambda s, u: 0.5 * s, torch.zeros(2), torch.zeros(10, 2), **{mode: 0})
