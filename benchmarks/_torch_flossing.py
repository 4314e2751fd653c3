"""The flossing loss as one writes it from the paper: dense Jacobians, ``torch.linalg.qr``, autograd."""

import math
from typing import Any

import numpy as np
import torch
from _flossing_problems import Problem, weights

import flossing as fl


class Spike(torch.autograd.Function):
    """1 above threshold, else 0; the backward pass is that of SuperSpike."""

    @staticmethod
    def forward(ctx, x, sharpness):
        ctx.save_for_backward(x)
        ctx.sharpness = sharpness
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * superspike(x, ctx.sharpness), None


def superspike(x: torch.Tensor, sharpness: float) -> torch.Tensor:
    """The surrogate derivative, itself differentiable."""
    return 1 / (sharpness * x.abs() + 1) ** 2


class TorchTanh:
    """The tanh network; ``weights`` are the tensors that gradients are taken in."""

    def __init__(self, problem: Problem):
        self.W = _parameter(problem.cell.recurrent_weight)
        self.U = _parameter(problem.cell.input_weight)
        self.b = _parameter(problem.cell.bias)
        self.weights = [self.W, self.U, self.b]
        self.state = _tensor(problem.state)
        self.inputs = _tensor(problem.inputs)
        self.basis = _tensor(problem.basis)

    def loss(self) -> torch.Tensor:
        x, Q = self.state, self.basis
        log_growth = torch.zeros(Q.shape[1], dtype=Q.dtype)
        for s in self.inputs:
            phi = torch.tanh(x)
            D = self.W * (1 - phi**2)
            x = self.W @ phi + self.U @ s + self.b
            Q, R = torch.linalg.qr(D @ Q)
            log_growth = log_growth + torch.log(torch.abs(torch.diagonal(R)))
        return torch.mean((log_growth / len(self.inputs)) ** 2)


class TorchLIF:
    """The LIF network with a detached reset to zero, and its 2N x 2N Jacobian."""

    def __init__(self, problem: Problem):
        cell = problem.cell
        self.V = _parameter(cell.recurrent_weight)
        self.U = _parameter(cell.input_weight)
        self.weights = [self.V, self.U]
        self.alpha = math.exp(-cell.time_step / cell.synapse_time_constant)
        self.beta = math.exp(-cell.time_step / cell.membrane_time_constant)
        self.threshold = cell.threshold
        self.sharpness = cell.surrogate.sharpness
        self.state = (_tensor(problem.state.membrane), _tensor(problem.state.synapse))
        self.inputs = _tensor(problem.inputs)
        self.basis = _tensor(problem.basis)

    def loss(self) -> torch.Tensor:
        alpha, beta = self.alpha, self.beta
        mem, syn = self.state
        Q = self.basis
        eye = torch.eye(len(mem), dtype=Q.dtype)
        log_growth = torch.zeros(Q.shape[1], dtype=Q.dtype)
        for s in self.inputs:
            out = Spike.apply(mem - self.threshold, self.sharpness)
            keep = (1 - out).detach()
            syn_mem = self.V * superspike(mem - self.threshold, self.sharpness)
            syn_syn = alpha * eye
            mem_mem = keep[:, None] * (beta * eye + (1 - beta) * syn_mem)
            mem_syn = keep[:, None] * ((1 - beta) * syn_syn)
            D = torch.cat([torch.cat([mem_mem, mem_syn], 1), torch.cat([syn_mem, syn_syn], 1)])
            syn = alpha * syn + self.U @ s + self.V @ out
            mem = (beta * mem + (1 - beta) * syn) * keep
            Q, R = torch.linalg.qr(D @ Q)
            log_growth = log_growth + torch.log(torch.abs(torch.diagonal(R)))
        return torch.mean((log_growth / len(self.inputs)) ** 2)


def _tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


def _parameter(array: Any) -> torch.Tensor:
    return _tensor(array).requires_grad_()


def torch_model(problem: Problem) -> TorchTanh | TorchLIF:
    """The PyTorch side of a problem."""
    return TorchTanh(problem) if isinstance(problem.cell, fl.TanhCell) else TorchLIF(problem)


def torch_value_and_grad(model: TorchTanh | TorchLIF) -> tuple[torch.Tensor, tuple]:
    """Loss and gradients, after a ``backward`` through all steps."""
    loss = model.loss()
    return loss, torch.autograd.grad(loss, model.weights)


def run_torch(problem: Problem) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients by name."""
    loss, grads = torch_value_and_grad(torch_model(problem))
    return loss.item(), {n: g.numpy() for n, g in zip(weights(problem), grads, strict=True)}
