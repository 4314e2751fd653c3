"""Rules on units: gates, units at their bounds, spikes, surrogate derivatives."""

from collections.abc import Callable

import numpy as np

from . import advice
from .finding import Found
from .gradients import LIMIT, SEEN
from .measured import Measured, Spikes

FEWEST = 8
"""Settled steps, at least, from which something is said of what units never do."""
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
SILENT = 0.9
"""Share of neurons that do not spike once, of which something is said: half of them may rest without harm."""
LOUD = 100.0
"""Mean rate in Hz above which neurons drive each other up; without a time step, as if steps were of 1 ms."""
SHARP, WIDE = 0.01, 0.5
"""Mean surrogate derivative, in units of its peak, below and above which it is too sharp or too wide."""
NEAR = 0.2
"""A leading exponent within this fraction of that of a slow variable is taken for its exponent."""


def _is_short(m: Measured) -> bool:
    """Whether there are too few steps to say what a unit never does."""
    return m.states.shape[0] < FEWEST


def shut_gates(m: Measured) -> Found | None:
    """Units keep their state whatever the input is."""
    if m.kind in ("linear", "spiking", "binary") or m.spikes:
        return None
    if m.target_signal is not None and m.target_signal >= SEEN:
        return None  # a few single inputs are held, and that is all that the task asks for
    held = m.bounded & (m.kept > KEPT) & (m.change < CHANGED) & (m.response < MOVED)
    if held.mean() < 2 * MANY:
        return None
    words, code = advice.open_gates(m)
    return Found(
        sentence=f"Gates are shut: {held.sum()} of {held.size} state variables are kept whatever "
        "the input is.",
        evidence=f"They keep {100 * min(1, np.median(m.kept[held])):.0f} % of their state in a step, and "
        f"the input of another step moves them by {np.median(m.response[held]):.2g} (bound 1). Exponents "
        "near zero are worth little here, unless a few single inputs are all that is to be held "
        "(fl.target_signal tells).",
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
    if share < MANY or m.spikes or _is_short(m):
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
    if share < MANY or _is_short(m):
        return None
    return Found(
        sentence=f"{m.saturated.sum()} of {m.saturated.size} state variables are saturated.",
        evidence="They stay beyond 0.95 of their bound of 1 in at least 90 % of the steps; errors through "
        f"them shrink ({np.median(m.sensitivity[m.saturated]):.2g} in the median, other units "
        f"{_median(m.sensitivity[~m.saturated])}).",
        advice="Make weights or inputs smaller, or biases nearer to zero.",
    )


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.2g}" if values.size else "none"


def no_input(m: Measured) -> Found | None:
    """The input does nothing."""
    if not m.inputs_vary or m.response.any() or _is_short(m):
        return None
    return Found(
        sentence="The input moves nothing: the state is the same whichever input comes.",
        evidence="No state variable changes where the input of another step comes instead.",
        advice="Look whether the step uses its input, and whether input weights are zero.",
    )


def _of_worst_layer(
    m: Measured,
    say: Callable[[Spikes], tuple[float, str, str] | None],
    words: str,
    code: str,
) -> Found | None:
    """What is found in the layer of which ``say`` gives the largest number, with its name."""
    said = [(statement, layer.layer) for layer in m.spikes if (statement := say(layer))]
    if not said:
        return None
    (_, sentence, evidence), layer = max(said, key=lambda each: each[0][0])
    where = f" ({layer})" if layer else ""
    sentence = f"{sentence.removesuffix('.')}{where}."
    return Found(sentence=sentence, evidence=evidence, advice=words, code=code)


def silent(m: Measured) -> Found | None:
    """Neurons that do not spike."""

    def say(layer: Spikes) -> tuple[float, str, str] | None:
        quiet = layer.rates == 0
        if quiet.mean() < SILENT:
            return None
        spread = "" if layer.spread is None else f" Membranes vary by {layer.spread:.2g} (std)."
        return (
            float(quiet.mean()),
            f"{quiet.sum()} of {quiet.size} neurons are silent.",
            f"They do not spike once in {m.states.shape[0]} steps.{spread}",
        )

    return _of_worst_layer(m, say, advice.AGAINST_SILENCE, advice.fluctuations(m))


_ASSUMED = (
    f" That is much if steps are of 1 ms ({LOUD:.0f} Hz is the limit); give time_step= if they are not. "
    "Networks with longer steps learned at 0.4 to 0.55 spikes per step."
)


def epileptic(m: Measured) -> Found | None:
    """Neurons that drive each other up."""
    per_step = 1000 / m.time_step if m.time_step else None

    def say(layer: Spikes) -> tuple[float, str, str] | None:
        mean = float(layer.rates.mean())
        limit = 0.1 if per_step is None else LOUD / per_step
        if not layer.has_rates or mean <= limit:
            return None
        rate = f"{mean:.2g} spikes per step" if per_step is None else f"{mean * per_step:.0f} Hz"
        busiest = layer.rates.max() if per_step is None else layer.rates.max() * per_step
        return (
            mean,
            f"Neurons spike at {rate}{': they drive each other up' if per_step else ''}.",
            f"Mean of all units; the busiest has {busiest:.3g}.{'' if per_step else _ASSUMED}",
        )

    return _of_worst_layer(m, say, advice.AGAINST_LOUDNESS, advice.fluctuations(m))


def sharp(m: Measured) -> Found | None:
    """A surrogate derivative that hardly any membrane comes under."""

    def say(layer: Spikes) -> tuple[float, str, str] | None:
        if layer.open is None or layer.open >= SHARP or layer.rates.max() == 0:
            return None
        return (
            -layer.open,
            "The surrogate derivative is too sharp: almost no membrane is where it is not zero.",
            _surrogate(layer),
        )

    return _of_worst_layer(m, say, advice.AGAINST_SHARPNESS, advice.wider(m))


def wide(m: Measured) -> Found | None:
    """A surrogate derivative that every membrane is under, in a network that explodes."""

    def say(layer: Spikes) -> tuple[float, str, str] | None:
        if layer.open is None or layer.open <= WIDE or not layer.has_rates or m.decades <= LIMIT:
            return None
        return (
            layer.open,
            "The surrogate derivative is too wide: nearly every neuron passes errors on in every step.",
            _surrogate(layer),
        )

    return _of_worst_layer(m, say, advice.AGAINST_WIDTH, advice.wider(m))


def _surrogate(layer: Spikes) -> str:
    assert layer.surrogate is not None
    assert layer.open is not None
    assert layer.within is not None
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
                advice="Floss more than one exponent, or leave the slow variable out by tangents=: flossing "
                "the first alone lowers the surrogate until nothing is left of the gradient.",
            )
    return None
