"""The table of all rules: what ``examine`` looks for, how serious it is, and what says so.

A rule looks at what was measured and returns what it found, or ``None``; its limits stand in its file.
"""

from collections.abc import Iterator

from .finding import Finding, Rule
from .gradients import (
    apart,
    batch,
    checks,
    exploding,
    few_directions,
    fine,
    forgotten,
    lost,
    seen,
    uneven,
    unseen,
    vanishing,
)
from .measured import Measured
from .units import (
    dead,
    epileptic,
    erased,
    no_input,
    no_second_derivative,
    saturated,
    sharp,
    shut_gates,
    silent,
    slow_variable,
    wide,
)

RULES = (
    Rule(batch, "fault", "independent rows of the Jacobian; measured exponents would repeat", ("fine",)),
    Rule(forgotten, "fault", "an exponent of minus infinity is a direction that a step maps to zero"),
    Rule(no_input, "fault", "a network that does not see its input learns nothing of it"),
    Rule(silent, "fault", "Rossbroich, Gygax & Zenke 2022: fluctuation-driven start weights", ("fine",)),
    Rule(dead, "fault", "Le, Jaitly & Hinton 2015: identity start weights of ReLU networks"),
    Rule(exploding, "fault", "Engelken 2023; Mikhaeil, Monfared & Durstewitz 2022"),
    Rule(vanishing, "fault", "Engelken 2023; Bengio, Simard & Frasconi 1994"),
    Rule(uneven, "warning", "docs/findings/defaults.md (a network with 10^-2.5 did not learn)"),
    Rule(unseen, "warning", "results: sequence-tasks (where flossing wins)"),
    Rule(shut_gates, "warning", "docs/findings/gated.md", ("fine",)),
    Rule(erased, "warning", "Jozefowicz, Zaremba & Sutskever 2015: forget biases of LSTMs"),
    Rule(saturated, "warning", "Glorot & Bengio 2010: saturated units pass no errors on"),
    Rule(epileptic, "warning", "docs/findings/defaults.md (rates above 100 Hz)"),
    Rule(sharp, "warning", "Zenke & Vogels 2021: what the steepness of a surrogate decides"),
    Rule(wide, "warning", "docs/findings/spiking-xor.md (a gentle surrogate explodes)"),
    Rule(no_second_derivative, "warning", "flossing differentiates the surrogate derivative"),
    Rule(checks, "warning", "ft.check, and the checks of a step"),
    Rule(slow_variable, "warning", "docs/findings/spiking-xor.md (adaptive thresholds)"),
    Rule(seen, "note", "results: sequence-tasks (where flossing ties)"),
    Rule(apart, "note", "a triangular Jacobian has the exponents of its diagonal blocks"),
    Rule(lost, "note", "docs/findings/lost-directions.md"),
    Rule(few_directions, "note", "docs/findings/condition-numbers.md"),
    Rule(fine, "fine", "Engelken 2023: exp(lambda_1 T) is the growth of errors"),
)  # fmt: skip
"""All rules; findings come in this order. A severity says what happens if nothing is done."""


def findings(m: Measured) -> Iterator[Finding]:
    """What the rules say of a model."""
    hidden: set[str] = set()
    for rule in RULES:
        name = rule.find.__name__
        if name in hidden or (said := rule.find(m)) is None:
            continue
        hidden.update(rule.hides)
        yield Finding(
            **vars(said), name=name.replace("_", " "), severity=rule.severity, source=rule.source
        )
