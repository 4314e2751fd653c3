"""``ft.open_gates``: which biases become what, against the recurrences written once more in NumPy."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402

GRUS = [torch.nn.GRU, torch.nn.GRUCell]
LSTMS = [torch.nn.LSTM, torch.nn.LSTMCell]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def biases_of(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters() if "bias" in name}


def without_weights(module):
    """The module in double precision, with weights of zero."""
    for name, parameter in module.double().named_parameters():
        if "weight" in name:
            torch.nn.init.zeros_(parameter)
    return module


def a_step(module, *state):
    """The next state of units without a batch axis, as NumPy arrays."""
    zeros = torch.zeros(2, dtype=torch.float64)
    given = [torch.as_tensor(x) for x in state]
    if isinstance(module, torch.nn.RNNBase):
        given = [x[None] for x in given]
        new = module(zeros[None], given[0] if len(given) == 1 else tuple(given))[1]
    else:
        new = module(zeros, given[0] if len(given) == 1 else tuple(given))
    parts = new if isinstance(new, tuple) else (new,)
    return [x.detach().numpy().reshape(-1) for x in parts]


@pytest.mark.parametrize("made", GRUS)
def test_a_gru_without_weights_keeps_sigmoid_of_minus_three_of_its_state(made):
    module = without_weights(made(2, 5))
    ft.open_gates(module)
    h = np.random.default_rng(0).normal(size=5)
    recurrent, entering = (biases_of(module)[x] for x in sorted(biases_of(module)))  # hh, ih
    r, z = sigmoid(3.0), sigmoid(-3.0)
    new = np.tanh(entering[10:] + r * recurrent[10:])
    np.testing.assert_allclose(a_step(module, h)[0], (1 - z) * new + z * h, rtol=1e-12)


@pytest.mark.parametrize("made", LSTMS)
def test_an_lstm_without_weights_keeps_sigmoid_of_minus_three_of_its_cell(made):
    module = without_weights(made(2, 5))
    ft.open_gates(module)
    h, c = np.random.default_rng(0).normal(size=(2, 5))
    both = np.sum(list(biases_of(module).values()), axis=0)
    cell = sigmoid(-3.0) * c + sigmoid(3.0) * np.tanh(both[10:15])
    expected = [sigmoid(3.0) * np.tanh(cell), cell]
    np.testing.assert_allclose(a_step(module, h, c), expected, rtol=1e-12)


def test_all_layers_and_directions_are_opened_and_candidates_stay():
    module = torch.nn.GRU(2, 4, num_layers=2, bidirectional=True)
    before = {name: x.copy() for name, x in biases_of(module).items()}
    ft.open_gates(torch.nn.Sequential(module))
    after = biases_of(module)
    assert len(after) == 8
    gates = np.repeat([3.0, -3.0], 4)
    for name, bias in after.items():
        np.testing.assert_array_equal(bias[:8], gates if "ih" in name else 0)
        np.testing.assert_array_equal(bias[8:], before[name][8:])


def test_gates_that_were_trained_or_opened_stay_as_they_are():
    module = torch.nn.LSTM(1, 16)  # fresh biases reach up to 0.25
    with torch.no_grad():
        module.bias_hh_l0[20] = 0.26
    before = {name: x.copy() for name, x in biases_of(module).items()}
    ft.open_gates(module)
    for name, bias in biases_of(module).items():
        np.testing.assert_array_equal(bias, before[name])


def test_a_trained_candidate_does_not_keep_gates_shut():
    module = torch.nn.GRUCell(1, 4)
    with torch.no_grad():
        module.bias_ih[8:] = 5.0
    ft.open_gates(module)
    np.testing.assert_array_equal(biases_of(module)["bias_ih"], np.repeat([3.0, -3.0, 5.0], 4))


def test_parameters_stay_the_same_objects_so_that_optimisers_keep_them():
    module = torch.nn.LSTMCell(1, 4)
    before = list(map(id, module.parameters()))
    ft.open_gates(module)
    assert list(map(id, module.parameters())) == before
    assert all(p.requires_grad for p in module.parameters())


def test_a_module_without_gates_is_refused_with_what_to_do():
    text = r"(?s)module: expected one with nn\.GRU.*got Linear.*\+3 for reset"
    with pytest.raises(ValueError, match=text):
        ft.open_gates(torch.nn.Linear(2, 2))


def test_gates_without_biases_are_refused_before_anything_changes():
    shut, fresh = torch.nn.GRUCell(2, 3, bias=False), torch.nn.GRUCell(2, 3)
    before = fresh.bias_ih.detach().clone()
    with pytest.raises(ValueError, match=r"a GRUCell without biases.*bias=True"):
        ft.open_gates(torch.nn.ModuleList([fresh, shut]))
    assert torch.equal(fresh.bias_ih, before)
