"""The report of one run."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..runs import directory as files
from ..runs.config import RunConfig
from ..runs.summary import NetworkSummary, describe, summarise
from . import words
from .page import Page, figure_files
from .provenance import environment_rows
from .series import average, quartiles, rounded

_HEADER = [
    "network",
    "held-out accuracy",
    "epochs to 95 %",
    "|dL/dh₀| first 10 epochs",
    "|dL/dh₀| last 10 epochs",
    "λ₁ start",
    "λ₁ before training",
    "λ₁ end",
    "updates skipped",
]
_MOST_NUMBERS = 300_000


def run_page(directory: Path, config: RunConfig, data: xr.Dataset) -> Page:
    """What the page of a run says.

    Args:
        directory: of the run.
        config: of the run.
        data: its metrics; may lack any variable.
    """
    summaries = summarise(data)
    moments, left_out = spectra(data)
    footnotes = []
    if left_out:
        footnotes.append(
            f"To keep the page small, {left_out} of {left_out + len(moments)} measurements of the "
            "spectrum are left out of the slider; metrics.nc holds all."
        )
    chosen = [files.METRICS, files.CONFIG, files.ENVIRONMENT, files.WEIGHTS, files.LOG]
    return Page(
        kind="run",
        title=directory.resolve().name,
        subtitle=describe(config),
        notices=notices(config, data),
        summary=sentences(summaries, data),
        header=_HEADER,
        rows=[_row(s, data, config) for s in summaries],
        csv=words.as_csv(NetworkSummary._fields, summaries),
        data={"curves": curves(data), "moments": moments},
        config=(directory / files.CONFIG).read_text(encoding="utf-8"),
        environment=environment_rows(directory / files.ENVIRONMENT),
        folder=directory,
        files=[
            *(directory / name for name in chosen),
            *figure_files(directory),
        ],
        footnotes=footnotes,
    )


def notices(config: RunConfig, data: xr.Dataset) -> list[str]:
    """What is unfinished, missing or not a number, one sentence each."""
    found = []
    done, planned = data.sizes.get("epoch", 0), config.training.epochs
    if "test_accuracy" not in data:
        found.append(
            f"Unfinished: {done} of {planned} training epochs are done. Held-out accuracy is "
            "measured at the end; floss train --resume continues the run."
        )
    if "accuracy" not in data:
        found.append("There is no training in this run yet, so there are no training curves.")
    else:
        for name, word in (
            ("loss", "losses"),
            ("accuracy", "accuracies"),
            ("gradient_norm", "gradient norms"),
        ):
            bad = int((~np.isfinite(data[name].values)).sum())
            if bad:
                found.append(
                    f"{bad} of {data[name].size} {word} are not finite and are left out of the charts."
                )
    if "exponents" not in data:
        found.append("The Lyapunov spectrum was not measured.")
    else:
        bad = int((~np.isfinite(data["exponents"].values)).sum())
        if bad:
            found.append(
                f"{bad} of {data['exponents'].size} exponents are not finite (lost directions are "
                "minus infinity) and are left out of the charts."
            )
    return found


def sentences(summaries: list[NetworkSummary], data: xr.Dataset) -> list[str]:
    """The main results in words."""
    found = []
    count = len(summaries)
    networks = "1 network" if count == 1 else f"{count} networks"
    accuracy = [s.test_accuracy for s in summaries if s.test_accuracy is not None]
    if accuracy:
        found.append(
            f"Held-out accuracy of {networks}: median {words.percent(float(np.median(accuracy)))}, "
            f"from {words.percent(min(accuracy))} to {words.percent(max(accuracy))} (chance: 50 %)."
        )
    if "accuracy" in data:
        reached = [s.epochs_to_95 for s in summaries if s.epochs_to_95 is not None]
        text = f"{len(reached)} of {networks} reached 95 % in {data.sizes['epoch']} epochs"
        found.append(text + (f", the first at epoch {min(reached)}." if reached else "."))
    ends = [
        (label, [getattr(s, name) for s in summaries])
        for label, name in (
            ("at the start", "leading_start"),
            ("before training", "leading_before"),
            ("at the end", "leading_end"),
        )
    ]
    parts = [
        f"{words.exponent(float(np.median(values)))} {label}"
        for label, values in ends
        if values and None not in values
    ]
    if parts:
        found.append(f"Largest Lyapunov exponent λ₁ (median, nats per step): {', '.join(parts)}.")
    return found


def _row(summary: NetworkSummary, data: xr.Dataset, config: RunConfig) -> list[str]:
    if summary.epochs_to_95 is not None:
        reached = str(summary.epochs_to_95)
    elif "accuracy" not in data:
        reached = "not trained"
    else:
        reached = "not reached" if data.sizes["epoch"] >= config.training.epochs else "not yet"
    before = words.exponent(summary.leading_before)
    if summary.leading_before is None and not config.flossing.before:
        before = "not flossed"
    return [
        str(summary.network),
        words.percent(summary.test_accuracy),
        reached,
        words.scientific(summary.gradient_first),
        words.scientific(summary.gradient_last),
        words.exponent(summary.leading_start),
        before,
        words.exponent(summary.leading_end),
        str(summary.skipped),
    ]


def curves(data: xr.Dataset) -> dict[str, Any]:
    """Accuracy in percent, loss and gradient norm of each network, with median and quartiles."""
    if "accuracy" not in data:
        return {}
    networks = max(1, data.sizes["realisation"])
    most = int(np.clip(600 * 24 // networks, 100, 600))
    content: dict[str, Any] = {}
    for name, factor in (("accuracy", 100), ("loss", 1), ("gradient_norm", 1)):
        series = average(factor * data[name].values, data["epoch"].values, most)
        content["epoch"] = rounded(series.epoch, 6)
        content["width"] = series.width
        content[name] = lines(series.values)
    return content


def lines(values: np.ndarray) -> dict[str, Any]:
    """Single networks, median and quartiles; ``values`` has shape (points, networks)."""
    low, median, high = rounded(quartiles(values))
    return {"networks": rounded(values.T), "low": low, "median": median, "high": high}


def spectra(data: xr.Dataset) -> tuple[list[dict[str, Any]], int]:
    """The measurements for the slider, and how many had to be left out.

    The first, the one before training and the last are always there.
    """
    if "exponents" not in data:
        return [], 0
    values = data["exponents"].values
    labels = [str(label) for label in data["measurement_label"].values]
    kept = np.arange(len(values))
    most = max(2, _MOST_NUMBERS // max(1, values[0].size))
    if len(values) > most:
        chosen = set(np.linspace(0, len(values) - 1, most).round().astype(int).tolist())
        named = {i for i, label in enumerate(labels) if label == "before training"}
        kept = np.array(sorted(chosen | named))
    found = []
    for i in kept:
        moment = data.isel(measurement=int(i))
        leading = quartiles(values[i, :, 0])
        found.append(
            {
                "epoch": int(moment["measurement_epoch"]),
                "steps": int(moment["measurement_floss_steps"]),
                "label": labels[i],
                "leading": words.exponent(float(np.median(values[i, :, 0]))),
                "range": [words.exponent(float(leading[k])) for k in (0, 2)],
                **lines(values[i].T),
            }
        )
    return found, len(values) - len(kept)
