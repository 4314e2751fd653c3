"""Which parts of a state hold spikes, of steps that do not say so."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ._check_run import has_batch
from ._choice import same_random_numbers
from ._tree import Step, is_inexact, take


def are_spikes(values: Any) -> bool:
    """Whether an array holds zeros and ones alone, and some ones."""
    return bool(((values == 0) | (values == 1)).all()) and bool((values == 1).any())


def spiking_units(step: Step, state: Any, inputs: Any, num_steps: int) -> int | None:
    """How many numbers of a state are spikes along so many steps; of a batch, in each example.

    These are leaves of zeros and ones, with some ones, beside others such as membranes: a state of nothing
    else is one of binary units. ``None`` where it cannot be told yet, because a leaf is zero throughout.
    """
    batched, seen = has_batch(state, inputs), []
    with torch.no_grad(), same_random_numbers():
        for t in range(num_steps):
            state = step(state, take(inputs, t))
            seen.append([x for x in pytree.tree_leaves(state) if _is_real(x)])
    leaves = [torch.stack(along) for along in zip(*seen, strict=True)]
    spikes = [x for x in leaves if are_spikes(x)]
    silent = [x for x in leaves if not bool(x.any())]
    if not spikes or len(spikes) + len(silent) == len(leaves):
        return None if silent else 0
    return sum(x[0].numel() // (x.shape[1] if batched else 1) for x in spikes)


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and is_inexact(leaf)
