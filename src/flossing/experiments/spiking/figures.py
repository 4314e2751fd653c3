"""Figures of the experiments with LIF networks."""

import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style


def mean_of_networks(values: np.ndarray) -> np.ndarray:
    """Mean over the networks in which an exponent is finite; NaN where it is in none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(np.where(np.isfinite(values), values, np.nan), 0)


def spectrum_figure(
    track: dict[int, np.ndarray],
    exact: dict[str, np.ndarray],
    resets: dict[str, np.ndarray],
    scans: dict[str, dict[float, np.ndarray]],
    settings: Any,
) -> Figure:
    """Six panels: spectra, flossing, time scales, resets, sharpness, rate."""
    with style():
        figure = Figure(figsize=(10.5, 6.4), layout="constrained")
        (spectrum, during, slow), (reset, sharpness, rate) = figure.subplots(2, 3)
        last, k = max(track), settings.flossed
        index = np.arange(1, track[0].shape[1] + 1)
        names = {"before": "before", "after": "after", "flossed_exactly": "exact flossing"}
        shades = dict(zip(exact, ("0.4", COLOURS[0], COLOURS[1]), strict=True))
        for when, values in exact.items():
            label = f"{names[when]}, exact"
            spectrum.plot(index, values.T, color=shades[when], linewidth=0.4, alpha=0.4)
            spectrum.plot(index, mean_of_networks(values), color=shades[when], label=label)
        for when, values in (("before", track[0]), ("after", track[last])):
            spectrum.plot(
                index, mean_of_networks(values), "--", color=shades[when], linewidth=1.2,
                label=f"{when}, reset factor left out",
            )  # fmt: skip
        spectrum.axvline(k + 0.5, color="k", linewidth=0.6, linestyle=":")
        spectrum.set(
            xlabel="index i", ylabel="surrogate exponent $\\lambda_i$ (per ms)", ylim=(-1.0, 0.15),
            title=f"k = {k} of {len(index)} flossed",
        )  # fmt: skip
        spectrum.legend(loc="lower left", fontsize=7)

        steps = list(track)
        for number, shade in ((1, 1.0), (k // 2, 0.75), (k, 0.5), (k + 1, 0.3)):
            values = [mean_of_networks(track[s])[number - 1] for s in steps]
            colour = COLOURS[0] if number <= k else "0.5"
            during.plot(
                steps, values, "o-", color=colour, alpha=shade, markersize=3, linewidth=1.2,
                label=f"$\\lambda_{{{number}}}$",
            )  # fmt: skip
        during.axhline(0, color="k", linewidth=0.6, linestyle=":")
        during.set(
            xlabel="flossing step", ylabel="exponent (per ms)", title="reset factor left out"
        )
        during.legend(ncols=2)

        few = settings.flossed_exactly
        for values, colour, label in (
            (track[0][:, :k], "0.4", "before"),
            (track[last][:, :k], COLOURS[0], "after"),
            (exact["flossed_exactly"][:, :few], COLOURS[1], "exact flossing"),
        ):
            scale = 1 / np.abs(mean_of_networks(values))
            slow.plot(index[: len(scale)], scale, "o", color=colour, markersize=3, label=label)
        time_constants(slow, 10.0, 5.0, k)
        slow.set(
            xlabel="index i", ylabel="time scale $1/|\\lambda_i|$ (ms)", yscale="log",
            title="tangent modes, and time constants",
        )  # fmt: skip
        slow.set_ylim(top=10 * slow.get_ylim()[1])
        slow.legend(loc="upper center", ncols=2)

        for (name, values), colour in zip(resets.items(), COLOURS, strict=False):
            reset.plot(
                index, mean_of_networks(values), color=colour, linewidth=1.3, label=name,
                linestyle="--" if "ignored" in name or name == "no reset" else "-",
            )  # fmt: skip
        reset.set(
            xlabel="index i", ylabel="exponent (per ms)", ylim=(-1.0, 0.15),
            title=f"resets, all at {settings.rate:g} Hz, not flossed",
        )  # fmt: skip
        reset.legend(loc="lower left", fontsize=7)
        for axis, name, label, title in (
            (sharpness, "sharpness", "surrogate sharpness", f"same spikes, {settings.rate:g} Hz"),
            (rate, "rate", "firing rate (Hz)", f"sharpness {settings.sharpness:g}"),
        ):
            values = np.array(list(scans[name].values()))
            x = list(scans[name])
            axis.plot(x, values[:, :, 0], ".", color=COLOURS[0], markersize=3)
            axis.plot(x, values[:, :, 0].mean(1), "o-", color=COLOURS[0], markersize=4,
                      label="$\\lambda_1$")  # fmt: skip
            axis.plot(x, values[:, :, -1].mean(1), "s-", color=COLOURS[1], markersize=3,
                      linewidth=1.2, label=f"$\\lambda_{{{values.shape[2]}}}$")  # fmt: skip
            axis.axhline(-0.1, color="0.6", linewidth=0.8, linestyle="--", label="$-1/\\tau_{mem}$")
            axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
            axis.set(xlabel=label, ylabel="exponent (per ms)", xscale="log", title=title)
            axis.set_xticks(x, [f"{value:g}" for value in x])
            axis.minorticks_off()
            axis.legend(loc="best")
    return figure


def time_constants(axis: Any, membrane: float, synapse: float, at: float) -> None:
    """Lines at the time constants of a neuron, in ms."""
    for value, name in ((membrane, "mem"), (synapse, "syn")):
        axis.axhline(value, color="k", linewidth=0.8, linestyle=":")
        axis.annotate(f"$\\tau_{{{name}}}$", (at, value), textcoords="offset points", xytext=(2, 2))


def gradients_figure(
    drawn: dict[str, np.ndarray],
    exponents: np.ndarray,
    measured: np.ndarray,
    logs: np.ndarray,
    modes: dict[str, dict[str, np.ndarray]],
    settings: Any,
) -> Figure:
    """Gradients against horizon, growth against exponent, and slow modes."""
    with style():
        figure = Figure(figsize=(10.5, 6.2), layout="constrained")
        (traces, scatter, norms), (flat, slow, empty) = figure.subplots(2, 3)
        log10 = np.log(10)
        order = np.argsort(exponents)
        for place, colour in zip((0.05, 0.35, 0.65, 0.95), COLOURS, strict=False):
            i = order[round(place * (len(order) - 1))]
            line = (logs[i] - logs[i, 0]) / log10
            traces.plot(line, color=colour, label=f"$\\lambda_1$ = {exponents[i]:+.3f}")
            horizon = np.arange(settings.skip, len(line))
            offset = np.mean(line[settings.skip :] - exponents[i] / log10 * horizon)
            traces.plot(
                horizon, offset + exponents[i] / log10 * horizon, "--", color="k", linewidth=0.9
            )
        traces.set(
            xlabel="horizon h (ms)",
            ylabel="log$_{10}$ $|\\partial L / \\partial h_{T-h}|$, relative",
            title="four networks; dashed: slope $\\lambda_1$",
        )
        traces.legend()
        for axis, x, y, label in (
            (scatter, exponents, measured, "growth of the gradient (per ms)"),
            (
                norms,
                exponents * settings.at / log10,
                (logs[:, settings.at] - logs[:, 0]) / log10,
                f"log$_{{10}}$ gradient ratio at {settings.at} ms",
            ),
        ):
            points = axis.scatter(x, y, c=np.log10(drawn["gain"]), s=10, cmap="viridis")
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axis.plot(ends, ends, color="k", linewidth=0.8, linestyle=":")
            axis.set(ylabel=label)
        bar = figure.colorbar(points, ax=norms)
        bar.set_label("log$_{10}$ recurrent gain")
        scatter.set(
            xlabel="surrogate exponent $\\lambda_1$ (per ms)", title=f"{len(exponents)} networks"
        )
        norms.set(xlabel=f"log$_{{10}}$ exp($\\lambda_1$ {settings.at} ms)", title="norms")
        for (when, mode), colour in zip(modes.items(), ("0.4", COLOURS[0]), strict=True):
            lines = (mode["logs"] - mode["logs"][:, :1]) / log10
            flat.plot(lines.T, color=colour, linewidth=0.5, alpha=0.6)
            flat.plot(lines.mean(0), color=colour, label=when)
            index = np.arange(1, mode["exponents"].shape[1] + 1)
            scale = 1 / np.abs(mode["exponents"])
            slow.plot(index, scale.T, color=colour, linewidth=0.4, alpha=0.6)
            slow.plot(index, np.median(scale, 0), "o", color=colour, markersize=3, label=when)
        flat.set(
            xlabel="horizon h (ms)",
            ylabel="log$_{10}$ $|\\partial L / \\partial h_{T-h}|$, relative",
            title=f"k = {settings.flossed} flossed, {len(lines)} networks",
        )
        flat.legend()
        time_constants(slow, 10.0, 5.0, index[-1])
        slow.axvline(settings.flossed + 0.5, color="k", linewidth=0.6, linestyle=":")
        slow.set(
            xlabel="index i", ylabel="time scale $1/|\\lambda_i|$ (ms)", yscale="log",
            title="tangent modes, and time constants",
        )  # fmt: skip
        slow.set_ylim(top=10 * slow.get_ylim()[1])
        slow.legend(loc="upper center", ncols=2)
        spread = np.abs(measured - exponents)
        empty.hist(spread, bins=20, color=COLOURS[0])
        empty.set(xlabel="|growth - $\\lambda_1$| (per ms)", ylabel="networks", title="errors")
    return figure
