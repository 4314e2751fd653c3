"""The configuration of a network's cell, and the cell that is made from it."""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array

from .. import cells, initialisers, surrogates
from .._checks import check_choice, check_integer, check_positive
from ..cells.fluctuations import check_rate

CELLS = ("tanh", "relu", "linear", "gru", "lstm", "binary", "lif")
_MATRIX = ("tanh", "relu", "gru", "lstm", "binary", "lif")
_ONLY = {
    "recurrent": _MATRIX,
    "gain": _MATRIX,
    "first_exponent": ("tanh",),
    "leak": ("tanh",),
    "centred": ("binary",),
    "centred_inputs": ("binary",),
    "membrane_readout": ("binary",),
    "lines": ("binary",),
    "bias_range": ("binary",),
    "fluctuations": ("lif",),
    "input_rate": ("lif",),
    "gate_bias": ("gru", "lstm"),
    "chrono": ("gru", "lstm"),
    "openness": ("gru", "lstm"),
    "min_radius": ("linear",),
    "max_radius": ("linear",),
}
"""Which cells have a setting that others do not have."""
SURROGATES = (
    "super-spike",
    "sigmoid",
    "arctan",
    "triangular",
    "gaussian",
    "exponential",
    "erf",
    "boxcar",
)


@dataclasses.dataclass(frozen=True)
class CellConfig:
    """Which network, and how its weights start."""

    name: Literal["tanh", "relu", "linear", "gru", "lstm", "binary", "lif"] = "tanh"
    """The cell; see the documentation of fl.TanhCell and so on."""
    hidden_size: int = 80
    """Units per layer, N."""
    layers: int = 1
    """Cells stacked on top of each other."""
    recurrent: Literal["gaussian", "orthogonal", "identity", "permutation", "ring", "sparse"] = (
        "gaussian"
    )
    """Kind of recurrent matrix; the linear cell has a diagonal one."""
    gain: float | None = None
    """Gain g of the recurrent matrix; default 1, and sqrt(2) for binary units."""
    first_exponent: float | None = None
    """First exponent that each network starts with: its recurrent matrix is scaled (tanh)."""
    mean: float = 0.0
    """Mean coupling gbar of a gaussian matrix."""
    density: float = 0.1
    """Fraction of non-zero weights of a sparse matrix, or of the shortcuts of a ring."""
    shortcuts: float = 0.0
    """Standard deviation of the sum of all weights onto a unit of a ring beside that of the ring itself."""
    dale: float | None = None
    """Fraction of excitatory units, for fixed signs (tanh, binary, lif)."""
    input_gain: float = 1.0
    """Standard deviation of the input weights; with lines of those inside a line."""
    lines: int = 0
    """Delay lines of equal length that inputs cut a ring into (binary); 0: input weights are normal."""
    line_start: float = 1.3
    """Input weight of the first unit of each line, in gains."""
    readout_gain: float | None = None
    """Standard deviation of the readout weights; default 1, and 1/sqrt(N) for binary and lif."""
    form: Literal["pre-activation", "post-activation"] = "pre-activation"
    """Of the tanh cell."""
    leak: float = 1.0
    """How much of the old state a step of the tanh cell replaces; 1 for one that is not leaky."""
    centred: bool = False
    """Of the binary cell: activity and bits are -1/2 or 1/2 rather than 0 or 1."""
    centred_inputs: bool = True
    """Whether bits are, where activity is."""
    membrane_readout: bool = False
    """Of the binary cell: the readout sees what reaches the threshold, not whether it does."""
    bias_range: float = 0.1
    """Of the binary cell: biases start between 0 and this."""
    gate_bias: float = 0.0
    """Start value of the update (gru) or forget gate's bias (lstm)."""
    chrono: float | None = None
    """Longest time to remember, in steps, for the chrono initialisation of these biases."""
    openness: float = 0.0
    """Start biases of gru and lstm at which a step replaces the state: minus this for the update or forget
    gate, this for all others."""
    min_radius: float = 0.0
    """Of the linear cell: its eigenvalues start between two circles."""
    max_radius: float = 1.0
    """The outer one."""
    surrogate: Literal[
        "super-spike", "sigmoid", "arctan", "triangular", "gaussian", "exponential", "erf", "boxcar"
    ] = "super-spike"
    """Surrogate derivative of binary and lif units."""
    sharpness: float = 1.0
    """Its sharpness."""
    reset: Literal["to_zero", "subtract", "none"] = "to_zero"
    """Of the lif cell."""
    reset_gradient: Literal["detached", "differentiated", "ignored"] = "detached"
    """Of the lif cell."""
    membrane_time_constant: float = 10.0
    """Of the lif cell, in ms."""
    synapse_time_constant: float = 5.0
    """Of the lif cell, in ms."""
    adaptation_time_constant: float | None = None
    """Of the lif cell, in ms; none for no adaptation."""
    adaptation_strength: float = 0.5
    """Of the lif cell, in units of the threshold."""
    time_step: float = 1.0
    """Of the lif cell, in ms."""
    fluctuations: float = 0.0
    """Standard deviation of the membranes of a lif cell at the start, in thresholds, by fluctuation-driven
    weights (Rossbroich et al. 2022); 0: weights are those of the other settings."""
    input_rate: float = 100.0
    """Rate of each input in Hz that these weights are made for, at least 0.5; files of versions up to 0.1.0
    have spikes per ms, 1000 times less, and are refused."""

    def build(self, input_size: int, key: Array) -> cells.Cell:
        """A network step with fresh weights."""
        check_integer("cell.layers", self.layers, 1)
        check_integer("cell.hidden_size", self.hidden_size, 1)
        if self.dale is not None and self.name not in ("tanh", "binary", "lif"):
            raise ValueError(f"cell.dale: the {self.name} cell has no Dale's law; leave it out.")
        check_rate("cell.input_rate", self.input_rate)
        for name, cells_with_it in _ONLY.items():
            if self.name not in cells_with_it and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"cell.{name}: the {self.name} cell has no such setting; leave it out."
                )
        keys = jax.random.split(key, self.layers)
        sizes = [input_size] + [self.hidden_size] * (self.layers - 1)
        layers = [self._layer(size, k) for size, k in zip(sizes, keys, strict=True)]
        return layers[0] if self.layers == 1 else cells.Stack(layers)

    def _layer(self, input_size: int, key: Array) -> cells.Cell:
        check_choice("cell.name", self.name, CELLS)
        kinds = ("gaussian", "orthogonal", "identity", "permutation", "ring", "sparse")
        check_choice("cell.recurrent", self.recurrent, kinds)
        if self.shortcuts and self.recurrent != "ring":
            raise ValueError(
                f"cell.shortcuts: only a ring has shortcuts, got {self.recurrent}; leave it out."
            )
        if self.lines and self.recurrent != "ring":
            raise ValueError(
                f"cell.lines: only a ring has lines, got {self.recurrent}; leave it out."
            )
        gain = self.gain if self.gain is not None else (2**0.5 if self.name == "binary" else 1.0)
        check_positive("cell.gain", gain, zero=True)
        recurrent = {
            "gaussian": lambda: initialisers.Gaussian(gain, self.mean),
            "orthogonal": lambda: initialisers.Orthogonal(gain),
            "identity": lambda: initialisers.Identity(gain),
            "permutation": lambda: initialisers.Permutation(gain),
            "ring": lambda: initialisers.Ring(gain, self.shortcuts, self.density),
            "sparse": lambda: initialisers.Sparse(gain, self.density),
        }[self.recurrent]()
        sizes = (input_size, self.hidden_size)
        shared = {"recurrent": recurrent, "input_gain": self.input_gain, "key": key}
        if self.name == "tanh":
            return cells.TanhCell(*sizes, form=self.form, leak=self.leak, dale=self.dale, **shared)
        if self.name == "relu":
            return cells.ReLUCell(*sizes, **shared)
        if self.name == "linear":
            del shared["recurrent"]
            radii = {"min_radius": self.min_radius, "max_radius": self.max_radius}
            return cells.LinearRecurrentCell(*sizes, **radii, **shared)
        gates = {"chrono": self.chrono, "openness": self.openness}
        if self.name == "gru":
            return cells.GRUCell(*sizes, update_bias=self.gate_bias, **gates, **shared)
        if self.name == "lstm":
            return cells.LSTMCell(*sizes, forget_bias=self.gate_bias, **gates, **shared)
        surrogate = self._surrogate()
        if self.name == "binary":
            check_integer("cell.lines", self.lines, 0, self.hidden_size)
            check_positive("cell.line_start", self.line_start, zero=True)
            start = self.line_start * gain
            lines = (
                initialisers.LineInputs(self.lines, start, self.input_gain) if self.lines else None
            )
            own = {
                "inputs": lines,
                "bias_range": self.bias_range,
                "dale": self.dale,
                "centred": self.centred,
                "centred_inputs": self.centred_inputs,
                "membrane_readout": self.membrane_readout,
            }
            return cells.BinaryCell(*sizes, surrogate=surrogate, **own, **shared)
        cell = cells.LIFCell(
            *sizes,
            surrogate=surrogate,
            reset=self.reset,
            reset_gradient=self.reset_gradient,
            membrane_time_constant=self.membrane_time_constant,
            synapse_time_constant=self.synapse_time_constant,
            adaptation_time_constant=self.adaptation_time_constant,
            adaptation_strength=self.adaptation_strength,
            time_step=self.time_step,
            dale=self.dale,
            **shared,
        )
        if not self.fluctuations:
            return cell
        check_positive("cell.fluctuations", self.fluctuations)
        return cells.fluctuation_driven(
            cell, rate=self.input_rate, target=self.fluctuations, key=jax.random.fold_in(key, 1)
        )

    def _surrogate(self) -> surrogates.Surrogate:
        check_choice("cell.surrogate", self.surrogate, SURROGATES)
        check_positive("cell.sharpness", self.sharpness)
        name = "".join(part.capitalize() for part in self.surrogate.split("-"))
        return getattr(surrogates, name)(self.sharpness)

    @property
    def readout_std(self) -> float:
        """Standard deviation of the readout weights."""
        if self.readout_gain is not None:
            return self.readout_gain
        return self.hidden_size**-0.5 if self.name in ("binary", "lif") else 1.0


def scale_recurrence(cell: cells.Cell, scale: Array) -> cells.Cell:
    """A cell, or a stack of them, with recurrent matrices ``scale`` times as large."""

    def matrices(cell: Any) -> list[Array]:
        layers: Any = cell.layers if isinstance(cell, cells.Stack) else [cell]
        return [layer.recurrent_weight for layer in layers]

    return eqx.tree_at(matrices, cell, replace_fn=lambda weight: scale * weight)
