"""What is wrong with a model, or is not: one rule for each finding, in one table.

A rule looks at what was measured and returns what it found, or ``None``. ``RULES``, at the end, says for
each how serious it is and what it rests on. Limits stand above the rules.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from . import advice
from .measured import Measured, Spikes

Severity = Literal["fault", "warning", "note", "fine"]

LIMIT = 3.0
"""Decades over the horizon, up or down, beyond which gradients are lost."""
USABLE = 1.0
"""Decades up to which they are as good as they need to be."""
MANY = 0.25
"""Share of units of which something is said."""
KEPT = 0.9
"""Units that keep so much of themselves hold on to their state."""
CHANGED = 0.25
"""Perturbations of such a unit change by less than this fraction of themselves in a step."""
MOVED = 0.05
"""An input moves such a unit by less than this, where its bound is 1."""
ERASED = 0.2
"""A cell state of which a step keeps less than this is erased."""
SILENT = 0.5
"""Share of neurons that do not spike once, of which something is said."""
LOUD = 100.0
"""Mean rate in Hz above which neurons drive each other up; 0.1 spikes per step without a time step."""
SHARP, WIDE = 0.01, 0.5
"""Mean surrogate derivative, in units of its peak, below and above which it is too sharp or too wide."""
NEAR = 0.2
"""A leading exponent within this fraction of that of a slow variable is taken for its exponent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What a rule found."""

    sentence: str
    """What is the case, in one sentence."""
    evidence: str
    """The numbers that say so."""
    advice: str = ""
    """What to do, in words."""
    code: str = ""
    """The same as code, for names ``step``, ``state``, ``inputs`` and ``key`` as given to ``examine``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(Found):
    """What was found, how serious it is, and what the rule rests on."""

    name: str
    """Of the rule."""
    severity: Severity
    """``fault``: it will not learn, or was measured wrong; ``warning``; ``note``; ``fine``."""
    source: str
    """The paper or the finding that the rule rests on."""


def _is_forgotten(m: Measured) -> bool:
    return m.num_lost == len(m.exponents)


def forgotten(m: Measured) -> Found | None:
    """Nothing of a state is left in the next one."""
    if not _is_forgotten(m):
        return None
    return Found(
        sentence="A state does not depend on the state before it: there is no memory.",
        evidence=f"All {len(m.exponents)} exponents are minus infinity.",
        advice="Look for a reset, a mask or a stop_gradient between states, or for a layer whose memory is "
        "switched off (snnTorch's SLSTM with unequal sizes of input and hidden layer).",
    )


def exploding(m: Measured) -> Found | None:
    """Errors grow over the horizon."""
    if _is_forgotten(m) or m.decades <= LIMIT:
        return None
    words, code = advice.against_explosion(m)
    return Found(
        sentence=f"Gradients explode: an error grows by 10^{m.decades:.0f} over {m.horizon} steps.",
        evidence=_growth(m),
        advice=words,
        code=code,
    )


def vanishing(m: Measured) -> Found | None:
    """Errors shrink over the horizon."""
    if _is_forgotten(m) or m.decades >= -LIMIT:
        return None
    words, code = advice.against_vanishing(m)
    return Found(
        sentence=f"Gradients vanish: an error shrinks by 10^{-m.decades:.0f} over {m.horizon} steps.",
        evidence=_growth(m),
        advice=words,
        code=code,
    )


def weak(m: Measured) -> Found | None:
    """Errors change over the horizon by more than is good, and less than is hopeless."""
    if not USABLE < abs(m.decades) <= LIMIT:
        return None
    words, code = advice.against_explosion(m) if m.decades > 0 else advice.against_vanishing(m)
    how = "grows" if m.decades > 0 else "shrinks"
    return Found(
        sentence=f"Gradients are uneven: an error {how} by a factor of {10 ** abs(m.decades):.0f} over "
        f"{m.horizon} steps. Flossing may help.",
        evidence=_growth(m),
        advice=words,
        code=code,
    )


def _growth(m: Measured) -> str:
    error = m.standard_errors[0]
    about = f" +- {error:.2g}" if np.isfinite(error) else ""
    return (
        f"lambda_1 = {m.leading:.3g}{about} nats per step, times {m.horizon} steps; the gradient itself "
        f"changes by 10^{m.measured_decades:.1f}."
    )


def few_directions(m: Measured) -> Found | None:
    """The largest exponent is fine, and hardly another one."""
    if abs(m.decades) > USABLE or len(m.log_singular_values) < 4 or _is_forgotten(m):
        return None
    if m.directions >= max(2, MANY * len(m.log_singular_values)):
        return None
    return Found(
        sentence=f"Few directions carry errors over {m.horizon} steps: {m.directions} of "
        f"{len(m.log_singular_values)} keep more than 1/e.",
        evidence=f"The condition number in these directions is 10^{m.condition_decades:.0f}.",
        advice="A task that must keep d bits needs about d of them. Flossing brings as many exponents to zero "
        "as you ask for.",
        code=advice.flossing(m),
    )


def shut_gates(m: Measured) -> Found | None:
    """Units keep their state whatever the input is."""
    if m.kind in ("linear", "spiking", "binary") or m.spikes:
        return None
    held = m.bounded & (m.kept > KEPT) & (m.change < CHANGED) & (m.response < MOVED)
    if held.mean() < 2 * MANY:
        return None
    words, code = advice.open_gates(m)
    return Found(
        sentence=f"Gates are shut: {held.sum()} of {held.size} state variables are kept whatever the input is.",
        evidence=f"They keep {100 * np.median(m.kept[held]):.0f} % of their state in a step, and another input "
        f"moves them by {np.median(m.response[held]):.2g} (bound 1). Exponents near zero are worth little here.",
        advice=words,
        code=code,
    )


def erased(m: Measured) -> Found | None:
    """The forget gates of an LSTM keep nothing."""
    cell = next((x for x in m.leaves if x.name in (".cell", "[1]")), None)
    if m.kind != "lstm" or cell is None or m.decades >= -LIMIT:
        return None
    kept = float(np.median(m.kept[cell.span]))
    if kept >= ERASED:
        return None
    words, code = advice.open_gates(m)
    return Found(
        sentence=f"The cell state is erased: forget gates keep {100 * kept:.0f} % of it in a step.",
        evidence="Median over units of the diagonal of the Jacobian, for the cell state.",
        advice=words,
        code=code,
    )


def dead(m: Measured) -> Found | None:
    """Units that do nothing at all."""
    share = float(m.dead.mean())
    if share < MANY or m.spikes:
        return None
    return Found(
        sentence=f"{m.dead.sum()} of {m.dead.size} state variables are dead: they never change.",
        evidence="Neither the input nor the state before moves them in any step.",
        advice=advice.AGAINST_DEAD,
        code=advice.identity(m),
    )


def saturated(m: Measured) -> Found | None:
    """Units at their bounds."""
    share = float(m.saturated.mean())
    if share < MANY:
        return None
    return Found(
        sentence=f"{m.saturated.sum()} of {m.saturated.size} state variables are saturated.",
        evidence="They stay beyond 0.95 of their bound of 1 in at least 90 % of the steps; errors through them "
        f"shrink ({np.median(m.sensitivity[m.saturated]):.2g} in the median, other units "
        f"{_median(m.sensitivity[~m.saturated])}).",
        advice="Make weights or inputs smaller, or biases nearer to zero.",
    )


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.2g}" if values.size else "none"


def no_input(m: Measured) -> Found | None:
    """The input does nothing."""
    if not m.has_inputs or m.response.any() or m.states.shape[0] < 2:
        return None
    return Found(
        sentence="The input moves nothing: the state is the same whichever input comes.",
        evidence="No state variable changes where the input of another step comes instead.",
        advice="Look whether the step uses its input, whether the inputs differ from step to step, and "
        "whether input weights are zero.",
    )


def _each(m: Measured, say: Callable[[Spikes], tuple[str, str] | None]) -> tuple[str, str] | None:
    """The sentence and evidence of the first layer with something to say, with its name."""
    for layer in m.spikes:
        if said := say(layer):
            where = f" ({layer.layer})" if layer.layer else ""
            return f"{said[0].removesuffix('.')}{where}.", said[1]
    return None


def silent(m: Measured) -> Found | None:
    """Neurons that do not spike."""

    def say(layer: Spikes) -> tuple[str, str] | None:
        quiet = layer.rates == 0
        if quiet.mean() <= SILENT:
            return None
        spread = "" if layer.spread is None else f" Membranes vary by {layer.spread:.2g} (std)."
        return (
            f"{quiet.sum()} of {quiet.size} neurons are silent.",
            f"They do not spike once in {m.states.shape[0]} steps.{spread}",
        )

    if (said := _each(m, say)) is None:
        return None
    return Found(
        sentence=said[0],
        evidence=said[1],
        advice=advice.AGAINST_SILENCE,
        code=advice.fluctuations(m),
    )


def epileptic(m: Measured) -> Found | None:
    """Neurons that drive each other up."""
    per_step = 1000 / m.time_step if m.time_step else None

    def say(layer: Spikes) -> tuple[str, str] | None:
        mean = float(layer.rates.mean())
        limit = 0.1 if per_step is None else LOUD / per_step
        if not layer.has_rates or mean <= limit:
            return None
        rate = f"{mean:.2g} spikes per step" if per_step is None else f"{mean * per_step:.0f} Hz"
        busiest = layer.rates.max() if per_step is None else layer.rates.max() * per_step
        return (
            f"Neurons spike at {rate}: they drive each other up.",
            f"Mean of all units; the busiest has {busiest:.3g}.",
        )

    if (said := _each(m, say)) is None:
        return None
    return Found(
        sentence=said[0],
        evidence=said[1],
        advice=advice.AGAINST_LOUDNESS,
        code=advice.fluctuations(m),
    )


def sharp(m: Measured) -> Found | None:
    """A surrogate derivative that hardly any membrane comes under."""

    def say(layer: Spikes) -> tuple[str, str] | None:
        if layer.open is None or layer.open >= SHARP or layer.rates.max() == 0:
            return None
        return (
            "The surrogate derivative is too sharp: almost no membrane is where it is not zero.",
            _surrogate(layer),
        )

    if (said := _each(m, say)) is None:
        return None
    return Found(
        sentence=said[0], evidence=said[1], advice=advice.AGAINST_SHARPNESS, code=advice.wider(m)
    )


def wide(m: Measured) -> Found | None:
    """A surrogate derivative that every membrane is under, in a network that explodes."""

    def say(layer: Spikes) -> tuple[str, str] | None:
        if layer.open is None or layer.open <= WIDE or not layer.has_rates or m.decades <= LIMIT:
            return None
        return (
            "The surrogate derivative is too wide: nearly every neuron passes errors on in every step.",
            _surrogate(layer),
        )

    if (said := _each(m, say)) is None:
        return None
    return Found(
        sentence=said[0], evidence=said[1], advice=advice.AGAINST_WIDTH, code=advice.wider(m)
    )


def _surrogate(layer: Spikes) -> str:
    assert layer.surrogate is not None and layer.open is not None and layer.within is not None
    return (
        f"{layer.surrogate['name']} of half width {_short(layer.surrogate['half_width'])}: "
        f"{100 * layer.within:.1f} % of membranes are within it, and the mean derivative is "
        f"{100 * layer.open:.1f} % of its peak; membranes vary by {layer.spread:.2g} (std)."
    )


def _short(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float | int) else str(value)


def no_second_derivative(m: Measured) -> Found | None:
    """A surrogate that flossing cannot move."""
    kinds = [x.surrogate["name"] for x in m.spikes if x.surrogate and not x.second_derivative]
    if not kinds:
        return None
    return Found(
        sentence=f"Flossing cannot move weights through {kinds[0]}: its derivative has no useful derivative.",
        evidence="Exponents depend on the weights through the slopes of the surrogate derivative.",
        advice="Use a smooth surrogate: SuperSpike, Sigmoid, Arctan, Gaussian.",
    )


def lost(m: Measured) -> Found | None:
    """Some, not all, directions are mapped to zero."""
    if not m.num_lost or _is_forgotten(m):
        return None
    left = len(m.exponents) - m.num_lost
    after = [x.kept_after_spike for x in m.spikes if x.kept_after_spike is not None]
    reset = after and min(map(abs, after)) < 0.05
    return Found(
        sentence=f"{m.num_lost} of {len(m.exponents)} directions are lost: a step maps them to zero.",
        evidence="A spike keeps nothing of its membrane's perturbation (an exact reset)."
        if reset
        else f"Exponents after number {left} are minus infinity.",
        advice=f"Floss at most {left} exponents, or use reset='subtract', which keeps all directions."
        if m.spikes
        else f"Floss at most {left} exponents.",
    )


def apart(m: Measured) -> Found | None:
    """Leaves that are no part of the dynamics."""
    if not m.apart:
        return None
    rank = [1 + int((m.exponents > np.log(factor)).sum()) for _, factor in m.apart]
    each = [
        f"state{path} multiplies perturbations by {factor:.4g}: exponent {np.log(factor):.3g}, number {r}"
        for (path, factor), r in zip(m.apart, rank, strict=True)
    ]
    return Found(
        sentence=f"{len(m.apart)} leaves of the state are no part of the dynamics, as clocks and running means "
        "are not.",
        evidence="; ".join(each) + " of those below. They are left out here.",
        advice="Leave them out of spectra and of flossing, too.",
        code=advice.filter_of(m),
    )


def batch(m: Measured) -> Found | None:
    """A batch that was taken for one network."""
    if not m.rows:
        return None
    return Found(
        sentence=f"The state is a batch: its {m.rows} rows along the first axis evolve without each other.",
        evidence=f"They were measured as one network of {m.state_dimension} dimensions, with exponents of all.",
        advice="Examine one example: state and inputs without their batch axis.",
        code=advice.one_example(m),
    )


def slow_variable(m: Measured) -> Found | None:
    """The leading exponent is that of a slow variable of the units."""
    for layer in m.spikes:
        if layer.slow is None:
            continue
        name, exponent = layer.slow
        if abs(m.leading - exponent) < NEAR * abs(exponent):
            return Found(
                sentence=f"The first exponent is that of {name}, not of the network.",
                evidence=f"lambda_1 = {m.leading:.3g}, {name} {exponent:.3g} nats per step.",
                advice="Floss more than one exponent, or leave the slow variable out by tangents=: flossing the "
                "first alone lowers the surrogate until nothing is left of the gradient.",
            )
    return None


def fine(m: Measured) -> Found | None:
    """Gradients neither explode nor vanish."""
    if abs(m.decades) > USABLE or _is_forgotten(m):
        return None
    return Found(
        sentence=f"Gradients are fine over {m.horizon} steps: an error changes by a factor of "
        f"{np.exp(m.leading * m.horizon):.2g}. Flossing the first exponent will not help.",
        evidence=_growth(m),
    )


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of the table."""

    find: Callable[[Measured], Found | None]
    severity: Severity
    source: str
    hides: tuple[str, ...] = ()
    """Rules that have nothing to add where this one has found something."""


RULES = (
    Rule(batch, "fault", "independent rows of the Jacobian; measured exponents would repeat", ("fine",)),
    Rule(forgotten, "fault", "exponents of minus infinity: Engelken 2023, section on Jacobians"),
    Rule(no_input, "fault", "a network that does not see its input learns nothing of it"),
    Rule(silent, "fault", "Rossbroich, Gygax & Zenke 2022: fluctuation-driven start weights", ("fine",)),
    Rule(dead, "fault", "Le, Jaitly & Hinton 2015: identity start weights of ReLU networks"),
    Rule(exploding, "fault", "Engelken 2023; Mikhaeil, Monfared & Durstewitz 2022"),
    Rule(vanishing, "fault", "Engelken 2023; Bengio, Simard & Frasconi 1994"),
    Rule(weak, "warning", "findings: Defaults that do no harm (copy with a fresh GRU, 10^-2.5)"),
    Rule(shut_gates, "warning", "findings: Gated networks, flossing restores gradients, not the task", ("fine",)),
    Rule(erased, "warning", "Jozefowicz, Zaremba & Sutskever 2015: forget biases of LSTMs"),
    Rule(saturated, "warning", "Glorot & Bengio 2010: saturated units pass no errors on"),
    Rule(epileptic, "warning", "findings: Defaults that do no harm (rates above 100 Hz)"),
    Rule(sharp, "warning", "Zenke & Vogels 2021: what the steepness of a surrogate decides"),
    Rule(wide, "warning", "findings: Delayed XOR with spikes (a gentle surrogate explodes)"),
    Rule(no_second_derivative, "warning", "flossing differentiates the surrogate derivative"),
    Rule(slow_variable, "warning", "findings: Delayed XOR with spikes (adaptive thresholds)"),
    Rule(apart, "warning", "a triangular Jacobian has the exponents of its diagonal blocks"),
    Rule(lost, "note", "findings: Lost directions"),
    Rule(few_directions, "note", "findings: Condition numbers; flossing one exponent makes them worse"),
    Rule(fine, "fine", "Engelken 2023: exp(lambda_1 T) is the growth of errors"),
)  # fmt: skip
"""All rules; findings come in this order. A severity says what happens if nothing is done."""


def findings(m: Measured) -> Iterator[Finding]:
    """What the rules say of a model."""
    hidden: set[str] = set()
    for rule in RULES:
        name = rule.find.__name__
        if name in hidden or (found := rule.find(m)) is None:
            continue
        hidden.update(rule.hides)
        yield Finding(
            **vars(found), name=name.replace("_", " "), severity=rule.severity, source=rule.source
        )
