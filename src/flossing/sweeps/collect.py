"""The runs of a sweep as one labelled dataset and one table."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..runs.config import to_yaml
from ..runs.record import epochs_to
from ..runs.summary import headline
from ..runs.train import read_metrics
from . import fields, folder
from .grid import Grid

MOMENTS = ("start", "before training", "end")

_BY_EPOCH = ("loss", "gradient_norm", "skipped")
_AT_END = ("test_loss",)
_LABELS = {
    "loss": ("loss on a batch before the update", "nats"),
    "gradient_norm": ("norm of the gradient with respect to the initial state", "nats"),
    "skipped": ("1: update left out because the gradient was not finite", "1"),
    "exponents": ("Lyapunov exponents of the network driven by the task", "nats per step"),
    "test_loss": ("on held-out trials after training", "nats"),
    "epochs_to_95": (
        "first epoch at which the mean of the first metric over ten epochs is 95 % or more; NaN: never",
        "epochs",
    ),
    "status": ("finished, failed or missing", ""),
    "error": ("last line of the error of a failed run", ""),
}


def dataset(path: Path, grid: Grid) -> xr.Dataset:
    """What all runs in the directory of a sweep have written, with the swept fields as dimensions."""
    errors = [folder.error(path / folder.RUNS / run.name).strip() for run in grid.runs]
    datasets = [_read(path / folder.RUNS / run.name) for run in grid.runs]
    status = [
        "finished" if _complete(data) else "failed" if error else "missing"
        for error, data in zip(errors, datasets, strict=True)
    ]
    sizes = {
        "realisation": max(run.config.realisations for run in grid.runs),
        "epoch": max([d.sizes.get("epoch", 0) for d in datasets if d is not None], default=0),
        "exponent": max([d.sizes.get("exponent", 0) for d in datasets if d is not None], default=0),
        "moment": len(MOMENTS),
    }
    coordinates, dims, shape = _swept(grid)
    metrics = _metrics(datasets)
    at_end = (*_AT_END, *(f"test_{name}" for name in metrics))
    inner = {
        **dict.fromkeys((*_BY_EPOCH, *metrics), ("epoch", "realisation")),
        "exponents": ("moment", "realisation", "exponent"),
        **dict.fromkeys((*at_end, "epochs_to_95"), ("realisation",)),
    }
    variables: dict[str, Any] = {}
    for name, own in inner.items():
        extent = [sizes[d] for d in own]
        values = np.stack([_padded(_values(data, name), extent) for data in datasets])
        variables[name] = ((*dims, *own), values.reshape(*shape, *extent), _labels(name, datasets))
    last = [error.splitlines()[-1] if error else "" for error in errors]
    for name, texts in (("status", status), ("error", last)):
        variables[name] = (
            dims,
            np.asarray(texts, dtype=object).reshape(shape),
            _labels(name, datasets),
        )
    coordinates |= {
        "realisation": np.arange(sizes["realisation"]),
        "epoch": np.arange(sizes["epoch"]),
        "moment": np.asarray(MOMENTS, dtype=object),
        "exponent": np.arange(1, sizes["exponent"] + 1),
    }
    attributes = {"title": "flossing sweep", "config": to_yaml(grid.base)}
    attributes["metrics"] = " ".join(metrics if _share_headline(datasets) else ())
    return xr.Dataset(variables, coordinates, attributes)


def _read(run: Path) -> xr.Dataset | None:
    try:
        return read_metrics(run)
    except ValueError:
        return None


def _complete(data: xr.Dataset | None) -> bool:
    return data is not None and "test_loss" in data


def _swept(grid: Grid) -> tuple[dict[str, Any], tuple[str, ...], tuple[int, ...]]:
    """Coordinates, dimensions and shape of the settings."""
    if grid.axes is None:
        columns = {n: ("setting", _coordinate([s[n] for s in grid.settings])) for n in grid.names}
        count = len(grid.settings)
        return {"setting": np.arange(count), **columns}, ("setting",), (count,)
    coordinates = {name: _coordinate(values) for name, values in grid.axes.items()}
    return coordinates, tuple(grid.axes), tuple(len(v) for v in grid.axes.values())


def _coordinate(values: Sequence[Any]) -> np.ndarray:
    """Numbers as numbers (``None`` among them is NaN), all else as text."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.asarray(values)
    if any(isinstance(v, float) for v in values):
        return np.asarray([np.nan if v is None else v for v in values])
    return np.asarray([fields.shown(v) for v in values], dtype=object)


def _metrics(datasets: Sequence[xr.Dataset | None]) -> list[str]:
    """The metrics of all runs; those of the first that has any come first."""
    names = [n for data in datasets if data is not None for n in data.attrs["metrics"].split()]
    return list(dict.fromkeys(names))


def _share_headline(datasets: Sequence[xr.Dataset | None]) -> bool:
    """Whether the number that says most is the same in all runs."""
    return len({headline(data).name for data in datasets if data is not None}) == 1


def _labels(name: str, datasets: Sequence[xr.Dataset | None]) -> dict[str, Any]:
    for data in datasets:
        if name not in _LABELS and data is not None and name in data:
            return dict(data[name].attrs)
    text, unit = _LABELS.get(name, (name, "1"))
    return {"long_name": text} | ({"units": unit} if unit else {})


def _values(data: xr.Dataset | None, name: str) -> np.ndarray | None:
    if data is None:
        return None
    if name == "epochs_to_95":
        main = headline(data)
        if not _complete(data) or not main.is_fraction:
            return None
        reached = epochs_to(data[main.name].values)
        return np.asarray([np.nan if epoch is None else epoch for epoch in reached])
    if name == "exponents":
        return _by_moment(data)
    return data[name].values if name in data else None


def _by_moment(data: xr.Dataset) -> np.ndarray | None:
    if "exponents" not in data:
        return None
    labels = [str(label) for label in data["measurement_label"].values]
    values = data["exponents"].values
    exponents = np.full((len(MOMENTS), *values.shape[1:]), np.nan, values.dtype)
    for i, moment in enumerate(MOMENTS):
        if moment in labels:
            exponents[i] = values[labels.index(moment)]
    return exponents


def _padded(values: np.ndarray | None, extent: Sequence[int]) -> np.ndarray:
    kind = np.float64 if values is None or values.dtype != np.float32 else np.float32
    whole = np.full(extent, np.nan, np.float32 if values is None else kind)
    if values is not None:
        whole[tuple(slice(0, n) for n in values.shape)] = values
    return whole


def table(data: xr.Dataset, grid: Grid) -> Any:
    """One row per network, for pandas: settings, status and the numbers that are compared most."""
    import pandas

    return pandas.DataFrame(list(_rows(data, grid)))


def _rows(data: xr.Dataset, grid: Grid) -> Iterator[dict[str, Any]]:
    dims = ("setting",) if grid.axes is None else tuple(grid.axes)
    if len(dims) > 1:
        flat = data.stack(run=dims, create_index=False)
    else:
        flat = data.rename(dict.fromkeys(dims, "run"))
    for run in grid.runs:
        run_data = flat.isel(run=run.index)
        named = {
            name: fields.shown(v) if isinstance(v, tuple) else v for name, v in run.values.items()
        }
        for r in range(run.config.realisations):
            net = run_data.isel(realisation=r)
            leading = net["exponents"].values[:, 0] if data.sizes["exponent"] else [np.nan] * 3
            norms = net["gradient_norm"].values[:10]
            yield {
                **named,
                "realisation": r,
                "status": str(net["status"].item()),
                **{
                    str(name): float(net[name])
                    for name in data.data_vars
                    if str(name).startswith("test_")
                },
                "epochs_to_95": float(net["epochs_to_95"]),
                "lambda_1_start": float(leading[0]),
                "lambda_1_before_training": float(leading[1]),
                "lambda_1_end": float(leading[2]),
                "gradient_norm_first_10": float(norms.mean()) if norms.size else np.nan,
            }
