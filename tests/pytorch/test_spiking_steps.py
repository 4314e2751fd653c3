"""Steps that do not say that their units spike: what flossers and examinations see in their states."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402

N = 30
WINDOW: dict[str, Any] = {"window": 12, "warmup": 2, "state_warmup": 3}


class Neurons(torch.nn.Module):
    """Leaky neurons, their spikes and membranes taken and returned."""

    def __init__(self, drive=0.6):
        super().__init__()
        self.recurrent = torch.nn.Linear(N, N, bias=False, dtype=torch.float64)
        self.spike = ft.surrogates.SuperSpike(5.0)
        self.drive = drive

    def forward(self, state, input):
        """Spikes and membranes after a step, or whatever else was in the state."""
        membrane = 0.5 * state[1] + self.recurrent(state[0]) + self.drive * input
        spikes = self.spike(membrane - 0.5)
        return spikes, membrane - 0.5 * spikes.detach()


def start(*batch):
    return torch.zeros(*batch, N, dtype=torch.float64), torch.zeros(*batch, N, dtype=torch.float64)


def inputs(*batch):
    return torch.rand(20, *batch, N, dtype=torch.float64)


def flosser_of(neurons, step=None, **options):
    """A flosser of a function of these neurons."""
    step = (lambda state, input: neurons(state, input)) if step is None else step
    return ft.Flosser(step, neurons.parameters(), **(WINDOW | options))


def change_of_row_means(flosser, neurons, state, given):
    """By how much the means of rows change in an update, and by how much single weights do."""
    before = neurons.recurrent.weight.detach().clone()
    flosser.update(state, given)
    change = neurons.recurrent.weight.detach() - before
    return float(change.mean(1).abs().max()), float(change.abs().max())


@pytest.mark.parametrize("batch", [(), (3,)])
def test_of_a_state_with_spikes_row_means_are_kept(batch):
    neurons = Neurons()
    flosser = flosser_of(neurons)
    assert flosser.keep_row_means is None
    means, weights = change_of_row_means(flosser, neurons, start(*batch), inputs(*batch))
    assert flosser.keep_row_means is True
    assert means < 1e-12 < 1e-4 < weights


def test_what_the_user_says_counts_whatever_the_state_holds():
    neurons = Neurons()
    flosser = flosser_of(neurons, keep_row_means=False)
    means, _ = change_of_row_means(flosser, neurons, start(), inputs())
    assert flosser.keep_row_means is False
    assert means > 1e-6


def test_of_a_state_without_spikes_row_means_are_free():
    cell = torch.nn.RNNCell(N, N, dtype=torch.float64)
    flosser = ft.Flosser(lambda h, x: cell(x, h), cell.parameters(), **WINDOW)
    before = cell.weight_hh.detach().clone()
    flosser.update(start()[0], inputs())
    assert flosser.keep_row_means is False
    assert float((cell.weight_hh.detach() - before).mean(1).abs().max()) > 1e-6


def test_a_state_of_nothing_but_spikes_is_one_of_binary_units():
    neurons = Neurons()
    flosser = flosser_of(
        neurons, lambda s, x: neurons.spike(neurons.recurrent(s) + 0.6 * x - 0.3), num_exponents=2
    )
    flosser.update(start()[0], inputs())
    assert flosser.keep_row_means is False


def test_while_neurons_are_silent_it_stays_open_whether_they_spike():
    neurons = Neurons(drive=0.0)
    flosser = flosser_of(neurons, num_exponents=2)
    flosser.update(start(), inputs())
    assert flosser.keep_row_means is None
    neurons.drive = 0.6
    flosser.update(start(), inputs())
    assert flosser.keep_row_means is True


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_tenth_of_the_neurons_is_flossed_where_nobody_says_how_many(batch):
    flosser = flosser_of(Neurons())
    assert len(flosser.update(start(*batch), inputs(*batch)).exponents) == 3
    assert len(flosser_of(Neurons(), num_exponents=7).update(start(), inputs()).exponents) == 7


@pytest.mark.parametrize("neuron", ["RLeaky", "RSynaptic"])
def test_so_it_is_in_modules_of_snntorch_however_many_variables_a_neuron_has(neuron):
    snntorch = pytest.importorskip("snntorch")
    decays = (0.5,) if neuron == "RLeaky" else (0.5, 0.5)
    step, state = ft.as_step(
        getattr(snntorch, neuron)(*decays, linear_features=20), torch.zeros(20)
    )
    flosser = ft.Flosser(step, step.module.parameters(), **WINDOW)
    assert len(flosser.update(state, 2 * torch.rand(20, 20)).exponents) == 2


def test_rate_units_with_kept_row_means_are_flossed_in_nearly_all_directions():
    cell = torch.nn.RNNCell(N, N, dtype=torch.float64)
    flosser = ft.Flosser(lambda h, x: cell(x, h), cell.parameters(), keep_row_means=True, **WINDOW)
    assert len(flosser.update(start()[0], inputs()).exponents) == 28


def test_looking_for_spikes_uses_up_no_random_numbers():
    neurons, drawn = Neurons(), []
    for options in ({}, {"num_exponents": 3, "keep_row_means": True}):
        torch.manual_seed(0)
        flosser_of(neurons, **options).update(start(), inputs())
        drawn.append(torch.rand(()))
    assert drawn[0] == drawn[1]


def test_a_step_that_fails_is_reported_by_the_checks_as_before():
    neurons = Neurons()
    with pytest.raises(ValueError, match=r"^step: step\(state, input\) failed"):
        flosser_of(neurons).update(start(), torch.rand(20, 7, dtype=torch.float64))


def test_a_module_that_cannot_be_stepped_is_told_what_a_function_step_should_return():
    snntorch = pytest.importorskip("snntorch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), snntorch.RLeaky(0.5, linear_features=4))
    with pytest.raises(ValueError, match=r"by spikes in the state.*keep_row_means"):
        ft.as_step(net, torch.zeros(2))


def advised(step, state, given, name="vanishing"):
    """Code and words that an examination gives."""
    report = ft.examine(step, state, given, horizon=19)
    (finding,) = (x for x in report.advice if x.name in (name, "uneven"))
    return finding.code, finding.advice


def test_advice_for_a_function_of_spiking_neurons_flosses_a_tenth_with_means_kept():
    neurons = Neurons()
    torch.nn.init.zeros_(neurons.recurrent.weight)
    code, words = advised(lambda s, x: neurons(s, x), start(), inputs())
    assert "parameters = ...  # recurrent weights alone" in code
    assert "num_exponents=3, " in code
    assert "keep_row_means=True)" in code
    assert "a tenth of the neurons" in words
    assert "Leave a network that has learned alone" in words


def test_advice_for_a_module_of_spiking_neurons_runs_and_flosses_recurrent_weights_alone():
    snntorch = pytest.importorskip("snntorch")
    net = torch.nn.Sequential(
        torch.nn.Linear(2, N), snntorch.RLeaky(0.5, linear_features=N, init_hidden=True)
    )
    given = torch.rand(20, 2)
    step, state = ft.as_step(net, given[0])
    code, _ = advised(step, state, given)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    exec(
        code.replace("range(200)", "range(2)"),
        {"ft": ft, "step": step, "state": state, "inputs": given},
    )
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"1.recurrent.weight"}
    change = net[1].recurrent.weight.detach() - before["1.recurrent.weight"]
    np.testing.assert_allclose(change.mean(1), 0, atol=1e-7)


def test_advice_for_rate_units_is_that_for_all_parameters():
    cell = torch.nn.RNNCell(1, N)
    given = torch.rand(20, 1)
    code, words = advised(*ft.as_step(cell, given[0]), given)
    assert "parameters = step.module.parameters()\n" in code
    assert "keep_row_means" not in code
    assert "nearly all" in words
