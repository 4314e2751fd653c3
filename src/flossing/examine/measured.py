"""What is measured of a model, as plain numbers: what rules and reports are made from."""

import dataclasses
from typing import Any

import numpy as np

LN10 = float(np.log(10))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
    """One array of the state."""

    name: str
    """Its path in the state, such as ``.membrane``; ``"state"`` if there is no other."""
    start: int
    stop: int
    """Its numbers are state variables ``start`` to ``stop``."""

    @property
    def span(self) -> slice:
        """Its state variables."""
        return slice(self.start, self.stop)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spikes:
    """Spiking units of one layer; ``None`` where something is not known."""

    layer: str
    """``""`` in a network of one layer."""
    rates: np.ndarray
    """Spikes per step of each unit, shape (units,)."""
    has_rates: bool = True
    """False for binary units, which are active in half of all steps as a rule."""
    surrogate: dict[str, Any] | None = None
    """As ``Surrogate.describe`` says it."""
    second_derivative: bool = True
    """Whether the surrogate derivative has a useful derivative, which flossing needs."""
    open: float | None = None
    """Mean of the surrogate derivative over units and steps, as a share of its peak."""
    within: float | None = None
    """Share of membranes (units and steps) within the half width of the surrogate around threshold."""
    spread: float | None = None
    """Standard deviation of the distance of membranes to threshold."""
    kept_after_spike: float | None = None
    """What a step keeps of a perturbation of the membrane of a neuron that just spiked; 0: exact reset."""
    kept_without_spike: float | None = None
    response: float | None = None
    """What ``fl.SurrogateHeights`` calls so: one over the surrogates that a path crosses per step."""
    slow: tuple[str, float] | None = None
    """A slow variable of the units, such as an adaptive threshold: its name and exponent per step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that ``examine`` measures. N state variables, k exponents, T steps, n_leaves leaves."""

    model: str
    """Name of the step's class or function."""
    kind: str
    """``tanh``, ``relu``, ``gru``, ``lstm``, ``linear``, ``spiking``, ``binary``, ``stack`` or ``step``."""
    library: str
    """``jax`` or ``torch``: for whom advice is written."""
    has_weights: bool = True
    """Whether the step holds the arrays that flossing would change, as a cell does; a function does not."""
    horizon: int
    num_steps: int
    """Counted steps of the spectrum."""
    time_step: float | None
    """In ms; ``None`` where it is not known."""
    exponents: np.ndarray
    """In nats per step, shape (k,)."""
    standard_errors: np.ndarray
    state_dimension: int
    log_gradient: np.ndarray
    """Natural logarithm of the gradient norm, shape (horizon + 1,): entry t is at lag ``horizon - t``."""
    log_singular_values: np.ndarray
    """Of the Jacobian over the horizon, the largest first, shape (m,)."""
    leaves: tuple[Leaf, ...]
    states: np.ndarray
    """Of the settled steps, shape (T, N)."""
    activity: np.ndarray
    """The same, or their tanh where the state is the input of one, shape (T, N)."""
    kept: np.ndarray
    """Mean diagonal of the Jacobian, shape (N,): how much of each state variable a step keeps."""
    change: np.ndarray
    """Norms of the rows of the Jacobian minus the identity, shape (N,)."""
    response: np.ndarray
    """How much each state variable changes where the input of another step comes instead, shape (N,)."""
    sensitivity: np.ndarray
    """Norms of the rows of the Jacobian, shape (N,)."""
    layers: tuple[tuple[str, float], ...] = ()
    """Name and first exponent (nats per step) of each layer of a stack."""
    spikes: tuple[Spikes, ...] = ()
    recurrent: tuple[str, ...] = ()
    """Names of the recurrent weights of a module of PyTorch, as far as they are known."""
    apart: tuple[tuple[str, float], ...] = ()
    """Leaves that are no part of the dynamics, and by what a step multiplies their perturbations."""
    rows: int = 0
    """Rows of the state that evolve without each other, as the examples of a batch; 0: not so."""
    has_inputs: bool = True
    inputs_vary: bool = True
    """Whether the inputs differ from step to step, so that it is known what they move."""
    target_signal: float | None = None
    """Share of the task's gradient that comes from its targets; ``None`` where it was not measured."""
    checked: tuple[tuple[str, str], ...] = ()
    """What the checks of derivatives said: names and texts, which say what to do as well."""
    resets: tuple[str, ...] = ()
    """How derivatives see the reset of spiking units, in words."""

    @property
    def leading(self) -> float:
        """The first exponent, nats per step."""
        return float(self.exponents[0])

    @property
    def decades(self) -> float:
        """Powers of ten by which an error grows over the horizon, by the first exponent."""
        return self.leading * self.horizon / LN10

    @property
    def measured_decades(self) -> float:
        """The same as measured: from the gradient at the end to that at the start."""
        return float(self.log_gradient[0] - self.log_gradient[-1]) / LN10

    @property
    def condition_decades(self) -> float:
        """Powers of ten of the condition number over the horizon, in the measured directions."""
        logs = self.log_singular_values
        return float(logs[0] - logs[-1]) / LN10 if np.isfinite(logs[0]) else float("nan")

    @property
    def directions(self) -> int:
        """How many measured directions keep more than 1/e of an error over the horizon."""
        return int((self.log_singular_values > -1).sum())

    @property
    def num_lost(self) -> int:
        """How many exponents are minus infinity."""
        return int(np.isneginf(self.exponents).sum())

    @property
    def time_constants(self) -> np.ndarray:
        """``1 / |lambda|`` of each exponent, in ms where the time step is known, else in steps."""
        with np.errstate(divide="ignore"):
            return (self.time_step or 1.0) / np.abs(self.exponents)

    @property
    def time_unit(self) -> str:
        """Of the time constants."""
        return "steps" if self.time_step is None else "ms"

    @property
    def dead(self) -> np.ndarray:
        """Which state variables never change, and respond to nothing, shape (N,)."""
        return (np.ptp(self.states, 0) == 0) & (self.sensitivity == 0) & (self.response == 0)

    @property
    def bounded(self) -> np.ndarray:
        """Which state variables belong to a leaf that stays within -1 and 1 and comes near, shape (N,)."""
        bounded = np.zeros(self.activity.shape[1], bool)
        for leaf in self.leaves:
            largest = np.abs(self.activity[:, leaf.span]).max(initial=0)
            bounded[leaf.span] = 0.1 < largest <= 1 + 1e-6
        return bounded

    @property
    def saturated(self) -> np.ndarray:
        """Which bounded variables are beyond 0.95 of their bound in 90 % of the steps, shape (N,)."""
        return self.bounded & ((np.abs(self.activity) > 0.95).mean(0) > 0.9)

    @property
    def always_on(self) -> np.ndarray:
        """Which variables of leaves that are never negative are never zero either, shape (N,)."""
        always_on = np.zeros(self.states.shape[1], bool)
        for leaf in self.leaves:
            values = self.states[:, leaf.span]
            if values.size and values.min() >= 0:
                always_on[leaf.span] = values.min(0) > 0
        return always_on

    @property
    def parallel_condition(self) -> float:
        """Smallest singular value of the equations of the whole trajectory, as the first exponent has it.

        Solving for all T states at once (DEER) inverts a matrix with ones on its diagonal and Jacobians
        below. Its inverse holds the products of Jacobians, which grow like ``exp(lambda_1 t)``, so its
        smallest singular value is about ``1 / sum_t exp(lambda_1 t)``: the same for any T if it is negative.
        Source: Gonzalez et al. 2025.
        """
        if np.isneginf(self.leading):
            return 1.0
        with np.errstate(over="ignore"):
            return float(1 / np.exp(self.leading * np.arange(self.horizon)).sum())
