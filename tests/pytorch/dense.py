"""Exponents from dense Jacobians, which first derivatives alone give, and NumPy's QR."""

import numpy as np
import torch
from torch.utils import _pytree as pytree


def flat(state):
    """All floating-point numbers of a state as one vector."""
    return torch.cat(
        [x.reshape(-1) for x in pytree.tree_leaves(state) if isinstance(x, torch.Tensor)]
    )


def unflat(vector, like):
    """A state of these numbers in the form of another."""
    leaves, spec = pytree.tree_flatten(like)
    sizes = [x.numel() if isinstance(x, torch.Tensor) else 0 for x in leaves]
    pieces = vector.split(sizes)
    shaped = [
        piece.reshape(x.shape) if isinstance(x, torch.Tensor) else x
        for piece, x in zip(pieces, leaves, strict=True)
    ]
    return pytree.tree_unflatten(shaped, spec)


def jacobian(step, state, input):
    """The Jacobian of one step, row by row in reverse mode; a batch of one counts as one state."""
    start = flat(state).detach().requires_grad_()
    new = flat(step(unflat(start, state), input))
    rows = [
        torch.autograd.grad(x, start, retain_graph=True, allow_unused=True)[0]
        if x.requires_grad
        else None
        for x in new
    ]
    zeros = torch.zeros_like(start)
    return np.stack([(zeros if row is None else row).numpy() for row in rows]).astype(float)


def jacobians(step, state, inputs):
    """Those along a trajectory, and the last state."""
    found = []
    for input in inputs:
        found.append(jacobian(step, state, input))
        with torch.no_grad():
            state = step(state, input)
    return found, state


def exponents(matrices, basis):
    """Means of the logarithms of the diagonal of R."""
    q, logs = np.linalg.qr(basis)[0], []
    for matrix in matrices:
        q, r = np.linalg.qr(matrix @ q)
        logs.append(np.log(np.abs(np.diagonal(r))))
    return np.mean(logs, 0)
