"""What ``examine`` returns: findings and numbers that read themselves, on a terminal and in a notebook."""

import dataclasses
import html
from typing import Any

import numpy as np

from .._readable import library
from .finding import Finding
from .measured import Measured

_MARKS = {"fault": "FAULT  ", "warning": "warning", "note": "note   ", "fine": "fine   "}


@dataclasses.dataclass(frozen=True)
class Report:
    """How gradients travel in a model, and what to do about it; made by ``fl.examine``.

    ``print(report)`` says it all, ``report`` alone in at most ten lines; in a notebook it is a table.
    """

    measured: Measured
    """All numbers, as plain arrays."""
    advice: tuple[Finding, ...]
    """Findings, the most serious first, each with a sentence, its evidence, what to do, and code."""

    def __contains__(self, name: str) -> bool:
        """Whether a rule of this name found something: ``"exploding" in report``."""
        return any(finding.name == name for finding in self.advice)

    def __repr__(self) -> str:
        lines = [self.headline, *(_line(x) for x in self.advice[:8])]
        if len(self.advice) > 8:
            lines.append(f"  and {len(self.advice) - 8} more: print(report)")
        elif any(x.advice for x in self.advice):
            lines.append("  print(report) says what to do")
        return "\n".join(lines)

    def __str__(self) -> str:
        lines = [self.headline, "", *(_line(x) for x in self.advice), ""]
        width = max(len(name) for name, _ in self.rows)
        lines += [f"  {name:{width}}  {text}" for name, text in self.rows]
        for finding in self.advice:
            if finding.severity != "fine":
                lines += ["", *_paragraph(finding)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cell = '<td style="text-align:left;padding:2px 12px 2px 0;vertical-align:top">'
        findings = "".join(
            f"<tr>{cell}<b>{x.severity}</b></td>{cell}{html.escape(x.sentence)}<br>"
            f'<span style="opacity:.7">{html.escape(x.evidence)}</span>{_html_of(x)}</td></tr>'
            for x in self.advice
        )
        rows = "".join(
            f"<tr>{cell}{html.escape(name)}</td>{cell}{html.escape(text)}</td></tr>"
            for name, text in self.rows
        )
        return (
            f"<div><b>{html.escape(self.headline)}</b><table>{findings}</table>"
            f"<details><summary>numbers</summary><table>{rows}</table></details></div>"
        )

    @property
    def headline(self) -> str:
        """What was examined."""
        m = self.measured
        return (
            f"{m.model}: state of {m.state_dimension} {_plural('number', m.state_dimension)}, "
            f"horizon of {m.horizon} {_plural('step', m.horizon)}"
        )

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What was measured, as name and text."""
        m = self.measured
        rows = [
            ("exponents (nats per step)", _numbers(m.exponents, m.standard_errors)),
            (f"time constants ({m.time_unit})", _listed(m.time_constants)),
            ("growth of an error over the horizon", f"10^{m.decades:.1f} by lambda_1"),
            ("gradient over the horizon", f"10^{m.measured_decades:.1f} measured"),
            *_of_targets(m),
            (
                "directions that keep 1/e",
                f"{m.directions} of {len(m.log_singular_values)} measured",
            ),
            ("condition number", _condition(m)),
            ("a step keeps of the state", _by_leaf(m, m.kept, "{:.2f}")),
            ("another input moves it by", _by_leaf(m, m.response, "{:.2g}")),
        ]
        rows += [(f"first exponent of layer {name}", f"{value:.3g}") for name, value in m.layers]
        if m.spikes:
            for layer in m.spikes:
                rows += _spike_rows(m, layer)
        else:
            shares = ", ".join(map(_percent, (m.saturated, m.dead, m.always_on)))
            rows.append(("saturated, dead, always on", shares))
        rows += [("reset", text) for text in m.resets]
        rows.append(("trajectory in parallel", _parallel(m)))
        return rows

    def plot(self, ax: Any = None) -> Any:
        """Draws exponents, gradient norms against lag, and what a step keeps of the state.

        Args:
            ax: three matplotlib Axes; default a new figure.

        Returns:
            The three Axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        library("matplotlib", "plot")
        from .plot import draw

        return draw(self.measured, ax)

    def to_xarray(self) -> Any:
        """The numbers as an ``xarray.Dataset`` with named dimensions.

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
        m = self.measured
        lags = np.arange(m.horizon, -1, -1)
        variable = [leaf.name for leaf in m.leaves for _ in range(leaf.start, leaf.stop)]
        return library("xarray", "to_xarray").Dataset(
            {
                "exponents": ("exponent", m.exponents, {"units": "nats per step"}),
                "standard_errors": ("exponent", m.standard_errors, {"units": "nats per step"}),
                "log_gradient_norm": ("lag", m.log_gradient),
                "log_singular_values": ("direction", m.log_singular_values),
                "kept": ("variable", m.kept),
                "response": ("variable", m.response),
                "sensitivity": ("variable", m.sensitivity),
            },
            coords={"lag": lags, "leaf": ("variable", variable)},
            attrs={"model": m.model, "horizon": m.horizon}
            | {f"finding_{x.name.replace(' ', '_')}": x.sentence for x in self.advice},
        )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _line(finding: Finding) -> str:
    return f"  {_MARKS[finding.severity]}  {finding.sentence}"


def _paragraph(finding: Finding) -> list[str]:
    lines = [f"{finding.name.upper()}: {finding.evidence}"]
    if finding.advice:
        lines.append(f"  {finding.advice}")
    lines += [f"      {line}" for line in finding.code.splitlines()]
    return [*lines, f"  ({finding.source})"]


def _html_of(finding: Finding) -> str:
    words = f"<br>{html.escape(finding.advice)}" if finding.advice else ""
    if not finding.code:
        return words
    return (
        f'{words}<pre style="margin:4px 0;white-space:pre-wrap">{html.escape(finding.code)}</pre>'
    )


def _numbers(values: np.ndarray, errors: np.ndarray) -> str:
    shown = [
        f"{v:.3g}" + (f" +- {e:.1g}" if np.isfinite(e) and np.isfinite(v) else "")
        for v, e in zip(values[:3], errors[:3], strict=True)
    ]
    rest = f", ... {values[-1]:.3g} ({len(values)})" if len(values) > 3 else ""
    return ", ".join(shown) + rest


def _listed(values: np.ndarray) -> str:
    rest = f", ... {values[-1]:.3g}" if len(values) > 3 else ""
    return ", ".join(f"{v:.3g}" for v in values[:3]) + rest


def _of_targets(m: Measured) -> list[tuple[str, str]]:
    """What of the gradient comes from the targets, if that was measured."""
    if m.target_signal is None:
        return []
    return [("target signal of the task", f"{max(0.0, 100 * m.target_signal):.0f} %")]


def _condition(m: Measured) -> str:
    decades = m.condition_decades
    if not np.isfinite(decades):
        return "infinite: at least one of the measured directions is lost"
    word = next(
        (
            text
            for most, text in ((2, "even"), (6, "uneven"), (16, "very uneven"))
            if decades <= most
        ),
        "beyond float64: one direction is all that is left",
    )
    return f"10^{decades:.1f} in {len(m.log_singular_values)} directions ({word})"


def _by_leaf(m: Measured, values: np.ndarray, form: str) -> str:
    each = [(x.name, form.format(np.median(values[x.span]))) for x in m.leaves if x.stop > x.start]
    if len(each) == 1:
        return f"{each[0][1]} (median)"
    return ", ".join(f"{name} {text}" for name, text in each[:6]) + (
        " ..." if len(each) > 6 else ""
    )


def _spike_rows(m: Measured, layer: Any) -> list[tuple[str, str]]:
    where = f", {layer.layer}" if layer.layer else ""
    rows = []
    if layer.has_rates:
        rate = layer.rates * (1000 / m.time_step) if m.time_step else layer.rates
        unit = "Hz" if m.time_step else "per step"
        rows.append(
            (
                f"rates ({unit}){where}",
                f"mean {rate.mean():.3g}, highest {rate.max():.3g}; {_percent(layer.rates == 0)} silent, "
                f"{_percent(layer.rates == 1)} always on",
            )
        )
    if layer.surrogate is not None:
        s = layer.surrogate
        numbers = ", ".join(
            f"{word} {s[name]:.3g}" if isinstance(s[name], float | int) else f"{word} {s[name]}"
            for word, name in (("peak", "peak"), ("half width", "half_width"), ("area", "area"))
        )
        rows.append(
            (
                f"surrogate{where}",
                f"{s['name']}, {numbers}; {100 * layer.within:.1f} % of membranes within its width",
            )
        )
    if layer.kept_without_spike is not None:
        after = "no spike" if layer.kept_after_spike is None else f"{layer.kept_after_spike:.2f}"
        rows.append(
            (
                f"a step keeps of a membrane{where}",
                f"{layer.kept_without_spike:.2f}; after a spike {after}",
            )
        )
    return rows


def _percent(flags: np.ndarray) -> str:
    return f"{100 * flags.mean():.0f} %"


def _parallel(m: Measured) -> str:
    value = m.parallel_condition
    if m.leading < 0:
        return (
            f"yes: lambda_1 < 0, its equations have a smallest singular value of about {value:.2g}"
        )
    return f"no: lambda_1 > 0, the smallest singular value is about {value:.1g} and falls with T"
