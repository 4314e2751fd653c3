"""The deterministic classification network in plain PyTorch."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv1d, cross_entropy, relu

import flossing as fl


class _SuperSpike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, sharpness: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.sharpness = sharpness
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        return gradient / (ctx.sharpness * x.abs() + 1) ** 2, None


class TorchClassifier:
    """Weights and constants of one of our stacks; a loop over time, layer by layer within a step."""

    def __init__(self, network: fl.Stack, penalty: float, limit: float):
        *layers, readout = network.layers
        self.layers = layers
        self.readout = readout
        self.penalty, self.limit = penalty, limit
        self.weights = [
            _leaf(np.transpose(layer.convolution.kernel, (2, 1, 0))) for layer in layers
        ]
        self.weights.append(_leaf(readout.weight))

    def loss(
        self, rasters: torch.Tensor, labels: torch.Tensor, *, at_once: bool = False
    ) -> torch.Tensor:
        """Cross-entropy plus penalty; rasters have the shape (time, trial, 1, input).

        With ``at_once`` the convolution of each layer is computed for all steps before its loop over time.
        """
        if at_once:
            counts, values = self._layer_by_layer(rasters)
        else:
            counts, values = self._step_by_step(rasters)
        penalty = sum((relu(count - self.limit) ** 2).mean() for count in counts)
        return cross_entropy(values, labels) + self.penalty * penalty

    def _step_by_step(self, rasters: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        states: list[Any] = [None] * len(self.layers)
        counts: list[Any] = [0.0] * len(self.layers)
        readout, values = None, []
        for spikes in rasters:
            for i, (layer, weight) in enumerate(zip(self.layers, self.weights, strict=False)):
                current = conv1d(spikes, weight)
                states[i], spikes = _lif(layer, states[i], current)
                counts[i] = counts[i] + spikes
            # Ours has the channels of a position side by side.
            flat = spikes.transpose(1, 2).flatten(1)
            readout = _leaky(self.readout, readout, flat @ self.weights[-1].T)
            values.append(readout[0])
        return counts, _largest(values)

    def _layer_by_layer(self, spikes: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        steps, trials = spikes.shape[:2]
        counts = []
        for layer, weight in zip(self.layers, self.weights, strict=False):
            currents = conv1d(spikes.flatten(0, 1), weight).unflatten(0, (steps, trials))
            state, found = None, []
            for current in currents.unbind(0):
                state, out = _lif(layer, state, current)
                found.append(out)
            spikes = torch.stack(found)
            counts.append(spikes.sum(0))
        flat = spikes.transpose(2, 3).flatten(2)
        readout, values = None, []
        for current in (flat @ self.weights[-1].T).unbind(0):
            readout = _leaky(self.readout, readout, current)
            values.append(readout[0])
        return counts, _largest(values)


def _largest(values: list[torch.Tensor]) -> torch.Tensor:
    """Over time; values before the first spike are all 0, and equal ones share the gradient as in ours."""
    return torch.stack(values).amax(0)


def _lif(layer: fl.ConvLIFCell, state: Any, current: torch.Tensor) -> tuple:
    alpha = math.exp(-layer.time_step / layer.synapse_time_constant)
    beta = math.exp(-layer.time_step / layer.membrane_time_constant)
    if state is None:
        state = (torch.zeros_like(current),) * 3
    membrane, synapse, out = state
    synapse = alpha * synapse + current
    membrane = (beta * membrane + (1 - beta) * synapse) * (1 - out.detach())
    out = _SuperSpike.apply(membrane - layer.threshold, layer.surrogate.sharpness)
    return (membrane, synapse, out), out


def _leaky(readout: fl.LeakyReadout, state: Any, current: torch.Tensor) -> tuple:
    alpha = math.exp(-readout.time_step / readout.synapse_time_constant)
    beta = math.exp(-readout.time_step / readout.membrane_time_constant)
    membrane, synapse = (torch.zeros_like(current),) * 2 if state is None else state
    synapse = alpha * synapse + current
    return beta * membrane + (1 - beta) * synapse, synapse


def _leaf(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array)).requires_grad_()


def our_layout(gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Gradients of kernels with the axes in our order."""
    return [*(np.transpose(g, (2, 1, 0)) for g in gradients[:-1]), gradients[-1]]
