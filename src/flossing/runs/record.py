"""What a run has measured so far, as numbers with names."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ..training import Evaluation, FlossMetrics, TrainMetrics

Log = Callable[[str, int, dict[str, np.ndarray]], None]
"""Kind, step and values of one moment; see ``trackers.Tracker``."""


def tell(log: Log, kind: str, first: int, rows: TrainMetrics | FlossMetrics) -> None:
    """Logs the rows of a block, the first of which is number ``first``."""
    for i in range(len(rows.loss)):
        log(kind, first + i, {name: getattr(rows, name)[i] for name in rows._fields})


class Measurement(NamedTuple):
    """Spectra of all networks at one moment."""

    epoch: int
    floss_steps: int
    label: str
    exponents: np.ndarray
    """Shape (realisations, k), nats per step."""


@dataclasses.dataclass
class Record:
    """Metrics of a run; ``dataset`` labels them, ``Record.from_dataset`` reads them back."""

    training: list[TrainMetrics] = dataclasses.field(default_factory=list)
    flossing: list[FlossMetrics] = dataclasses.field(default_factory=list)
    flossing_epoch: list[int] = dataclasses.field(default_factory=list)
    measurements: list[Measurement] = dataclasses.field(default_factory=list)
    evaluation: Evaluation | None = None

    def add_training(self, metrics: TrainMetrics, count: int) -> None:
        """Appends the first ``count`` rows of a block."""
        self.training.append(TrainMetrics(*_arrays(np.asarray(x)[:count] for x in metrics)))

    def add_flossing(self, metrics: FlossMetrics, count: int, epoch: int) -> None:
        """Appends the first ``count`` rows of a block that took place at ``epoch``."""
        self.flossing.append(FlossMetrics(*_arrays(np.asarray(x)[:count] for x in metrics)))
        self.flossing_epoch += [epoch] * count

    def tell(self, log: Log) -> None:
        """Logs everything again: training, flossing, spectra."""
        for kind, blocks in (("training", self.training), ("flossing", self.flossing)):
            first = 0
            for rows in blocks:
                tell(log, kind, first, rows)
                first += len(rows.loss)
        for moment in self.measurements:
            log("spectrum", moment.epoch, {"exponents": moment.exponents})

    def measured(self, epoch: int, floss_steps: int) -> bool:
        """Whether there is a measurement of this moment."""
        return any((m.epoch, m.floss_steps) == (epoch, floss_steps) for m in self.measurements)

    @property
    def accuracy(self) -> np.ndarray:
        """Training accuracy so far, shape (epochs, realisations)."""
        return np.concatenate([m.accuracy for m in self.training])

    def dataset(self, attributes: dict[str, Any]) -> xr.Dataset:
        """Everything, with dimensions, coordinates and units."""
        variables: dict[str, Any] = {}
        coordinates: dict[str, Any] = {}
        if self.training:
            rows = [np.concatenate(x) for x in zip(*self.training, strict=True)]
            by_epoch = ("epoch", "realisation")
            described = [
                ("loss", "cross-entropy on a fresh batch before the update", "nats"),
                ("accuracy", "fraction of right answers on a fresh batch before the update", "1"),
                ("gradient_norm", "norm of the gradient with respect to the initial state", "nats"),
                ("skipped", "1: update left out because the gradient was not finite", "1"),
                ("floss_steps", "flossing steps of the adaptive schedule before the epoch", "1"),
                ("watched", "first exponent as the adaptive schedule found it", "nats per step"),
                ("rolled_back", "1: back to the best weights after the epoch", "1"),
            ]
            *_, watched, rolled_back = rows
            absent = set() if np.isfinite(watched).any() else {"floss_steps", "watched"}
            absent |= set() if rolled_back.any() else {"rolled_back"}
            for (name, text, unit), values in zip(described, rows, strict=True):
                if name in absent:
                    continue
                variables[name] = (by_epoch, _plain(values), _labels(text, unit))
            coordinates["epoch"] = np.arange(len(rows[0]))
        if self.flossing:
            loss, exponents, skipped = (np.concatenate(x) for x in zip(*self.flossing, strict=True))
            by_step = ("flossing_step", "realisation")
            variables["flossing_loss"] = (
                by_step,
                loss,
                _labels("mean squared distance of the exponents from their targets", "nats^2"),
            )
            variables["flossing_exponents"] = (
                (*by_step, "flossed_exponent"),
                exponents,
                _labels("exponents in the flossing window, before the update", "nats per step"),
            )
            variables["flossing_skipped"] = (
                by_step,
                _plain(skipped),
                _labels("1: flossing update left out because it was not finite", "1"),
            )
            coordinates["flossing_step"] = np.arange(len(loss))
            coordinates["flossing_epoch"] = ("flossing_step", np.asarray(self.flossing_epoch))
            coordinates["flossed_exponent"] = np.arange(1, exponents.shape[-1] + 1)
        if self.measurements:
            variables["exponents"] = (
                ("measurement", "realisation", "exponent"),
                np.stack([m.exponents for m in self.measurements]),
                _labels("Lyapunov exponents of the network driven by the task", "nats per step"),
            )
            for name in ("epoch", "floss_steps", "label"):
                values = [getattr(m, name) for m in self.measurements]
                coordinates[f"measurement_{name}"] = ("measurement", np.asarray(values))
            coordinates["exponent"] = np.arange(1, self.measurements[0].exponents.shape[-1] + 1)
        if self.evaluation is not None:
            for name, values, unit in zip(
                ("test_loss", "test_accuracy"), self.evaluation, ("nats", "1"), strict=True
            ):
                variables[name] = (
                    "realisation",
                    np.asarray(values),
                    _labels("on held-out trials after training", unit),
                )
        dataset = xr.Dataset(variables, coordinates, attributes)
        return dataset.assign_coords(realisation=np.arange(dataset.sizes.get("realisation", 0)))

    @classmethod
    def from_dataset(cls, data: xr.Dataset, epochs: int, floss_steps: int) -> "Record":
        """The record as it was after so many epochs and flossing steps; what came later is dropped."""
        record = cls()
        if epochs:
            shape = data["loss"].shape
            rows = {"floss_steps": np.zeros(shape, int), "watched": np.full(shape, np.nan)}
            rows["rolled_back"] = np.zeros(shape, bool)
            rows |= {str(name): variable.values for name, variable in data.data_vars.items()}
            record.training.append(
                TrainMetrics(*_arrays(rows[n][:epochs] for n in TrainMetrics._fields))
            )
        if floss_steps:
            names = ("flossing_loss", "flossing_exponents", "flossing_skipped")
            record.flossing.append(
                FlossMetrics(*_arrays(data[n].values[:floss_steps] for n in names))
            )
            record.flossing_epoch = data["flossing_epoch"].values[:floss_steps].tolist()
        for i in range(data.sizes.get("measurement", 0)):
            moment = data.isel(measurement=i)
            found = Measurement(
                int(moment["measurement_epoch"]),
                int(moment["measurement_floss_steps"]),
                str(moment["measurement_label"].values),
                moment["exponents"].values,
            )
            if found.epoch <= epochs and found.floss_steps <= floss_steps:
                record.measurements.append(found)
        return record


def _arrays(values: Iterable[Any]) -> Iterable[Any]:
    return (np.asarray(x) for x in values)


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int8) if values.dtype == bool else values


def _labels(text: str, unit: str) -> dict[str, str]:
    return {"long_name": text, "units": unit}


def epochs_to(accuracy: np.ndarray, level: float = 0.95, width: int = 10) -> list[int | None]:
    """Per network, the first epoch at which the mean of the last ``width`` accuracies is ``level`` or more.

    Args:
        accuracy: shape (epochs, realisations).
        level: accuracy to reach.
        width: epochs averaged.

    Returns:
        One epoch per realisation, ``None`` where it was never reached.
    """
    if len(accuracy) < width:
        return [None] * accuracy.shape[1]
    sums = np.cumsum(np.concatenate([np.zeros((1, accuracy.shape[1])), accuracy]), axis=0)
    reached = (sums[width:] - sums[:-width]) / width >= level
    return [int(r.argmax()) + width - 1 if r.any() else None for r in reached.T]
