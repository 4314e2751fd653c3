"""The PyTorch side of the benchmarks computes what ours does (no timing here)."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def benchmark(module):
    return module("flossing_step")


@pytest.fixture
def timing(module):
    return module("_timing")


# The LIF network gets k below N: a spike removes its membrane direction from the tangents.
@pytest.mark.parametrize(
    ("cell", "hidden", "k", "steps"),
    [("tanh", 8, 3, 30), ("tanh", 6, 6, 12), ("LIF", 8, 6, 120)],
)
def test_values_and_gradients_are_those_of_plain_pytorch(benchmark, cell, hidden, k, steps, x64):
    problem = benchmark.make_problem(benchmark.Case(cell, hidden, k, steps, 1.0), np.float64)
    value, grads = benchmark.run_ours(problem)
    other_value, other_grads = benchmark.run_torch(problem)
    assert value == pytest.approx(other_value, rel=1e-8)
    assert set(grads) == set(other_grads) == set(benchmark.weights(problem))
    for name, other in other_grads.items():
        assert grads[name].dtype == other.dtype == np.float64
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(grads[name], other, rtol=0, atol=1e-8 * np.abs(other).max())


def test_lif_problem_spikes(benchmark):
    assert 5 < benchmark.firing_rate(benchmark.make_problem(benchmark.CASES[3])) < 30


def test_problem_has_the_same_numbers_in_both_precisions(benchmark, x64):
    case = benchmark.Case("LIF", 8, 3, 20, 1.0)
    single, double = benchmark.make_problem(case), benchmark.make_problem(case, np.float64)
    for name in ["recurrent_weight", "input_weight"]:
        a, b = getattr(single.cell, name), getattr(double.cell, name)
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(np.asarray(a, np.float64), b)
    np.testing.assert_allclose(double.basis.T @ double.basis, np.eye(3), atol=1e-14)


def test_difference_of_gradients_is_relative_and_nan_counts_as_infinite(benchmark):
    ours = {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 0.0])}
    theirs = {"a": np.array([1.0, 2.5]), "b": np.array([10.0, 1.0])}
    assert benchmark.difference(ours, theirs) == pytest.approx(0.2)
    assert benchmark.difference({**ours, "b": np.array([np.nan, 0.0])}, theirs) == math.inf


def test_interleaved_samples_come_in_turns(timing):
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = timing.interleave(functions, 3, at_least=0.0)
    assert "".join(calls) == "aabb" + "ababab"
    assert [len(t.seconds) for t in times.values()] == [3, 3]


def test_median_ratio(timing):
    slow, fast = timing.Times([2.0, 6.0, 4.0]), timing.Times([1.0, 2.0, 4.0])
    assert timing.median_ratio(slow, fast) == (2.0, 1.0, 3.0)


def test_markdown_table(timing):
    table = timing.markdown_table(["a", "long"], [[1, 2], ["wide", 3]])
    assert table == "| a    | long |\n| ---- | ---- |\n| 1    | 2    |\n| wide | 3    |"
