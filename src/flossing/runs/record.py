"""What a run has measured so far, as numbers with names."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ..tasks.task import Metric, as_metrics
from ..training import Evaluation, FlossMetrics, TrainMetrics

Log = Callable[[str, int, dict[str, np.ndarray]], None]
"""Kind, step and values of one moment; see ``trackers.Tracker``."""


def tell(log: Log, kind: str, first: int, rows: TrainMetrics | FlossMetrics) -> None:
    """Logs the rows of a block, the first of which is number ``first``."""
    numbers = {name: value for name, value in rows._asdict().items() if name != "metrics"}
    if isinstance(rows, TrainMetrics):
        numbers |= {name: metric.value for name, metric in rows.metrics.items()}
    for i in range(len(rows.loss)):
        log(kind, first + i, {name: values[i] for name, values in numbers.items()})


_Variables = tuple[dict[str, Any], dict[str, Any]]
"""Variables and coordinates of a dataset."""
_TAKEN = (*(name for name in TrainMetrics._fields if name != "metrics"), "exponents")


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

    def add_training(self, metrics: TrainMetrics) -> None:
        """Appends a block of epochs."""
        self.training.append(jax.tree.map(np.asarray, metrics))

    def add_flossing(self, metrics: FlossMetrics, epoch: int) -> None:
        """Appends a block of flossing steps that took place at ``epoch``."""
        self.flossing.append(jax.tree.map(np.asarray, metrics))
        self.flossing_epoch += [epoch] * len(metrics.loss)

    def tell(self, log: Log) -> None:
        """Logs everything again: training, flossing, spectra."""
        for kind, blocks in (("training", self.training), ("flossing", self.flossing)):
            first = 0
            for rows in blocks:
                tell(log, kind, first, rows)
                first += len(rows.loss)
        for moment in self.measurements:
            log("spectrum", moment.epoch, {"exponents": moment.exponents})

    def goes_on(self, epochs: int) -> None:
        """What was the end of a run is no end any more, if it is extended to so many epochs."""
        for i, moment in enumerate(self.measurements):
            if moment.label == "end" and moment.epoch < epochs:
                self.measurements[i] = moment._replace(label="during training")

    def measured(self, epoch: int, floss_steps: int) -> bool:
        """Whether there is a measurement of this moment."""
        return any((m.epoch, m.floss_steps) == (epoch, floss_steps) for m in self.measurements)

    def dataset(self, attributes: dict[str, Any]) -> xr.Dataset:
        """Everything, with dimensions, coordinates and units."""
        parts = [self._training(), self._flossing(), self._spectra(), self._evaluation()]
        variables = {name: value for group, _ in parts for name, value in group.items()}
        coordinates = {name: value for _, group in parts for name, value in group.items()}
        rows = self.training[-1].metrics if self.training else {}
        dataset = xr.Dataset(variables, coordinates, {**attributes, "metrics": " ".join(rows)})
        return dataset.assign_coords(realisation=np.arange(dataset.sizes.get("realisation", 0)))

    def _training(self) -> _Variables:
        if not self.training:
            return {}, {}
        rows = joined(self.training)
        described = {
            "loss": (rows.loss, "loss on a batch before the update", "nats"),
            "gradient_norm": (
                rows.gradient_norm,
                "norm of the gradient with respect to the initial state",
                "nats",
            ),
            "skipped": (
                rows.skipped,
                "1: update left out because the gradient was not finite",
                "1",
            ),
        }
        if np.isfinite(rows.watched).any():
            text = "flossing steps of the adaptive schedule before the epoch"
            described["floss_steps"] = rows.floss_steps, text, "1"
            text = "first exponent as the adaptive schedule found it"
            described["watched"] = rows.watched, text, "nats per step"
        by_epoch = ("epoch", "realisation")
        variables = {
            name: (by_epoch, _plain(values), _labels(text, unit))
            for name, (values, text, unit) in described.items()
        }
        for name, metric in rows.metrics.items():
            if name in _TAKEN:
                raise ValueError(f"metrics: the name {name!r} is taken; choose another one.")
            text = f"{name} on a batch before the update"
            variables[name] = by_epoch, metric.value, _labels(text, metric.unit) | _reading(metric)
        return variables, {"epoch": np.arange(len(rows.loss))}

    def _flossing(self) -> _Variables:
        if not self.flossing:
            return {}, {}
        rows = joined(self.flossing)
        by_step = ("flossing_step", "realisation")
        text = "mean squared distance of the exponents from their targets"
        variables: dict[str, Any] = {"flossing_loss": (by_step, rows.loss, _labels(text, "nats^2"))}
        text = "exponents in the flossing window, before the update"
        by_exponent = (*by_step, "flossed_exponent")
        labels = _labels(text, "nats per step")
        variables["flossing_exponents"] = (by_exponent, rows.exponents, labels)
        text = "1: flossing update left out because it was not finite"
        variables["flossing_skipped"] = (by_step, _plain(rows.skipped), _labels(text, "1"))
        return variables, {
            "flossing_step": np.arange(len(rows.loss)),
            "flossing_epoch": ("flossing_step", np.asarray(self.flossing_epoch)),
            "flossed_exponent": np.arange(1, rows.exponents.shape[-1] + 1),
        }

    def _spectra(self) -> _Variables:
        if not self.measurements:
            return {}, {}
        exponents = np.stack([m.exponents for m in self.measurements])
        axes = ("measurement", "realisation", "exponent")
        labels = _labels("Lyapunov exponents of the network driven by the task", "nats per step")
        coordinates: dict[str, Any] = {"exponent": np.arange(1, exponents.shape[-1] + 1)}
        for name in ("epoch", "floss_steps", "label"):
            values = [getattr(m, name) for m in self.measurements]
            coordinates[f"measurement_{name}"] = ("measurement", np.asarray(values))
        return {"exponents": (axes, exponents, labels)}, coordinates

    def _evaluation(self) -> _Variables:
        if self.evaluation is None:
            return {}, {}
        text = "on held-out trials after training"
        variables = {"test_loss": ("realisation", self.evaluation.loss, _labels(text, "nats"))}
        for name, metric in self.evaluation.metrics.items():
            labels = _labels(f"{name} {text}", metric.unit) | _reading(metric)
            variables[f"test_{name}"] = ("realisation", metric.value, labels)
        return variables, {}

    @classmethod
    def from_dataset(cls, data: xr.Dataset, epochs: int, floss_steps: int) -> "Record":
        """The record as it was after so many epochs and flossing steps; what came later is dropped."""
        record = cls()
        if epochs:
            record.training.append(_epochs_of(data, epochs))
        if floss_steps:
            names = ("flossing_loss", "flossing_exponents", "flossing_skipped")
            rows: list[Any] = [data[name].values[:floss_steps] for name in names]
            record.flossing.append(FlossMetrics(*rows[:2], rows[2].astype(bool)))
            record.flossing_epoch = data["flossing_epoch"].values[:floss_steps].tolist()
        for i in range(data.sizes.get("measurement", 0)):
            moment = data.isel(measurement=i)
            measurement = Measurement(
                int(moment["measurement_epoch"]),
                int(moment["measurement_floss_steps"]),
                str(moment["measurement_label"].values),
                moment["exponents"].values,
            )
            if measurement.epoch <= epochs and measurement.floss_steps <= floss_steps:
                record.measurements.append(measurement)
        return record


def _epochs_of(data: xr.Dataset, epochs: int) -> TrainMetrics:
    """The first epochs of a dataset."""
    rows: dict[str, Any] = {
        str(name): variable.values[:epochs] for name, variable in data.data_vars.items()
    }
    nothing: Any = np.zeros(rows["loss"].shape, np.int32)
    metrics = as_metrics(
        {
            name: Metric(
                jnp.asarray(rows[name]),
                bool(data[name].attrs["higher_is_better"]),
                float(data[name].attrs["chance"]) if "chance" in data[name].attrs else None,
                data[name].attrs["units"],
            )
            for name in data.attrs["metrics"].split()
        }
    )
    return TrainMetrics(
        rows["loss"],
        metrics,
        rows["gradient_norm"],
        rows["skipped"].astype(bool),
        rows.get("floss_steps", nothing),
        rows.get("watched", nothing + np.nan),
    )


def joined(blocks: list[Any]) -> Any:
    """Blocks of rows as one."""
    return jax.tree.map(lambda *rows: np.concatenate(rows), *blocks)


def _reading(metric: Metric) -> dict[str, Any]:
    """How a metric is read, as attributes."""
    chance = {} if metric.chance is None else {"chance": float(metric.chance)}
    return {"higher_is_better": int(metric.higher_is_better)} | chance


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
