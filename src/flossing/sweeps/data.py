"""What a sweep holds: its fields, and the results of each network, complete or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..plots.series import quartiles
from ..runs.summary import headline

SWEEP = "sweep.nc"

METRICS = {
    "test": "held-out result",
    "epochs_to_95": "epochs to 95 %",
    "final_loss": "loss, mean of the last 10 epochs (nats)",
    "leading": "λ₁ at the end (nats per step)",
    "gradient_first": "|dL/dh₀|, mean of the first 10 epochs",
}
"""What can be shown against a swept field, and its label; that of ``test`` is the headline's."""


def labels(data: xr.Dataset) -> dict[str, str]:
    """``METRICS`` with the label of the headline; without epochs to 95 % where that says nothing."""
    main = headline(data)
    texts = METRICS | {"test": f"held-out {main.label}"}
    if not main.is_fraction:
        del texts["epochs_to_95"]
    return texts


@dataclass(frozen=True)
class Field:
    """One thing that varies in a sweep."""

    name: str
    values: list[Any]
    numeric: bool

    @property
    def log(self) -> bool:
        """Whether a logarithmic axis suits it: positive numbers over more than a factor of 30."""
        return self.numeric and min(self.values) > 0 and max(self.values) > 30 * min(self.values)


def read_sweep(directory: Path) -> xr.Dataset:
    """The dataset of a sweep; raises ``ValueError`` if it is damaged or not that of a sweep."""
    path = directory / SWEEP
    try:
        data = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    missing = [name for name in ("status", "test_loss") if name not in data]
    if missing:
        raise ValueError(f"{path}: expected the results of a sweep, but it has no {missing[0]}.")
    return data


def is_list(data: xr.Dataset) -> bool:
    """Whether settings are listed along one dimension ``setting``, in place of a grid of all values."""
    return data["status"].dims == ("setting",) and len(_columns(data)) > 0


def _columns(data: xr.Dataset) -> list[str]:
    return [str(n) for n, c in data.coords.items() if c.dims == ("setting",) and n != "setting"]


def fields_of(data: xr.Dataset) -> list[Field]:
    """The swept fields, in the order of the dataset; of a list of settings with their distinct values."""
    listed = is_list(data)
    fields = []
    for name in _columns(data) if listed else map(str, data["status"].dims):
        values = data[name].values if name in data.coords else np.arange(data.sizes[name])
        numeric = values.dtype.kind in "iu" or (
            values.dtype.kind == "f" and bool(np.isfinite(values).all())
        )
        shown = _shown(values, numeric)
        distinct = sorted(set(shown)) if numeric else list(dict.fromkeys(shown))
        fields.append(Field(name, distinct if listed else shown, numeric))
    return fields


def _shown(values: np.ndarray, numeric: bool) -> list[Any]:
    if numeric:
        return values.tolist()
    return ["none" if isinstance(v, float) and np.isnan(v) else str(v) for v in values.tolist()]


def indices_of(data: xr.Dataset, fields: list[Field]) -> list[tuple[int, ...]]:
    """For each setting, in the order of ``np.ndindex``, which value of each field it has."""
    if not is_list(data):
        return list(np.ndindex(*data["status"].shape))
    columns = [
        [field.values.index(value) for value in _shown(data[field.name].values, field.numeric)]
        for field in fields
    ]
    return list(zip(*columns, strict=True))


def results_of(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Each metric of each network, shape (swept..., realisations); NaN where missing or never.

    Fractions of right answers are in percent.
    """
    main = headline(data)
    order = (*data["status"].dims, "realisation")
    blank = np.full([data.sizes[name] for name in order], np.nan)

    def get(name: str, *extra: str) -> np.ndarray | None:
        return data[name].transpose(*order, *extra).values if name in data else None

    results = {name: blank for name in METRICS}
    for metric, name, factor in (
        ("test", f"test_{main.name}", main.factor),
        ("epochs_to_95", "epochs_to_95", 1.0),
    ):
        if (values := get(name)) is not None:
            results[metric] = factor * np.asarray(values, dtype=float)
    trained = bool(data.sizes.get("epoch"))
    if trained and (norms := get("gradient_norm", "epoch")) is not None:
        results["gradient_first"] = np.asarray(norms[..., :10], dtype=float).mean(-1)
    if trained and (loss := get("loss", "epoch")) is not None:
        results["final_loss"] = _last(np.asarray(loss, dtype=float), 10)
    if has_spectra(data) and "end" in data["moment"].values:
        leading = data["exponents"].sel(moment="end").isel(exponent=0)
        results["leading"] = np.asarray(leading.transpose(*order).values, dtype=float)
    return results


def has_spectra(data: xr.Dataset) -> bool:
    """Whether any spectrum may be there."""
    return "exponents" in data and data["exponents"].size > 0


def _last(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last ``width`` values before the padding of NaN, along the last axis."""
    known = ~np.isnan(values)
    length = values.shape[-1] - np.argmax(known[..., ::-1], axis=-1)
    index = np.arange(values.shape[-1])
    taken = (index >= length[..., None] - width) & (index < length[..., None])
    total = np.where(taken, values, 0.0).sum(-1)
    return np.where(known.any(-1), total / np.maximum(taken.sum(-1), 1), np.nan)


def never_reached(data: xr.Dataset) -> np.ndarray:
    """Which networks finished without reaching 95 %; shape (swept..., realisations)."""
    results = results_of(data)
    return (
        np.isnan(results["epochs_to_95"])
        & np.isfinite(results["test"])
        & headline(data).is_fraction
    )


def statistics(metric: str, values: np.ndarray) -> np.ndarray:
    """Quartiles of a metric over networks, shape (3, ...)."""
    return quartiles_with_never(values) if metric == "epochs_to_95" else quartiles(values)


def quartiles_with_never(values: np.ndarray) -> np.ndarray:
    """Quartiles of epochs until something happened, where NaN means that it never did.

    Networks that never get there count as later than all others, so the median is NaN (never) when
    half of the networks or more do not get there.

    Args:
        values: shape (..., networks).

    Returns:
        Shape (3, ...).
    """
    late = np.where(np.isnan(values), np.inf, np.asarray(values, dtype=float))
    if not late.shape[-1]:
        return np.full((3, *late.shape[:-1]), np.nan)
    percentiles = np.percentile(late, [25, 50, 75], axis=-1, method="higher")
    return np.where(np.isfinite(percentiles), percentiles, np.nan)
