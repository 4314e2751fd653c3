"""Rules on what happens to errors on their way: growth, directions, and what counts as the network."""

import numpy as np

from . import advice
from .finding import Found
from .measured import Measured

LIMIT = 3.0
"""Decades over the horizon, up or down, beyond which gradients are lost."""
USABLE = 1.0
"""Decades up to which they are as good as they need to be."""
UNSEEN, SEEN = 0.1, 0.5
"""Target signals up to which flossing gained much, and from which it gained little."""
FEW = 0.25
"""Share of the measured directions below which few carry errors."""


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


def uneven(m: Measured) -> Found | None:
    """Errors change over the horizon by more than is good, and less than is hopeless."""
    if not USABLE < abs(m.decades) <= LIMIT:
        return None
    words, code = advice.against_explosion(m) if m.decades > 0 else advice.against_vanishing(m)
    how = "grows" if m.decades > 0 else "shrinks"
    return Found(
        sentence=f"Gradients are uneven: an error {how} by a factor of {10 ** abs(m.decades):.0f} over "
        f"{m.horizon} steps. Train first; floss if it stays at chance.",
        evidence=_growth(m),
        advice=words,
        code=code,
    )


def unseen(m: Measured) -> Found | None:
    """Errors do not arrive, and what does arrive has nothing to do with the targets."""
    if m.target_signal is None or m.target_signal > UNSEEN or abs(m.decades) <= USABLE:
        return None
    if m.kind in ("gru", "lstm"):
        return Found(
            sentence="The gradient does not see the targets: gates that hold, or flossing, may help.",
            evidence=_signal(m),
            advice=f"Where a few inputs count, start with chrono gates (chrono={m.horizon:g}): with them "
            "GRUs and LSTMs learned tasks that they did not learn as they come. Where all inputs count, "
            "floss with open gates.",
        )
    return Found(
        sentence="The gradient does not see the targets: flossing is likely to help.",
        evidence=_signal(m),
        advice="Floss before training, and keep the exponents while it learns, as said above. Where this was "
        "so, flossed networks learned tasks that others did not, or learned them more surely.",
    )


def seen(m: Measured) -> Found | None:
    """The gradient sees the targets, from short lags or because errors arrive."""
    if m.target_signal is None or m.target_signal < SEEN:
        return None
    return Found(
        sentence="The gradient sees the targets: the network learns without flossing, or nearly as well.",
        evidence=_signal(m),
    )


def _signal(m: Measured) -> str:
    assert m.target_signal is not None
    share = max(0.0, 100 * m.target_signal)
    return f"{share:.0f} % of the gradient of the recurrent weights comes from the targets."


def _growth(m: Measured) -> str:
    error = m.standard_errors[0]
    about = f" +- {error:.2g}" if np.isfinite(error) else ""
    return (
        f"lambda_1 = {m.leading:.3g}{about} nats per step, times {m.horizon} steps; the gradient itself "
        f"changes by 10^{m.measured_decades:.1f}."
    )


def few_directions(m: Measured) -> Found | None:
    """The largest exponent is fine, and hardly another one."""
    if abs(m.decades) > USABLE or len(m.log_singular_values) < 4 or m.num_lost:
        return None
    if m.directions >= max(2, FEW * len(m.log_singular_values)) or m.condition_decades < USABLE:
        return None  # enough of them, or all are alike
    return Found(
        sentence=f"Few directions carry errors over {m.horizon} steps: {m.directions} of "
        f"{len(m.log_singular_values)} keep more than 1/e.",
        evidence=f"The condition number in these directions is 10^{m.condition_decades:.0f}.",
        advice="A task that must keep d bits needs about d of them. Flossing brings as many exponents to "
        f"zero as you ask for.{advice.LEARNED}",
        code=advice.flossing(m),
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
        f"state{path} multiplies perturbations by {factor:.4g}: exponent {np.log(factor):.3g}, which would "
        f"be number {r}"
        for (path, factor), r in zip(m.apart, rank, strict=True)
    ]
    return Found(
        sentence=f"{len(m.apart)} leaves of the state are no part of the dynamics, as clocks and running "
        "means are not.",
        evidence="; ".join(each) + ". They are left out here.",
        advice="Leave them out of spectra and of flossing, too.",
        code=advice.filter_of(m),
    )


def checks(m: Measured) -> Found | None:
    """Derivatives that are not what they seem."""
    if not m.checked:
        return None
    names = ", ".join(dict.fromkeys(name for name, _ in m.checked))
    return Found(
        sentence=f"Derivatives are not what they seem: {names}.",
        evidence=" ".join(text[:1].upper() + text[1:] for _, text in m.checked),
    )


def batch(m: Measured) -> Found | None:
    """A batch that was taken for one network."""
    if not m.rows:
        return None
    return Found(
        sentence=f"The state is a batch: its {m.rows} rows along the first axis evolve without each other.",
        evidence=f"They were measured as one network of {m.state_dimension} dimensions, with the "
        "exponents of all.",
        advice="Examine one example: state and inputs without their batch axis.",
        code=advice.one_example(m),
    )


def fine(m: Measured) -> Found | None:
    """Gradients neither explode nor vanish."""
    if abs(m.decades) > USABLE or _is_forgotten(m):
        return None
    return Found(
        sentence=f"Gradients are fine over {m.horizon} steps: an error changes by a factor of "
        f"{np.exp(m.leading * m.horizon):.2g}. Flossing the first exponent will not help.",
        evidence=_growth(m),
    )
