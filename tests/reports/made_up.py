"""A sweep of made-up numbers, laid out as sweeps are written."""

import json
from pathlib import Path

import numpy as np
import xarray as xr

from flossing.runs import RunConfig, to_yaml

READING = {"units": "1", "higher_is_better": 1, "chance": 0.5}
MOMENTS = ["start", "before training", "end"]


def made_up_sweep(
    fields: dict[str, list], networks: int = 5, epochs: int = 60, size: int = 12
) -> xr.Dataset:
    """Networks learn unless the delay is long and they are not flossed; the last setting failed,
    the one before it is missing."""
    rng = np.random.default_rng(0)
    shape = [len(values) for values in fields.values()]
    swept = list(fields)
    epoch = np.arange(epochs)
    accuracy = np.full([*shape, epochs, networks], np.nan)
    exponents = np.full([*shape, 3, networks, size], np.nan)
    reached = np.full([*shape, networks], np.nan)
    test = np.full([*shape, networks], np.nan)
    status = np.full(shape, "finished", dtype=object)
    error = np.full(shape, "", dtype=object)
    settings = list(np.ndindex(*shape))
    for index in settings:
        values = {name: fields[name][i] for name, i in zip(swept, index, strict=True)}
        flossed = values.get("schedule") != "none"
        delay = float(values.get("task.delay", 20))
        middle = delay * (0.4 if flossed else 1.5) * np.exp(0.3 * rng.standard_normal(networks))
        rise = 1 / (1 + np.exp(-(epoch[:, None] - middle) / 3))
        accuracy[index] = np.clip(0.5 + 0.49 * rise + 0.01 * rng.standard_normal(rise.shape), 0, 1)
        test[index] = accuracy[index][-1]
        late = np.argmax(accuracy[index] > 0.95, axis=0)
        reached[index] = np.where((accuracy[index] > 0.95).any(0), late, np.nan)
        start = -0.02 * np.arange(1, size + 1) - 0.2
        for m in range(3):
            shift = 0.18 if flossed and m else 0.0
            exponents[index][m] = start + shift + 0.01 * rng.standard_normal((networks, 1))
    for index, word in zip(settings[-2:], ("missing", "failed"), strict=False):
        if len(settings) < 3:
            break
        status[index] = word
        for values in (accuracy, exponents, reached, test):
            values[index] = np.nan
        if word == "failed":
            error[index] = "ValueError: num_steps: a delay of 40 steps needs <more>, got 20."
    by_epoch = (*swept, "epoch", "realisation")
    single = (*swept, "realisation")
    loss = -np.log(np.clip(accuracy - 0.2, 1e-3, 1))
    return xr.Dataset(
        {
            "loss": (by_epoch, loss),
            "accuracy": (by_epoch, accuracy, READING),
            "gradient_norm": (by_epoch, 1e-3 * loss**2),
            "skipped": (by_epoch, np.where(np.isnan(loss), np.nan, 0.0)),
            "exponents": ((*swept, "moment", "realisation", "exponent"), exponents),
            "test_accuracy": (single, test),
            "test_loss": (single, 1 - test),
            "epochs_to_95": (single, reached),
            "status": (tuple(swept), status),
            "error": (tuple(swept), error),
        },
        {
            **fields,
            "realisation": np.arange(networks),
            "epoch": epoch,
            "moment": MOMENTS,
            "exponent": np.arange(1, size + 1),
        },
        {"title": "delays & schedules", "config": to_yaml(RunConfig()), "metrics": "accuracy"},
    )


def made_up_list() -> xr.Dataset:
    """Four settings in a list, in place of a grid of all values."""
    data = made_up_sweep({"setting": list(range(4))})
    return data.assign_coords(
        {
            "task.delay": ("setting", [35, 10, 20, 10]),
            "schedule": ("setting", np.array(["none", "phases", "none", "none"], object)),
        }
    )


def write_sweep(directory: Path, data: xr.Dataset) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    data.to_netcdf(directory / "sweep.nc", engine="h5netcdf")
    (directory / "sweep.csv").write_text("made up\n")
    provenance = {"command": "floss sweep", "versions": {"flossing": "0.1.0"}, "git_commit": None}
    (directory / "sweep.json").write_text(json.dumps(provenance))
    return directory
