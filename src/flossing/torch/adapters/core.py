"""Recurrent modules of PyTorch itself."""

from typing import Any

from torch import Tensor, nn

from ._adapted import Adapted


def claims(module: nn.Module) -> bool:
    """Whether it is one of them."""
    return isinstance(module, nn.RNNCellBase | nn.RNNBase)


def adapted(module: Any, sample: Tensor) -> Adapted:
    """The module with its state outside, which starts at zeros."""
    if isinstance(module, nn.RNNCellBase):
        zeros = sample.new_zeros(len(sample), module.hidden_size)
        if isinstance(module, nn.LSTMCell):
            start = zeros, zeros.clone()
            units = module.hidden_size
            return Adapted(module, lambda state, x: module(x, state), start, most_flossed=units)
        return Adapted(module, lambda state, x: module(x, state), zeros)
    if module.bidirectional:
        raise ValueError(
            "module: reads its inputs in both directions, so it has no step; use one direction."
        )
    return _layers(module, sample)


def _layers(module: Any, sample: Tensor) -> Adapted:
    """``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` with states of shape (batch, layers, hidden)."""
    time = 1 if module.batch_first else 0

    def turned(state: Any) -> Any:
        if isinstance(state, tuple):
            return tuple(x.transpose(0, 1).contiguous() for x in state)
        return state.transpose(0, 1).contiguous()

    def advance(state: Any, input: Tensor) -> Any:
        return turned(module(input.unsqueeze(time), turned(state))[1])

    shown = module.proj_size or module.hidden_size
    hidden = sample.new_zeros(len(sample), module.num_layers, shown)
    if not isinstance(module, nn.LSTM):
        return Adapted(module, advance, hidden)
    cell = sample.new_zeros(len(sample), module.num_layers, module.hidden_size)
    units = module.num_layers * module.hidden_size
    return Adapted(module, advance, (hidden, cell), most_flossed=units)
