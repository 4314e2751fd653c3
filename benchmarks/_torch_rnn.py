"""Delayed XOR in PyTorch: ``torch.nn.RNN``, a linear readout, Adam, clipping of each array."""

from typing import Any

import numpy as np
import torch

import flossing as fl


class TorchNetwork(torch.nn.Module):
    """The network of ``flossing.training.Network`` with a post-activation ``TanhCell``."""

    def __init__(self, network: Any):
        super().__init__()
        cell = network.cell
        dtype = torch.from_numpy(np.array(cell.bias)).dtype
        self.rnn = torch.nn.RNN(cell.input_size, cell.hidden_size, dtype=dtype)
        self.readout = torch.nn.Linear(cell.hidden_size, len(network.readout_bias), dtype=dtype)
        self.start = torch.nn.Parameter(torch.zeros(cell.hidden_size, dtype=dtype))
        for name, value in numbers(network).items():
            self.named()[name].data = torch.from_numpy(np.array(value))
        self.rnn.bias_hh_l0.data.zero_()
        self.rnn.bias_hh_l0.requires_grad_(False)  # the bias that the other one makes superfluous

    def named(self) -> dict[str, torch.nn.Parameter]:
        """Parameters under our names."""
        return {
            "recurrent_weight": self.rnn.weight_hh_l0,
            "input_weight": self.rnn.weight_ih_l0,
            "bias": self.rnn.bias_ih_l0,
            "readout_weight": self.readout.weight,
            "readout_bias": self.readout.bias,
            "initial_state": self.start,
        }

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, delay: int) -> torch.Tensor:
        """Mean cross-entropy of the scored steps; arrays of shape ``(time, trial, 1)``."""
        start = self.start.expand(1, inputs.shape[1], -1).contiguous()
        outputs = self.readout(self.rnn(inputs, start)[0][delay:])
        return torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets[delay:])


def numbers(network: Any) -> dict[str, np.ndarray]:
    """The parameters of one network of ours (or of its gradient) by name."""
    cell = network.cell
    arrays = {
        "recurrent_weight": cell.recurrent_weight,
        "input_weight": cell.input_weight,
        "bias": cell.bias,
        "readout_weight": network.readout_weight,
        "readout_bias": network.readout_bias,
        "initial_state": network.initial_state,
    }
    return {name: np.asarray(array) for name, array in arrays.items()}


class TorchTraining:
    """Epochs of one update on a fresh batch each."""

    def __init__(self, network: Any, trainer: fl.training.Trainer):
        self.network, self.task = TorchNetwork(network), trainer.task
        self.batch_size, self.optimiser = trainer.batch_size, trainer.optimiser
        self.parameters = list(self.network.named().values())
        self.adam = torch.optim.Adam(self.parameters, self.optimiser.learning_rate, fused=True)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Random bits and their answers."""
        shape = self.task.num_steps, self.batch_size, 1
        bits = torch.randint(2, shape)
        answers = sum(bits.roll(lag, 0) for lag in self.task.lags) % 2
        dtype = self.network.start.dtype
        return bits.to(dtype), answers.to(dtype)

    def epoch(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """One update; returns the loss before it."""
        self.adam.zero_grad()
        loss = self.network.loss(inputs, targets, self.task.delay)
        loss.backward()
        for parameter in self.parameters:
            norm = parameter.grad.norm()
            parameter.grad *= torch.clamp(self.optimiser.clip_norm / norm, max=1)
        self.adam.step()
        return loss
