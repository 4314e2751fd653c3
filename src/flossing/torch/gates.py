"""Gates of ``nn.GRU`` and ``nn.LSTM`` that start open."""

from torch import no_grad
from torch.nn import GRU, LSTM, GRUCell, LSTMCell, Module, RNNBase, RNNCellBase

from ..cells.opening import OPENNESS

_GATED = (GRU, LSTM, GRUCell, LSTMCell)


def open_gates(module: Module) -> None:
    """Opens the gates of fresh GRUs and LSTMs in a module, in place, before it is flossed.

    What ``fl.open_gates`` is for cells of JAX, and for the same reason: flossing alone shuts gates that are
    half open. Reset, input and output gates get biases of +3, update and forget gates of -3. Modules whose
    gate biases are no longer those of a fresh one are left as they are::

        ft.open_gates(model)

    Args:
        module: a module with any number of ``nn.GRU``, ``nn.LSTM``, ``nn.GRUCell`` or ``nn.LSTMCell``.

    Raises:
        ValueError: there is none in it, or one has no biases.
    """
    gated = [part for part in module.modules() if isinstance(part, _GATED)]
    if not gated:
        raise ValueError(
            f"module: expected one with nn.GRU, nn.LSTM or their cells, got {type(module).__name__} without "
            "any. Of others, set biases yourself: +3 for reset, input and output gates, -3 for "
            "update and forget gates."
        )
    for part in gated:
        if not part.bias:
            raise ValueError(
                f"module: a {type(part).__name__} without biases has no open gates; make it with bias=True."
            )
    for part in gated:
        _open(part)


@no_grad()
def _open(part: RNNBase | RNNCellBase) -> None:
    """Opens all layers and directions; PyTorch orders gates r, z, n and i, f, g, o."""
    signs = (1, -1, 0) if isinstance(part, GRU | GRUCell) else (1, -1, 0, 1)
    size, biases = part.hidden_size, dict(part.named_parameters())
    largest = 1.01 * size**-0.5  # biases are drawn up to one over the root of the units
    for name in [name for name in biases if name.startswith("bias_ih")]:
        entering, recurrent = biases[name], biases[name.replace("ih", "hh")]
        gates = [slice(i * size, (i + 1) * size) for i, sign in enumerate(signs) if sign]
        if all(
            float(b[gate].abs().max()) <= largest for b in (entering, recurrent) for gate in gates
        ):
            for gate, sign in zip(gates, filter(None, signs), strict=True):
                entering[gate] = OPENNESS * sign
                recurrent[gate] = 0
