"""A looped model: a transformer block applied again and again to a batch of small puzzles."""

import dense
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402

BATCH, TOKENS, WIDTH, LOOPS, K = 32, 3, 4, 16, 8


class Block(torch.nn.Module):
    """Two layers of attention and a feedforward part, with the puzzle added to the state at each turn."""

    def __init__(self):
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(
            WIDTH, 2, 16, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.halt = torch.nn.Linear(WIDTH, 1)

    def forward(self, state, puzzle):
        """The next state of all tokens."""
        return {"tokens": 0.7 * self.layers(state["tokens"] + puzzle)}


@pytest.fixture
def looped():
    """The block, start states, and embedded puzzles: sums of two digits, the same at each turn."""
    torch.manual_seed(0)
    block = Block().double()
    embedding = torch.nn.Embedding(10, WIDTH).double()
    digits = torch.randint(0, 5, (BATCH, 2))
    puzzles = embedding(torch.cat([digits, digits.sum(1, keepdim=True)], 1)).detach()
    state = {"tokens": torch.randn(BATCH, TOKENS, WIDTH, dtype=torch.float64)}
    return block, state, puzzles.expand(LOOPS, BATCH, TOKENS, WIDTH)


def example(state, i):
    """One example as a batch of one."""
    return {name: value[i : i + 1] for name, value in state.items()}


def test_each_example_has_the_exponents_of_its_own_jacobians(looped):
    block, state, puzzles = looped
    basis = torch.randn(TOKENS * WIDTH, K, dtype=torch.float64)
    together = ft.lyapunov_spectrum(block, state, puzzles, basis=basis)
    assert together.exponents.shape == (BATCH, K)
    for i in range(0, BATCH, 8):
        one = ft.lyapunov_spectrum(block, example(state, i), puzzles[:, i : i + 1], basis=basis)
        np.testing.assert_allclose(together.exponents[i], one.exponents[0], atol=1e-8)
        matrices, _ = dense.jacobians(block, example(state, i), puzzles[:, i : i + 1])
        expected = dense.exponents(matrices, basis.numpy())
        np.testing.assert_allclose(together.exponents[i], expected, atol=1e-8)


def test_windows_follow_the_loops_and_halted_examples_rest(looped):
    block, state, puzzles = looped
    halted = torch.arange(BATCH) % LOOPS + 1  # turns of each example
    mask = torch.arange(LOOPS)[:, None] < halted
    local = ft.local_exponents(block, state, puzzles, window=4, num_exponents=2, mask=mask)
    assert local.shape == (BATCH, 4, 2)
    windows = (halted + 3) // 4
    ended = torch.isnan(local[..., 0]).sum(1)
    np.testing.assert_array_equal(ended, 4 - windows)
    basis = torch.randn(TOKENS * WIDTH, 2, dtype=torch.float64)
    found = ft.lyapunov_spectrum(block, state, puzzles, basis=basis, mask=mask)
    turns = int(halted[4])
    alone = ft.lyapunov_spectrum(block, example(state, 4), puzzles[:turns, 4:5], basis=basis)
    np.testing.assert_allclose(found.exponents[4], alone.exponents[0], atol=1e-10)
    tokens = [s["tokens"][j] for s, j in ((found.final_state, 4), (alone.final_state, 0))]
    np.testing.assert_allclose(*tokens, atol=1e-12)


def test_one_sided_losses_and_volumes_have_gradients(looped):
    block, state, puzzles = looped
    loss = ft.flossing_loss(
        block, state, puzzles[:6], num_exponents=2, which=[0], targets=-2.0, penalty="above"
    )
    loss.backward()
    spectrum = ft.lyapunov_spectrum(block, state, puzzles[:6], num_exponents=4, differentiable=True)
    volumes = spectrum.exponents.sum(1)
    volumes.square().mean().backward()
    assert volumes.shape == (BATCH,)
    assert all(bool(torch.isfinite(p.grad).all()) for p in block.layers.parameters())


def test_single_precision_agrees_to_five_digits(looped):
    block, state, puzzles = looped
    basis = torch.randn(TOKENS * WIDTH, K, dtype=torch.float64)
    wide = ft.lyapunov_spectrum(block, state, puzzles, basis=basis)
    narrow = ft.lyapunov_spectrum(
        block.float(), {"tokens": state["tokens"].float()}, puzzles.float(), basis=basis.float()
    )
    np.testing.assert_allclose(narrow.exponents, wide.exponents, atol=2e-5)
