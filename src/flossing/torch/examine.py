"""One call that examines a PyTorch model: how gradients travel in it, and what to do about it."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .._checks import check_integer, check_positive
from ..examine import Measured, Report, findings
from ..examine.measured import Leaf, Spikes
from ..lyapunov import LostDirectionsWarning
from ._check_run import Run, check_run, count_steps
from ._spiking import are_spikes
from ._tree import Step, map_tensors, take, tensors
from .check import check
from .jacobian import gradient_norms, log_singular_values, states_of
from .spectrum import lyapunov_spectrum

_SAMPLES = 24
"""Steps, evenly spaced, whose whole Jacobian is looked at."""
_EXAMPLES = 4
"""Examples of a batch of which that is done."""
_RECURRENT = re.compile(r"recurrent|rec_connect|(^|\.)rc\.|weight_hh")
"""Of snnTorch and Norse, of sinabs, of SpikingJelly, of PyTorch."""
_RESETS = ("differentiated-reset", "exact-reset")


def examine(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    horizon: int | None = None,
    loss: Callable[[Any], Tensor] | None = None,
    num_exponents: int = 16,
    time_step: float | None = None,
    batched: bool | None = None,
    generator: torch.Generator | None = None,
) -> Report:
    """How gradients travel in a PyTorch model, what is wrong with it, and what to do about it.

    One run of each instrument along the given inputs, the checks of ``ft.check``, and the rules of
    ``fl.examine``::

        step, state = ft.as_step(net, x[0])
        report = ft.examine(step, state, x, horizon=40)
        print(report)  # findings, numbers, and code to paste

    Of a batch, numbers are means over the examples.

    Args:
        step: ``step(state, input) -> state``; ``ft.as_step`` makes one of a module.
        state: where the trajectory starts, as for ``ft.lyapunov_spectrum``.
        inputs: tensors with time as leading axis, such as a trial of the task, best of some hundred steps.
        horizon: steps that an error has to travel, such as the delay of the task; at most as many as the
            inputs have, which is the default.
        loss: function of the state after the horizon, whose gradient is followed; default a random one.
        num_exponents: leading exponents and singular values that are measured, at most N.
        time_step: length of a step in ms, if there is one.
        batched: whether state and inputs have a batch axis; default as for ``ft.lyapunov_spectrum``.
        generator: random numbers; default the global ones of PyTorch.

    Returns:
        A ``Report``, as that of ``fl.examine``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a state that is or becomes NaN.
    """
    check_integer("num_exponents", num_exponents, 1)
    if time_step is not None:
        check_positive("time_step", time_step)
    if horizon is not None:
        check_integer("horizon", horizon, 1)
    if not tensors(inputs) and horizon is None:
        raise ValueError("horizon: expected a number of steps, because there are no inputs.")
    steps = count_steps(inputs, None if tensors(inputs) else max(int(horizon or 0), 300))
    reach = steps if horizon is None else int(horizon)
    if reach > steps:
        raise ValueError(f"horizon: got {reach}, but inputs has only {steps} time steps.")
    run = check_run(step, state, inputs, steps, batched=batched, mode="reverse")
    rows = _Rows.of(run)
    named = _leaves(run, state)
    apart = _apart(rows, named)
    tangents = _without(state, {name for name, _ in apart})
    shared: dict[str, Any] = {"tangents": tangents, "batched": batched, "generator": generator}
    kept_leaves, places = _places(named, {name for name, _ in apart})
    count = min(num_exponents, len(places))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LostDirectionsWarning)  # the report says it
        spectrum = lyapunov_spectrum(
            step, state, inputs, num_exponents=count, num_steps=steps, warmup=steps // 4, **shared
        )
    early = map_tensors(lambda x: x[:reach], inputs)
    gradient = gradient_norms(step, state, early, loss=loss, num_steps=reach, log=True, **shared)
    if "reverse" not in spectrum.engine:
        values = log_singular_values(
            step, state, early, num_directions=count, num_steps=reach, max_sweeps=3, **shared
        )
    else:  # what the exponents say; there is no pushing forward here
        values = spectrum.exponents * reach
    middle = _first_example_state(run, rows)
    checked = check(step, middle, take(inputs, steps // 2), batched=batched)
    spikes = _spikes(kept_leaves, rows.states[:, places])
    measured = Measured(
        model=_name(step),
        kind=_kind(step, beside_others=0 < len(spikes) < len(kept_leaves)),
        library="torch",
        has_weights=isinstance(getattr(step, "module", None), torch.nn.Module),
        horizon=reach,
        num_steps=spectrum.num_steps,
        time_step=None if time_step is None else float(time_step),
        exponents=_mean(spectrum.exponents, run),
        standard_errors=_mean(spectrum.standard_errors, run),
        state_dimension=len(places),
        log_gradient=_mean(gradient, run),
        log_singular_values=_mean(values, run),
        leaves=kept_leaves,
        states=rows.states[:, places],
        activity=rows.states[:, places],
        kept=rows.kept[places],
        change=rows.change[places],
        response=rows.response[places],
        sensitivity=rows.sensitivity[places],
        spikes=spikes,
        recurrent=_recurrent(step),
        apart=tuple(apart),
        has_inputs=bool(tensors(inputs)),
        inputs_vary=any(bool((x != x[0]).any()) for x in tensors(inputs)),
        checked=tuple((x.name, x.text) for x in checked if x.name not in _RESETS),
        resets=tuple(x.text for x in checked if x.name in _RESETS),
    )
    return Report(measured, tuple(findings(measured)))


def _mean(values: Tensor, run: Run) -> np.ndarray:
    values = values.detach().double().cpu()
    return (values.mean(0) if run.batched else values).numpy()


class _Rows:
    """Whole Jacobians at some steps, and the states of all settled ones, of the first examples."""

    def __init__(self, states: np.ndarray, jacobians: np.ndarray, responses: np.ndarray):
        self.states, self.jacobians, self.responses = states, jacobians, responses
        square = np.square(jacobians)
        self.kept = np.diagonal(jacobians, axis1=1, axis2=2).mean(0)
        self.sensitivity = np.sqrt(square.sum(2).mean(0))
        self.change = np.sqrt(np.square(jacobians - np.eye(jacobians.shape[1])).sum(2).mean(0))
        self.response = np.sqrt(np.square(responses).mean(0))

    @classmethod
    def of(cls, run: Run) -> "_Rows":
        """Looks at every so many steps of the last two thirds."""
        states = states_of(run)
        start = run.num_steps // 3
        chosen = np.unique(np.linspace(start, run.num_steps - 1, _SAMPLES).astype(int))
        others = np.random.default_rng(0).permutation(run.num_steps)
        some = min(_EXAMPLES, len(run.rows))
        jacobians, responses = [], []
        with run.pusher.engine.kernels():
            for t in chosen.tolist():
                rows, rest = states[t]
                at = take(run.inputs, t)
                errors = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
                # Row i of the Jacobian is what an error at variable i pulls back to.
                pulled = run.pusher.pull(rows, rest, errors.expand(len(rows), -1, -1), at)
                with torch.no_grad():
                    other = run.pusher.advance(rows, rest, take(run.inputs, int(others[t])))[0]
                jacobians.append(pulled[:some])
                responses.append((states[t + 1][0] - other)[:some])
        settled = torch.stack([rows[:some] for rows, _ in states[start + 1 :]])
        flat = [
            _numpy(x).reshape(-1, *x.shape[2:]) for x in map(torch.stack, (jacobians, responses))
        ]
        sampled = cls(_numpy(settled).reshape(-1, settled.shape[-1]), *flat)
        sampled.moments = states
        return sampled

    moments: list[tuple[Tensor, list[Any]]]


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().double().cpu().numpy()


def _first_example_state(run: Run, rows: _Rows) -> Any:
    """A state in the middle of the trajectory, in its user's form."""
    return run.state(*rows.moments[run.num_steps // 2])


def _leaves(run: Run, state: Any) -> list[Leaf]:
    """Names and places of the tensors that carry perturbations."""
    layout = run.pusher.layout
    paths, _ = pytree.tree_flatten_with_path(state)
    names = [
        pytree.keystr(path) or "state"
        for (path, _), moves in zip(paths, layout.moves, strict=True)
        if moves
    ]
    ends = np.cumsum(layout.sizes).tolist()
    starts = [0, *ends[:-1]]
    return [Leaf(name=n, start=a, stop=b) for n, a, b in zip(names, starts, ends, strict=True)]


def _places(leaves: list[Leaf], apart: set[str]) -> tuple[tuple[Leaf, ...], np.ndarray]:
    """The leaves that are measured, one after the other, and where their numbers were."""
    measured, places, start = [], [], 0
    for leaf in leaves:
        if leaf.name not in apart:
            size = leaf.stop - leaf.start
            measured.append(Leaf(name=leaf.name, start=start, stop=start + size))
            places.append(np.arange(leaf.start, leaf.stop))
            start += size
    return tuple(measured), np.concatenate(places)


def _apart(rows: _Rows, leaves: list[Leaf]) -> list[tuple[str, float]]:
    """Leaves that are no part of the dynamics, by the Jacobians: see ``fl.examine``."""
    apart = []
    for leaf in leaves:
        own = rows.jacobians[:, leaf.span, leaf.span]
        factor = float(own[0, 0, 0])
        if not factor or not np.allclose(own, factor * np.eye(own.shape[1]), atol=1e-6):
            continue
        feels = np.delete(rows.jacobians[:, leaf.span], np.arange(leaf.start, leaf.stop), 2).any()
        felt = np.delete(rows.jacobians[:, :, leaf.span], np.arange(leaf.start, leaf.stop), 1).any()
        if not felt or not (feels or rows.responses[:, leaf.span].any()):
            apart.append((leaf.name, abs(factor)))
    return apart if len(apart) < len(leaves) else []


def _without(state: Any, apart: set[str]) -> Any:
    """The filter of ``tangents=`` that leaves some leaves out; ``None`` if there are none."""
    if not apart:
        return None
    return pytree.tree_map_with_path(
        lambda path, _: (pytree.keystr(path) or "state") not in apart, state
    )


def _spikes(leaves: tuple[Leaf, ...], states: np.ndarray) -> tuple[Spikes, ...]:
    """Leaves that hold nothing but zeros and ones and are called spikes, or hold some ones."""
    spikes = []
    for leaf in leaves:
        values = states[:, leaf.span]
        named = any(word in leaf.name for word in ("spk", "spike", ".z"))
        if are_spikes(values) or (named and not values.any()):
            spikes.append(Spikes(layer=leaf.name, rates=values.mean(0)))
    return tuple(spikes)


def _name(step: Any) -> str:
    module = getattr(step, "module", None)
    name = (
        type(module).__name__
        if module is not None
        else getattr(step, "__name__", type(step).__name__)
    )
    return "a function" if name == "<lambda>" else name


def _recurrent(step: Any) -> tuple[str, ...]:
    """Names of recurrent weights, as far as the libraries' names for them are known."""
    module = getattr(step, "module", None)
    named = [] if module is None else module.named_parameters()
    return tuple(name for name, p in named if p.ndim > 1 and _RECURRENT.search(name))


def _kind(step: Any, beside_others: bool) -> str:
    module = getattr(step, "module", None)
    if isinstance(module, torch.nn.GRU | torch.nn.GRUCell):
        return "gru"
    if isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell):
        return "lstm"
    if getattr(step, "keep_row_means", beside_others):
        return "spiking"
    return "step"
