"""What the benchmarks against other libraries compare is the same on all sides (no timing here)."""

import importlib
import json
from importlib import util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="needs PyTorch")


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def spectra(module):
    return module("spectra_libraries")


@pytest.fixture
def training(module):
    pytest.importorskip("torch")
    return module("training_libraries")


@pytest.fixture
def systems(module, x64):
    made = module("_spectra_systems")
    return [made.lorenz_63(), made.lorenz_96(6), made.tanh_network(5)]


def test_right_sides_and_jacobians_are_those_of_the_map(module, systems):
    of_map = module("_spectra_sides")._map
    for system in systems:
        step, jacobian = system.rhs, system.jacobian
        if system.time_step is not None:
            step, jacobian = of_map(system)
        np.testing.assert_allclose(step(system.start), system.step(system.start), rtol=1e-12)
        expected = jax.jacfwd(system.step)(jnp.asarray(system.start))
        np.testing.assert_allclose(jacobian(system.start), expected, rtol=0, atol=1e-12)


def plain(system, k, steps, every, jacobian):
    """A loop over time in NumPy."""
    state, basis, logs = system.start, np.eye(system.size)[:, :k], np.zeros(k)
    for t in range(steps):
        basis = jacobian(state) @ basis
        state = np.asarray(system.step(state))
        if (t + 1) % every == 0:
            basis, r = np.linalg.qr(basis)
            logs += np.log(np.abs(np.diag(r)))
    return logs / (steps * system.unit)


@pytest.mark.slow
def test_comparison_finds_equal_and_different_spectra(module, spectra, systems):
    system = systems[-1]
    jacobian = system.jacobian
    case = spectra.Case(system, 3, 12, 12, 2)

    def build(factor):
        return lambda *arguments: lambda: plain(*arguments, lambda x: factor * jacobian(x))

    others = {
        "right": spectra.Side(build(1), "numpy"),
        "wrong": spectra.Side(build(1.001), "numpy"),
        "known to differ": spectra.Side(build(1.1), "numpy", same=False),
        "not offered": spectra.Side(lambda *arguments: None, "numpy"),
    }
    found = spectra.measure(case, others, 2)
    rows = found["rows"]
    assert found["wrong"] == ["wrong"]
    assert set(rows) == {"ours", "ours, auto", "right", "wrong", "known to differ"}
    for name in ("right", "ours, auto"):
        assert rows[name]["difference_first_steps"] < 1e-9
        assert rows[name]["difference_all_steps"] < 1e-9
    assert rows["wrong"]["difference_first_steps"] > 1e-4
    assert "| right " in spectra.table(found)


@needs_torch
def test_quick_training_benchmark_agrees_and_writes_its_numbers(training, tmp_path, capsys):
    path = tmp_path / "numbers.json"
    assert training.main(["--quick", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["xor"]["compared"]["float64"]["gradient"] < 1e-10
    assert report["layers"][0]["rate"] > 0.01
    assert "Delayed XOR" in capsys.readouterr().out


@pytest.mark.slow
def test_resets_before_the_leak(module):
    lif = module("_lif_layers")
    layer = lif.Layer.make(3, 7, 50)
    beta = jnp.float32(lif.BETA)
    surrogate = lif.fl.surrogates.SuperSpike(1.0)

    def loss(weight, zero):
        def step(v, current):
            v = beta * v + (1 - beta) * current
            out = surrogate(v - 1)
            return (v * (1 - out) if zero else v - out), out

        currents = jnp.asarray(layer.inputs) @ weight.T
        spikes = jax.lax.scan(step, jnp.zeros(currents.shape[1:]), currents)[1]
        return jnp.sum(spikes * layer.factors)

    for reset, zero in (("subtracted before the leak", False), ("to zero before the leak", True)):
        expected, gradient = jax.value_and_grad(loss)(jnp.asarray(layer.weight), zero)
        value, found = lif.ours(layer, reset, 2)()
        assert value == pytest.approx(float(expected), abs=1e-6)
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())
        assert np.abs(gradient).max() > 0
