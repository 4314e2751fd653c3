"""What is silently wrong with the derivatives of a step, and what to do about it."""

import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .._readable import Summary, readable
from .._warn import warn
from ..lyapunov._check_run import StepWarning
from ..surrogates import NoSecondDerivativeWarning
from ._check_run import Run, check_run
from ._choice import graph_nodes
from ._tree import Step, map_tensors, take, tensors

_SMOOTH = (
    "Use a surrogate with a smooth derivative, such as ft.surrogates.SuperSpike(10.0), which serves as "
    "spike_grad= of snnTorch and as surrogate_function= of SpikingJelly."
)


class Finding(NamedTuple):
    """Something that is not what users of derivatives expect."""

    name: str
    text: str
    """What is the case, and what to do."""

    @property
    def of_derivatives(self) -> bool:
        """Whether flossing gradients are wrong or zero because of it."""
        return self.name in (
            "detached-input",
            "piecewise-constant",
            "saved-spike",
            "no-surrogate",
            "second-derivative",
        )


@readable
class Report(tuple[Finding, ...]):
    """What ``ft.check`` found; prints itself."""

    @property
    def names(self) -> set[str]:
        """Names of the findings."""
        return {finding.name for finding in self}

    def _summary(self) -> Summary:
        title = f"findings: {len(self)}" if self else "nothing found"
        return Summary(title, notes=[f"{name}: {text}" for name, text in self])


def check(
    step: Step, state: Any, input: Any = None, *, tangents: Any = None, batched: bool | None = None
) -> Report:
    """Looks for what makes exponents or flossing gradients of a step wrong without an error.

    Args:
        step: ``step(state, input) -> state``.
        state: a state as it occurs; of a spiking network best one in which some neurons are about to spike.
        input: the input of one time step, ``None`` for a step without.
        tangents: as for ``ft.lyapunov_spectrum``.
        batched: whether state and input have a batch axis. Default: by the axes of the input (two or more).

    Returns:
        A report, a tuple of findings with names, each with what to do:

        - ``second-derivative``: the backward pass cannot be differentiated;
        - ``detached-input``: a custom function saved its input without its graph, and flossing
          gradients miss it;
        - ``piecewise-constant``: a surrogate derivative without a derivative, through which no gradient
          flows;
        - ``saved-spike``: a surrogate derivative that is a function of the spike, whose derivative is
          meaningless;
        - ``no-surrogate``: spikes of a known spiking module that come from a plain comparison, so that
          nothing passes a spike;
        - ``ignored-sharpness``: a surrogate that ignores the width it was given (SuperSpike of Norse 1.1);
        - ``batch-coupling``, ``random``: rows of a batch, or two calls, that do not give the same;
        - ``no-memory``: a next state that does not depend on the state;
        - ``single-precision``: numbers of float32 within a step of float64;
        - ``differentiated-reset``, ``exact-reset``: how the derivative sees a reset, which libraries do
          differently.
    """
    inputs = map_tensors(lambda x: x[None], input)
    many = None if inputs is None else batched
    if batched is None and not tensors(inputs):
        many = all(x.ndim > 1 for x in tensors(state))
    arguments = step, state, inputs, None if tensors(inputs) else 1
    findings = []
    try:
        run = check_run(*arguments, tangents=tangents, batched=many, mode="forward")
    except ValueError as error:
        if "cannot be differentiated" not in str(error):
            raise
        findings.append(Finding("second-derivative", str(error)))
        run = check_run(*arguments, tangents=tangents, batched=many, mode="reverse")
    findings += _findings(step, run)
    if run.pusher.engine.forward:
        findings += _memory(run)
        if getattr(step, "keep_row_means", False):  # its units spike
            findings += _resets(run)
    return Report(findings)


def _findings(step: Any, run: Run) -> list[Finding]:
    """Those that make gradients or exponents wrong."""
    with _Comparisons() as comparisons:
        nodes = _nodes(run)
    functions = [node for node in nodes if hasattr(type(node), "_forward_cls")]
    findings = {finding: None for node in functions for finding in _of_function(node)}
    if comparisons.seen and not functions and getattr(step, "keep_row_means", False):
        findings[_NO_SURROGATE] = None
    return [*findings, *_of_batch(run), *_of_precision(run, nodes)]


_NO_SURROGATE = Finding(
    "no-surrogate",
    "spikes come from a comparison without a surrogate derivative: no perturbation and no gradient "
    f"passes a spike, and exponents are those of units that do not act on each other. {_SMOOTH}",
)


class _Comparisons(TorchFunctionMode):
    """Notes whether anything that needs gradients is compared, outside of custom functions."""

    seen = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype == torch.bool and torch.is_grad_enabled():
            self.seen |= any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return out


_checked: "weakref.WeakSet[Any]" = weakref.WeakSet()


def warn_at_first_use(step: Any, run: Run) -> None:
    """Warns of what makes gradients wrong, once for each step."""
    try:
        if step in _checked:
            return
        _checked.add(step)
    except TypeError:  # cannot be remembered
        pass
    for finding in _findings(step, run):
        kind = NoSecondDerivativeWarning if finding.of_derivatives else StepWarning
        warn(f"step: {finding.text}", kind)


def _nodes(run: Run) -> list[Any]:
    """All nodes of the graph of one step, at states spread around the given one."""
    start = _spread(run).requires_grad_()
    with torch.enable_grad():
        new = run.pusher.step(run.pusher.layout.join(start, run.rest), take(run.inputs, 0))
    return graph_nodes(tensors(new))


def _spread(run: Run) -> Tensor:
    """States around the given one, as wide as a usual threshold is high."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(run.rows.shape, generator=generator, dtype=run.rows.dtype)
    return run.rows.detach() + noise.to(run.rows.device)


def _of_function(node: Any) -> Iterator[Finding]:
    """What is wrong with a custom function, by what it saved and what its backward pass makes of it."""
    kind = type(node)._forward_cls
    name = f"{kind.__module__.split('.')[0]}'s {kind.__name__}"
    saved = [x for x in node.saved_tensors if x is not None and x.is_floating_point()]
    if saved and not any(x.requires_grad for x in saved):
        yield Finding(
            "detached-input",
            f"{name} saves its input without its graph, so that its derivative counts as a constant and "
            f"gradients of exponents miss it. {_SMOOTH}",
        )
        return
    if any(x.grad_fn is node for x in saved):
        yield Finding(
            "saved-spike",
            f"the derivative of {name} is a function of its spikes, whose own derivative is a "
            f"surrogate once more: gradients of exponents mean nothing. {_SMOOTH}",
        )
        return
    first = _derivative(node)
    if first is None:
        return
    differentiable = [x for x in saved if x.requires_grad]
    second = (
        torch.autograd.grad(first.sum(), differentiable, allow_unused=True, retain_graph=True)
        if first.requires_grad and differentiable
        else []
    )
    curved = any(x is not None and bool(x.any()) for x in second)
    if not first.requires_grad or (bool(first.any()) and not curved):
        yield Finding(
            "piecewise-constant",
            f"{name} has no useful second derivative: the derivative that flossing differentiates is "
            f"piecewise constant, so no gradient flows through it. {_SMOOTH}",
        )
    alpha = getattr(node, "alpha", None)
    if kind.__name__ == "SuperSpike" and alpha is not None and len(saved) == 1:
        alpha = float(alpha)
        wanted = 1 / (alpha * saved[0].detach().abs() + 1).square()
        if not torch.allclose(first.detach().to(wanted.dtype), wanted, rtol=1e-3):
            yield Finding(
                "ignored-sharpness",
                f"{name} ignores alpha = {alpha:g}: its derivative is that of alpha = 1, with an area "
                f"of 2 instead of {2 / alpha:.2g}, so exponents are those of a much wider surrogate. "
                "Use another version of the library, or another method.",
            )


def _derivative(node: Any) -> Tensor | None:
    """The backward pass of a custom function for errors of 1, with its graph."""
    metadata = node._input_metadata[0]
    ones = torch.ones(tuple(metadata.shape), dtype=metadata.dtype, device=metadata.device)
    try:
        with torch.enable_grad():
            out = type(node)._forward_cls.backward(node, ones)
    except Exception:  # it needs what only the engine gives
        return None
    out = out[0] if isinstance(out, tuple) else out
    return out if isinstance(out, Tensor) else None


def _of_batch(run: Run) -> Iterator[Finding]:
    rows, rest, input = _spread(run), run.rest, take(run.inputs, 0)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        first, second = (run.pusher.advance(rows, rest, input)[0] for _ in range(2))
    if not torch.equal(first, second):
        yield Finding(
            "random",
            "two calls with the same state and input give different results, as dropout and random "
            "spikes do: each tangent would meet another network. Call module.eval(), or make random "
            "numbers an input.",
        )
    elif not run.pusher.engine.copies and run.batched:
        yield Finding(
            "batch-coupling",
            "the next state of an example depends on the other examples of the batch, as BatchNorm in "
            "training makes it, or the step takes batches of one size only. Exponents are then not "
            "those of one example. Call module.eval(), or give what belongs to the examples as inputs.",
        )


def _of_precision(run: Run, nodes: list[Any]) -> Iterator[Finding]:
    if run.pusher.layout.dtype != torch.float64:
        return
    for node in nodes:
        kinds = {data.dtype for data in node._input_metadata}
        if kinds & {torch.float32, torch.float16, torch.bfloat16}:
            yield Finding(
                "single-precision",
                "states are float64, but the step computes a part in single precision (some libraries "
                "make spikes float32 whatever comes in), so tangents have no more digits than that. "
                "Measure in float32, or use a surrogate that keeps the precision, such as those of "
                "ft.surrogates.",
            )
            return


def _memory(run: Run) -> Iterator[Finding]:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(run.rows.shape, generator=generator, dtype=run.rows.dtype)
    tangent = drawn.to(run.rows.device)[:, None]
    moved = run.pusher.push(run.rows, run.rest, tangent, take(run.inputs, 0), False)[2]
    if not bool(moved.any()):
        yield Finding(
            "no-memory",
            "the next state does not depend on the state: all exponents are minus infinity. The module "
            "may make its state anew in each call (SLSTM of snnTorch does where input and hidden size "
            "differ), or detach it.",
        )


_HEIGHTS = (0.0, 0.7, 1.0, 1.3, 1.7, 2.2, 3.0)
"""Values of membranes, in units of the usual threshold."""


def _resets(run: Run) -> Iterator[Finding]:
    """How the derivative of a variable with respect to itself changes where it spikes."""
    layout, start = run.pusher.layout, 0
    for size in layout.sizes:
        tangent = torch.zeros_like(run.rows)[:, None]
        tangent[..., start] = 1
        kept = []
        for height in _HEIGHTS:
            rows = run.rows.clone()
            rows[:, start : start + size] = height
            moved = run.pusher.push(rows, run.rest, tangent, take(run.inputs, 0), False)[2]
            kept.append(float(moved[0, 0, start]))
        start += size
        below, above = kept[0], min(kept[1:], key=abs if min(kept) > -0.05 else float)
        if below > 0.05 and above < -0.05:
            yield Finding(
                "differentiated-reset",
                f"a perturbation of a membrane is multiplied by {below:.3f} in a step without a spike "
                f"and by {above:.3f} with one: the surrogate derivative acts in the reset as well. "
                "With a detached reset (detach_reset=True in SpikingJelly) exponents are others.",
            )
        elif below > 0.05 and abs(above) < 1e-6:
            yield Finding(
                "exact-reset",
                f"a perturbation of a membrane is multiplied by {below:.3f} in a step without a spike "
                "and by 0 with one: each spike takes a direction away, so that as many exponents are "
                "minus infinity as neurons have spiked. Floss fewer exponents than others remain.",
            )
