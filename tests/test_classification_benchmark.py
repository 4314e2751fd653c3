"""The PyTorch side of the classification benchmark computes what ours does (no timing here)."""

import importlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")


def test_values_and_gradients_are_those_of_plain_pytorch(monkeypatch, x64):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    benchmark = importlib.import_module("classification_epoch")
    small = benchmark.Architecture(filters=(2, 3, 4))
    schedule = benchmark.Schedule(spike_limit=1.0)
    network, rasters, labels = benchmark.problem(3, np.float64, small)
    value, ours = benchmark.our_gradients(network, rasters, labels, schedule)
    model = benchmark.TorchClassifier(network, schedule.penalty, schedule.spike_limit)
    for at_once in (False, True):
        other, theirs = benchmark.torch_gradients(model, rasters, labels, at_once)
        assert value == pytest.approx(other, rel=1e-10)
        assert benchmark.difference(ours, theirs) < 1e-8
    assert all(np.abs(g).max() > 0 for g in ours)
