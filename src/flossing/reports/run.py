"""The report of one run."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..plots.series import average, quartiles
from ..runs import directory as files
from ..runs.config import RunConfig
from ..runs.job import phases
from ..runs.summary import Headline, NetworkSummary, headline, summarise
from . import words
from .diagnosis import diagnose
from .page import Page, figure_files
from .provenance import environment_rows
from .words import rounded

_HEADER = [
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
    summaries, main = summarise(data), headline(data)
    moments, left_out = spectra(data)
    footnotes = []
    if left_out:
        footnotes.append(
            f"To keep the page small, {left_out} of {left_out + len(moments)} measurements of the "
            "spectrum are left out of the slider; metrics.nc holds all."
        )
    chosen = [
        files.METRICS, files.EXAMINATION, files.CONFIG, files.ENVIRONMENT, files.WEIGHTS, files.LOG
    ]  # fmt: skip
    return Page(
        kind="run",
        title=directory.resolve().name,
        subtitle=config.describe(),
        notices=notices(config, data),
        summary=sentences(summaries, data),
        header=["network", f"held-out {main.name}", *_reached_header(main), *_HEADER],
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
        diagnosis=diagnose(directory, config, data),
    )


def notices(config: RunConfig, data: xr.Dataset) -> list[str]:
    """What is unfinished, missing or not a number, one sentence each."""
    texts = []
    done, planned = data.sizes.get("epoch", 0), config.epochs
    if "test_loss" not in data:
        texts.append(
            f"Unfinished: {done} of {planned} training epochs are done. Held-out trials are "
            "measured at the end; floss train --resume continues the run."
        )
    main = headline(data).name
    if "loss" not in data:
        texts.append("There is no training in this run yet, so there are no training curves.")
    else:
        names = {"loss": "losses", main: f"values of {main}", "gradient_norm": "gradient norms"}
        for name, word in (names | {"loss": "losses"}).items():
            bad = int((~np.isfinite(data[name].values)).sum())
            if bad:
                texts.append(
                    f"{bad} of {data[name].size} {word} are not finite and are left out of the charts."
                )
    if "exponents" not in data:
        texts.append("The Lyapunov spectrum was not measured.")
    else:
        bad = int((~np.isfinite(data["exponents"].values)).sum())
        if bad:
            texts.append(
                f"{bad} of {data['exponents'].size} exponents are not finite (lost directions are "
                "minus infinity) and are left out of the charts."
            )
    return texts


def sentences(summaries: list[NetworkSummary], data: xr.Dataset) -> list[str]:
    """The main results in words."""
    texts = []
    count = len(summaries)
    networks = "1 network" if count == 1 else f"{count} networks"
    main = headline(data)
    values = [s.test for s in summaries if s.test is not None]
    if values:
        chance = "" if main.chance is None else f" (chance: {words.measured(main.chance, main)})"
        median, low, high = float(np.median(values)), min(values), max(values)
        texts.append(
            f"Held-out {main.name} of {networks}: median {words.measured(median, main)}, "
            f"from {words.measured(low, main)} to {words.measured(high, main)}{chance}."
        )
    if "loss" in data and main.is_fraction:
        reached = [s.epochs_to_95 for s in summaries if s.epochs_to_95 is not None]
        text = f"{len(reached)} of {networks} reached 95 % in {data.sizes['epoch']} epochs"
        texts.append(text + (f", the first at epoch {min(reached)}." if reached else "."))
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
        texts.append(f"Largest Lyapunov exponent λ₁ (median, nats per step): {', '.join(parts)}.")
    return texts


def _row(summary: NetworkSummary, data: xr.Dataset, config: RunConfig) -> list[str]:
    if summary.epochs_to_95 is not None:
        reached = str(summary.epochs_to_95)
    elif "loss" not in data:
        reached = "not trained"
    else:
        reached = "not reached" if data.sizes["epoch"] >= config.epochs else "not yet"
    before = words.exponent(summary.leading_before)
    if summary.leading_before is None and phases(config)[0].kind == "train":
        before = "not flossed"
    main = headline(data)
    return [
        str(summary.network),
        words.measured(summary.test, main),
        *([reached] if main.is_fraction else []),
        words.scientific(summary.gradient_first),
        words.scientific(summary.gradient_last),
        words.exponent(summary.leading_start),
        before,
        words.exponent(summary.leading_end),
        str(summary.skipped),
    ]


def _reached_header(main: Headline) -> list[str]:
    return ["epochs to 95 %"] if main.is_fraction else []


def curves(data: xr.Dataset) -> dict[str, Any]:
    """Headline metric, loss and gradient norm of each network, with median and quartiles."""
    if "loss" not in data:
        return {}
    main = headline(data)
    networks = max(1, data.sizes["realisation"])
    most = int(np.clip(600 * 24 // networks, 100, 600))
    content: dict[str, Any] = {}
    shown = {"metric": (main.name, main.factor), "loss": ("loss", 1)}
    for chart, (name, factor) in (shown | {"gradient_norm": ("gradient_norm", 1)}).items():
        series = average(factor * data[name].values, data["epoch"].values, most)
        content["epoch"] = rounded(series.epoch, 6)
        content["width"] = series.width
        content[chart] = lines(series.values)
    return content | {"headline": described(main)}


def described(main: Headline) -> dict[str, Any]:
    """A headline as the charts know it."""
    chance = None if main.chance is None else main.factor * main.chance
    return {"name": main.name, "label": main.label, "chance": chance}


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
    moments = []
    for i in kept:
        moment = data.isel(measurement=int(i))
        leading = quartiles(values[i, :, 0])
        moments.append(
            {
                "epoch": int(moment["measurement_epoch"]),
                "steps": int(moment["measurement_floss_steps"]),
                "label": labels[i],
                "leading": words.exponent(float(np.median(values[i, :, 0]))),
                "range": [words.exponent(float(leading[k])) for k in (0, 2)],
                **lines(values[i].T),
            }
        )
    return moments, len(values) - len(kept)
