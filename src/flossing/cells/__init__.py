"""One step of a network each: rate, gated, binary and spiking cells, and stacks of them."""

from ._base import Cell as Cell, check_cell as check_cell
from .binary import (
    BinaryCell as BinaryCell,
    BinarySpec as BinarySpec,
    NoisyBinaryState as NoisyBinaryState,
)
from .convolution import ConvLIFCell as ConvLIFCell, Convolution as Convolution
from .fluctuations import fluctuation_driven as fluctuation_driven
from .gated import (
    GRUCell as GRUCell,
    GRUSpec as GRUSpec,
    LSTMCell as LSTMCell,
    LSTMSpec as LSTMSpec,
    LSTMState as LSTMState,
)
from .integrate import IntegrateFireCell as IntegrateFireCell, IntegratorCell as IntegratorCell
from .linear import (
    LinearRecurrentCell as LinearRecurrentCell,
    LinearSpec as LinearSpec,
    LinearState as LinearState,
)
from .opening import open_gates as open_gates
from .readout import LeakyReadout as LeakyReadout, ReadoutState as ReadoutState
from .relu import ReLUCell as ReLUCell, ReLUSpec as ReLUSpec
from .spec import CellSpec as CellSpec, spec_for as spec_for
from .spiking import LIFCell as LIFCell, LIFSpec as LIFSpec, LIFState as LIFState
from .stack import Stack as Stack, with_escape as with_escape
from .tanh import TanhCell as TanhCell, TanhSpec as TanhSpec
