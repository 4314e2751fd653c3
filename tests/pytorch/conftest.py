"""Oracles for the tests of PyTorch steps; all of these tests are skipped where PyTorch is not installed."""

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    """The same random numbers in each test, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(params=["Jacobians of many steps at once", "copies of the state"])
def engine(request, monkeypatch):
    """What moves the tangents, if a step takes batches."""
    if "copies" in request.param:
        monkeypatch.setattr("flossing.torch._engine.MOST_WORK", -1)
    return request.param
