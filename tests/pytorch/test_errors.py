"""Errors name the argument, the value, what was expected and the next step, in the words of the JAX "
"side."""

import re
import subprocess
import sys

import jax.numpy as jnp
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402

CELL = torch.nn.GRUCell(2, 3)
STATE, INPUTS = torch.zeros(3), torch.zeros(5, 2)


def step(state, input):
    """The state first."""
    return CELL(input, state)


BAD = [
    ({"step": 3}, "step: expected a function step(state, input) -> state, got int."),
    ({"step": CELL}, "modules of PyTorch take (input, state), and a step takes (state, input)"),
    ({"step": lambda x, h: CELL(x, h)}, "It works as step(input, state)"),
    (
        {"step": lambda h, x: h[:2]},
        "must return a state like the one it got, float32[3]; it returned float32[2]",
    ),
    ({"step": lambda h, x: h.double()}, "it returned float64[3]"),
    (
        {"state": torch.zeros(3, dtype=torch.int32)},
        "state: expected floating-point tensors, got int32[3].",
    ),
    ({"state": torch.tensor([0.0, torch.nan, 0.0])}, "state: has 1 NaN or infinite entries."),
    ({"state": jnp.zeros(3)}, "state: got a ArrayImpl of jaxlib; expected tensors."),
    (
        {"inputs": torch.tensor([[0.0, 0.0], [torch.inf, 0.0]])},
        "inputs: NaN or infinite entries, the first at time step 1.",
    ),
    ({"inputs": None}, "num_steps: expected a number of steps, because there are no inputs."),
    ({"inputs": torch.zeros(0, 2)}, "inputs: expected at least one time step, got none."),
    ({"num_steps": 4}, "num_steps: got 4, but inputs has 5 time steps."),
    ({"num_exponents": 4}, "num_exponents: got 4, but the state has only 3 dimensions."),
    ({"num_exponents": 0}, "num_exponents: expected at least 1, got 0."),
    (
        {"warmup": 3, "state_warmup": 2},
        "state_warmup, warmup: 2 + 3 steps leave none of 5 to count.",
    ),
    ({"renormalise_every": "auto"}, "renormalise_every: expected an integer, got 'auto' (str)."),
    ({"basis": torch.zeros(2, 2)}, "basis: expected shape (3, 2), got (2, 2)."),
    ({"tangents": False}, "tangents: selects no floating-point tensor"),
    ({"tangents": [True, True]}, "tangents: expected a filter of the state's leaves"),
    ({"mode": "sideways"}, "mode: expected one of 'auto', 'forward', 'reverse', got 'sideways'."),
    ({"mask": torch.ones(5, 1, dtype=torch.bool)}, "mask: is for inputs with a batch axis"),
    ({"inputs": torch.zeros(5, 4, 2), "state": torch.zeros(3, 3)}, "expected the same batch axis"),
    ({"basis_warmup": 3}, "basis_warmup: is now called warmup"),
    (
        {"step": lambda h, x: h * torch.nan},
        "the state or its tangents became NaN or infinite by step 1",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_wrong_arguments(wrong, message):
    arguments = {"step": step, "state": STATE, "inputs": INPUTS} | wrong
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        ft.lyapunov_spectrum(**arguments)


def test_derivatives_are_not_taken_in_reverse_mode():
    with pytest.raises(ValueError, match='"reverse" measures only'):
        ft.lyapunov_spectrum(step, STATE, INPUTS, mode="reverse", differentiable=True)


def test_a_module_that_is_not_known_is_led_on():
    with pytest.raises(TypeError, match=r"Linear is none of .* ft.Attributes\(module, names\)"):
        ft.as_step(torch.nn.Linear(2, 2), torch.zeros(2))
    with pytest.raises(
        TypeError, match="sample_input: expected a tensor of one time step, got list"
    ):
        ft.as_step(CELL, [0.0, 0.0])
    with pytest.raises(ValueError, match=r"calling the module with shape \(1, 5\) failed"):
        ft.as_step(torch.nn.GRU(2, 3), torch.zeros(5))
    with pytest.raises(ValueError, match="reads its inputs in both directions"):
        ft.as_step(torch.nn.LSTM(2, 3, bidirectional=True), torch.zeros(2))


class Hidden(torch.nn.Module):
    """A module that keeps its state in an attribute."""

    def __init__(self):
        super().__init__()
        self.cell, self.memory = torch.nn.RNNCell(2, 3), None

    def forward(self, x):
        """Its state, which it keeps."""
        self.memory = self.cell(x, self.memory)
        return self.memory


def test_a_state_in_an_attribute_is_taken_out_and_put_back():
    module = Hidden()
    stepped, state = ft.as_step(ft.Attributes(module, ["memory"]), INPUTS[0])
    assert module.memory is None
    basis = torch.eye(3)[:, :2]
    found = ft.lyapunov_spectrum(stepped, state, INPUTS, basis=basis)
    own = ft.lyapunov_spectrum(*ft.as_step(module.cell, INPUTS[0]), INPUTS, basis=basis)
    assert torch.allclose(found.exponents, own.exponents, atol=1e-6)
    with pytest.raises(AttributeError, match="has no attribute 'memori'"):
        ft.Attributes(module, ["memori"])
    with pytest.raises(TypeError, match="is a parameter"):
        ft.Attributes(module, ["cell.weight_hh"])


def test_a_flosser_says_what_it_needs():
    with pytest.raises(ValueError, match="inputs: 5 steps, but state_warmup and window need 50"):
        ft.Flosser(step, CELL.parameters()).update(STATE, INPUTS)
    with pytest.raises(TypeError, match=r"expected tensors such as module\.parameters"):
        ft.Flosser(step, CELL)
    other = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), 0.1)
    with pytest.raises(ValueError, match="holds other parameters"):
        ft.Flosser(step, CELL.parameters(), optimiser=other)
    with pytest.raises(TypeError, match=r"expected an optimiser of torch\.optim"):
        ft.Flosser(step, CELL.parameters(), optimiser=torch.optim.Adam)
    with pytest.raises(
        TypeError, match=r"expected an ft.Flosser or ft.SurrogateHeights, got <func"
    ):
        ft.AdaptiveFlosser(step, horizon=10)


def test_heights_need_surrogates_that_can_be_scaled():
    with pytest.raises(
        ValueError, match=r"module: expected surrogates of ft.surrogates, got GRUCell"
    ):
        ft.SurrogateHeights(step, CELL)
    with pytest.raises(ValueError, match=r"response: expected a finite positive number, got 0"):
        ft.SurrogateHeights(step, ft.surrogates.Erf(), response=0.0)


def test_flossing_without_torch_imports_none():
    code = "import sys, flossing; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
