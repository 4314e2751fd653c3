"""What came out of a run, one line per network, and what a run is in one line."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from .record import epochs_to


class NetworkSummary(NamedTuple):
    """One network of a run; ``None`` where it was not measured."""

    network: int
    """Number, counted from 1."""
    test_accuracy: float | None
    """Fraction of right answers on held-out trials."""
    epochs_to_95: int | None
    """First epoch with a mean accuracy of 95 % or more over 10 epochs; ``None``: not reached."""
    gradient_first: float | None
    """Mean norm of dL/dh_0 over the first 10 epochs."""
    gradient_last: float | None
    """The same over the last 10 epochs."""
    leading_start: float | None
    """Largest Lyapunov exponent at the start, in nats per step."""
    leading_before: float | None
    """After flossing, before training."""
    leading_end: float | None
    """After training."""
    skipped: int
    """Updates left out because the gradient was not finite."""


def summarise(data: xr.Dataset) -> list[NetworkSummary]:
    """One summary per network of a run's dataset, finished or not."""
    count = data.sizes.get("realisation", 0)
    trained = "accuracy" in data
    reached = epochs_to(data["accuracy"].values) if trained else [None] * count
    moments = [leading(data, label) for label in ("start", "before training", "end")]
    summaries = []
    for r in range(count):
        norms = data["gradient_norm"].values[:, r] if trained else None
        skipped = int(data["skipped"].values[:, r].sum()) if trained else 0
        if "flossing_skipped" in data:
            skipped += int(data["flossing_skipped"].values[:, r].sum())
        summaries.append(
            NetworkSummary(
                r + 1,
                float(data["test_accuracy"][r]) if "test_accuracy" in data else None,
                reached[r],
                None if norms is None else float(norms[:10].mean()),
                None if norms is None else float(norms[-10:].mean()),
                *(None if values is None else float(values[r]) for values in moments),
                skipped,
            )
        )
    return summaries


def leading(data: xr.Dataset, label: str) -> np.ndarray | None:
    """Largest exponent of each network at the first measurement of that label; shape (realisations,)."""
    if "exponents" not in data or label not in data["measurement_label"].values:
        return None
    index = data["measurement_label"].values.tolist().index(label)
    return data["exponents"].values[index, :, 0]
