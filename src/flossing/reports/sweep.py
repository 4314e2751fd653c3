"""The report of a sweep: what varies, how each setting did, and what failed."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..plots.series import average, quartiles
from ..runs.summary import Headline, headline
from ..sweeps.data import (
    METRICS,
    SWEEP,
    Field,
    fields_of,
    has_spectra,
    indices_of,
    is_list,
    labels,
    never_reached,
    results_of,
    statistics,
)
from . import words
from .page import Page, figure_files
from .provenance import environment_rows
from .run import described, lines
from .words import rounded

_MOST_NUMBERS = 400_000
_MOST_ERRORS = 5


def sweep_page(directory: Path, data: xr.Dataset) -> Page:
    """What the page of a sweep says."""
    fields = fields_of(data)
    results, never = results_of(data), never_reached(data)
    main = headline(data)
    reached = ["epochs to 95 %: median (networks)"] if main.is_fraction else []
    settings = [
        _setting(data, position, (fields, index), (results, never))
        for position, index in zip(
            np.ndindex(*data["status"].shape), indices_of(data, fields), strict=True
        )
    ]
    over = ", ".join(f"{f.name} ({len(f.values)} values)" for f in fields) or "no field"
    return Page(
        kind="sweep",
        title=directory.resolve().name,
        subtitle=f"{data.attrs.get('title', 'sweep')} over {over}",
        notices=_notices(settings),
        summary=_sentences(settings, main),
        header=[
            *(field.name for field in fields),
            f"held-out {main.name}: median (worst)",
            *reached,
            "λ₁ at the end: median",
            "status",
        ],
        rows=[_row(setting, fields, main) for setting in settings],
        csv=_csv(settings, fields, main),
        data={
            "fields": [vars(field) | {"log": field.log} for field in fields],
            "metrics": labels(data),
            "headline": described(main),
            "settings": settings,
            "listed": is_list(data),
            "moments": [str(m) for m in data["moment"].values] if has_spectra(data) else [],
            **_curves(data, settings),
        },
        config=str(data.attrs.get("config", "not recorded")),
        environment=environment_rows(directory / "sweep.json", leave_out=("runs",)),
        folder=directory,
        files=[
            *(directory / name for name in (SWEEP, "sweep.csv", "sweep.yaml", "sweep.json")),
            *figure_files(directory),
            *sorted(directory.glob("runs/*/report.html")),
        ],
    )


def _setting(
    data: xr.Dataset,
    position: tuple[int, ...],
    place: tuple[list[Field], tuple[int, ...]],
    numbers: tuple[dict[str, np.ndarray], np.ndarray],
) -> dict[str, Any]:
    results, never = numbers
    at = _at(data, position)
    values = {f.name: f.values[i] for f, i in zip(*place, strict=True)}
    networks: dict[str, Any] = {name: rounded(x[position]) for name, x in results.items()}
    late = zip(networks["epochs_to_95"], never[position], strict=True)
    networks["epochs_to_95"] = ["never" if lost else value for value, lost in late]
    quartile: dict[str, Any] = {}
    for name, x in results.items():
        counted = x[position]
        if name == "epochs_to_95":
            counted = counted[np.isfinite(counted) | never[position]]
        quartile[name] = rounded(statistics(name, counted))
    error = str(data["error"].isel(at).values) if "error" in data else ""
    return {
        "index": list(place[1]),
        "label": ", ".join(f"{name} = {value}" for name, value in values.items()) or "one setting",
        "status": str(data["status"].isel(at).values),
        "error": error,
        "networks": networks,
        "quartiles": quartile,
        "spectra": _spectra(data, at),
    }


def _at(data: xr.Dataset, position: tuple[int, ...]) -> dict[str, int]:
    return {str(name): i for name, i in zip(data["status"].dims, position, strict=True)}


def _spectra(data: xr.Dataset, at: dict[str, int]) -> dict[str, Any]:
    """Spectra of one setting by moment; single networks are left out where they would be too many."""
    if not has_spectra(data):
        return {}
    single = data["exponents"].size <= _MOST_NUMBERS
    spectra = {}
    for moment in data["moment"].values:
        values = data["exponents"].isel(at).sel(moment=moment).transpose("exponent", "realisation")
        if np.isfinite(values.values).any():
            content = lines(values.values)
            content["leading"] = words.exponent(float(quartiles(values.values[0])[1]))
            spectra[str(moment)] = content if single else content | {"networks": []}
    return spectra


def _curves(data: xr.Dataset, settings: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and quartiles of the learning curves, put into each setting; epochs and width."""
    main = headline(data)
    shown_as = {"metric": main.name, "loss": "loss", "gradient_norm": "gradient_norm"}
    names = {chart: name for chart, name in shown_as.items() if name in data}
    if not names or not data.sizes.get("epoch"):
        return {"epoch": [], "width": 1}
    most = int(np.clip(600 * 24 // max(1, len(settings)), 60, 600))
    epoch, width = data["epoch"].values, 1
    shown = epoch
    for setting, position in zip(settings, np.ndindex(*data["status"].shape), strict=True):
        at = _at(data, position)
        setting["curves"] = {}
        for chart, name in names.items():
            values = data[name].isel(at).transpose("epoch", "realisation").values
            if not np.isfinite(values).any():
                continue
            series = average(values * (main.factor if chart == "metric" else 1), epoch, most)
            shown, width = series.epoch, series.width
            low, median, high = rounded(quartiles(series.values))
            setting["curves"][chart] = {"low": low, "median": median, "high": high}
    return {"epoch": rounded(shown, 6), "width": width}


def _counts(settings: list[dict[str, Any]]) -> dict[str, int]:
    statuses = [setting["status"] for setting in settings]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def _notices(settings: list[dict[str, Any]]) -> list[str]:
    told = {"failed": "Stopped with an error", "missing": "No results yet"}
    texts = [
        f"{told.get(status, status)}: {count} of {len(settings)} settings."
        for status, count in _counts(settings).items()
        if status != "finished"
    ]
    errors = [f"{s['label']}: {s['error']}" for s in settings if s["error"]]
    more = len(errors) - _MOST_ERRORS
    return texts + errors[:_MOST_ERRORS] + ([f"{more} more are in the table."] if more > 0 else [])


def _sentences(settings: list[dict[str, Any]], main: Headline) -> list[str]:
    finished = _counts(settings).get("finished", 0)
    networks = sum(x is not None for s in settings for x in s["networks"]["test"])
    texts = [f"{finished} of {len(settings)} settings finished, with {networks} networks in all."]
    measured = [s for s in settings if s["quartiles"]["test"][1] is not None]
    for word, pick in (("highest", max), ("lowest", min)) if len(measured) > 1 else ():
        chosen = pick(measured, key=lambda s: s["quartiles"]["test"][1])
        median = main.show(chosen["quartiles"]["test"][1] / main.factor)
        texts.append(f"Median held-out {main.name} is {word}, {median}, at {chosen['label']}.")
    return texts


def _row(setting: dict[str, Any], fields: list[Field], main: Headline) -> list[str]:
    networks, quartile = setting["networks"], setting["quartiles"]
    values = [str(f.values[i]) for f, i in zip(fields, setting["index"], strict=True)]
    test = [x for x in networks["test"] if x is not None]
    worst = (min if main.higher_is_better else max)(test, default=0)
    reached = [x for x in networks["epochs_to_95"] if x is not None]
    count = sum(x != "never" for x in reached)
    middle, leading = quartile["epochs_to_95"][1], quartile["leading"][1]
    median = quartile["test"][1]
    late = "never" if middle is None else f"{middle:g}"
    return [
        *values,
        f"{main.show(median / main.factor)} ({main.show(worst / main.factor)})"
        if test
        else "not measured",
        *(
            [f"{late} ({count} of {len(reached)})" if reached else "not measured"]
            if main.is_fraction
            else []
        ),
        "not measured" if leading is None else words.exponent(leading),
        ": ".join(text for text in (setting["status"], setting["error"]) if text),
    ]


def _csv(settings: list[dict[str, Any]], fields: list[Field], main: Headline) -> str:
    rows = []
    for setting in settings:
        values = [f.values[i] for f, i in zip(fields, setting["index"], strict=True)]
        networks = setting["networks"]
        for number, results in enumerate(zip(*networks.values(), strict=True), 1):
            rows.append([*values, setting["status"], number, *results])
    test = f"test_{main.name}" + ("_percent" if main.is_fraction else "")
    metrics = [test if name == "test" else name for name in METRICS]
    header = [*(field.name for field in fields), "status", "network", *metrics]
    return words.as_csv(header, rows)
