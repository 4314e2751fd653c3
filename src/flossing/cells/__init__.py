"""One step of a network each: rate, gated, binary and spiking cells, and stacks of them."""

from ._base import Cell as Cell, check_cell as check_cell
from .binary import BinaryCell as BinaryCell
from .convolution import ConvLIFCell as ConvLIFCell, Convolution as Convolution
from .fluctuations import fluctuation_driven as fluctuation_driven
from .gated import (
    GRUCell as GRUCell,
    LSTMCell as LSTMCell,
    LSTMState as LSTMState,
    open_gates as open_gates,
)
from .linear import LinearRecurrentCell as LinearRecurrentCell, LinearState as LinearState
from .readout import LeakyReadout as LeakyReadout, ReadoutState as ReadoutState
from .relu import ReLUCell as ReLUCell
from .spiking import LIFCell as LIFCell, LIFState as LIFState
from .stack import Stack as Stack, with_escape as with_escape
from .tanh import TanhCell as TanhCell
