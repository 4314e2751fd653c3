"""The report of a sweep: what varies, how each setting did, and what failed."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import words
from .page import Page, figure_files
from .provenance import environment_rows
from .run import lines
from .series import average, quartiles, rounded
from .sweep_data import METRICS, SWEEP, Field, fields_of, never_reached, results_of, statistics

_MOST_NUMBERS = 400_000


def sweep_page(directory: Path, data: xr.Dataset) -> Page:
    """What the page of a sweep says."""
    fields = fields_of(data)
    results, never = results_of(data), never_reached(data)
    settings = [
        _setting(data, fields, results, never, index)
        for index in product(*(range(len(field.values)) for field in fields))
    ]
    title = str(data.attrs.get("title") or directory.resolve().name)
    return Page(
        kind="sweep",
        title=title,
        subtitle="Sweep over "
        + (", ".join(f"{f.name} ({len(f.values)} values)" for f in fields) or "no field"),
        notices=_notices(settings),
        summary=_sentences(settings, data.sizes["realisation"]),
        header=[
            *(field.name for field in fields),
            "held-out accuracy, median",
            "lowest",
            "epochs to 95 %, median",
            "reached 95 %",
            "λ₁ end, median",
            "status",
        ],
        rows=[_row(setting, fields) for setting in settings],
        csv=_csv(settings, fields),
        data={
            "fields": [vars(field) | {"log": field.log} for field in fields],
            "metrics": METRICS,
            "settings": settings,
            "moments": [str(m) for m in data["moment"].values] if "exponents" in data else [],
            **_curves(data, settings),
        },
        config=str(data.attrs.get("config", "not recorded")),
        environment=environment_rows(directory / "sweep.json"),
        folder=directory,
        files=[
            *(directory / name for name in (SWEEP, "sweep.csv", "sweep.json")),
            *figure_files(directory),
            *sorted(directory.glob("runs/*/report.html")),
        ],
    )


def _setting(
    data: xr.Dataset,
    fields: list[Field],
    results: dict[str, np.ndarray],
    never: np.ndarray,
    index: tuple[int, ...],
) -> dict[str, Any]:
    at = {field.name: i for field, i in zip(fields, index, strict=True)}
    values = {f.name: f.values[i] for f, i in zip(fields, index, strict=True)}
    networks: dict[str, Any] = {name: rounded(x[index]) for name, x in results.items()}
    late = zip(networks["epochs_to_95"], never[index], strict=True)
    networks["epochs_to_95"] = ["never" if lost else value for value, lost in late]
    quartile: dict[str, Any] = {}
    for name, x in results.items():
        counted = x[index]
        if name == "epochs_to_95":
            counted = counted[np.isfinite(counted) | never[index]]
        quartile[name] = rounded(statistics(name, counted))
    error = str(data["error"].isel(at).values) if "error" in data else ""
    return {
        "index": list(index),
        "label": ", ".join(f"{name} = {value}" for name, value in values.items()) or "one setting",
        "status": str(data["status"].isel(at).values),
        "error": error,
        "networks": networks,
        "quartiles": quartile,
        "spectra": _spectra(data, at),
    }


def _spectra(data: xr.Dataset, at: dict[str, int]) -> dict[str, Any]:
    """Spectra of one setting by moment; single networks are left out where they would be too many."""
    if "exponents" not in data:
        return {}
    single = data["exponents"].size <= _MOST_NUMBERS
    found = {}
    for moment in data["moment"].values:
        values = data["exponents"].isel(at).sel(moment=moment).transpose("exponent", "realisation")
        if np.isfinite(values.values).any():
            content = lines(values.values)
            content["leading"] = words.exponent(float(quartiles(values.values[0])[1]))
            found[str(moment)] = content if single else content | {"networks": []}
    return found


def _curves(data: xr.Dataset, settings: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and quartiles of the learning curves, put into each setting; epochs and width."""
    names = [name for name in ("accuracy", "loss", "gradient_norm") if name in data]
    if not names or not data.sizes.get("epoch"):
        return {"epoch": [], "width": 1}
    most = int(np.clip(600 * 24 // max(1, len(settings)), 60, 600))
    epoch, width = data["epoch"].values, 1
    shown = epoch
    for setting in settings:
        at = dict(zip(data["status"].dims, setting["index"], strict=True))
        setting["curves"] = {}
        for name in names:
            values = data[name].isel(at).transpose("epoch", "realisation").values
            if not np.isfinite(values).any():
                continue
            series = average(values * (100 if name == "accuracy" else 1), epoch, most)
            shown, width = series.epoch, series.width
            low, median, high = rounded(quartiles(series.values))
            setting["curves"][name] = {"low": low, "median": median, "high": high}
    return {"epoch": rounded(shown, 6), "width": width}


def _counts(settings: list[dict[str, Any]]) -> dict[str, int]:
    found = [setting["status"] for setting in settings]
    return {status: found.count(status) for status in sorted(set(found))}


def _notices(settings: list[dict[str, Any]]) -> list[str]:
    told = {"failed": "Stopped with an error", "missing": "No results yet"}
    return [
        f"{told.get(status, status)}: {count} of {len(settings)} settings."
        for status, count in _counts(settings).items()
        if status != "finished"
    ]


def _sentences(settings: list[dict[str, Any]], networks: int) -> list[str]:
    finished = _counts(settings).get("finished", 0)
    found = [f"{finished} of {len(settings)} settings finished, {networks} networks each."]
    measured = [s for s in settings if s["quartiles"]["test_accuracy"][1] is not None]
    for word, pick in (("highest", max), ("lowest", min)) if len(measured) > 1 else ():
        chosen = pick(measured, key=lambda s: s["quartiles"]["test_accuracy"][1])
        median = chosen["quartiles"]["test_accuracy"][1]
        found.append(f"Median held-out accuracy is {word}, {median:.1f} %, at {chosen['label']}.")
    return found


def _row(setting: dict[str, Any], fields: list[Field]) -> list[str]:
    networks, quartile = setting["networks"], setting["quartiles"]
    values = [str(f.values[i]) for f, i in zip(fields, setting["index"], strict=True)]
    accuracy = [x for x in networks["test_accuracy"] if x is not None]
    reached = [x for x in networks["epochs_to_95"] if x is not None]
    count = sum(x != "never" for x in reached)
    middle, leading = quartile["epochs_to_95"][1], quartile["leading"][1]
    return [
        *values,
        f"{quartile['test_accuracy'][1]:.1f} %" if accuracy else "not measured",
        f"{min(accuracy):.1f} %" if accuracy else "not measured",
        ("never" if middle is None else f"{middle:g}") if reached else "not measured",
        f"{count} of {len(reached)}" if reached else "not measured",
        "not measured" if leading is None else words.exponent(leading),
        ": ".join(text for text in (setting["status"], setting["error"]) if text),
    ]


def _csv(settings: list[dict[str, Any]], fields: list[Field]) -> str:
    rows = []
    for setting in settings:
        values = [f.values[i] for f, i in zip(fields, setting["index"], strict=True)]
        networks = setting["networks"]
        for number, results in enumerate(zip(*networks.values(), strict=True), 1):
            rows.append([*values, setting["status"], number, *results])
    metrics = ["test_accuracy_percent" if name == "test_accuracy" else name for name in METRICS]
    header = [*(field.name for field in fields), "status", "network", *metrics]
    return words.as_csv(header, rows)
