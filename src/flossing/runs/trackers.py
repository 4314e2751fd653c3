"""Who else is told what a run measures: JSON lines always, TensorBoard and Weights & Biases on demand."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from .._readable import library
from . import directory as files

LINES = "metrics.jsonl"
WANDB_RUN = "wandb-run.txt"
"""Holds the id of the run at Weights & Biases."""

TrackerName = Literal["tensorboard", "wandb"]


class Tracker(Protocol):
    """Gets the numbers of a run as they are measured; anything with these two methods will do."""

    def log(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        """Numbers of one moment.

        Args:
            kind: ``"training"`` (``step`` is the epoch), ``"flossing"`` (the flossing step) or
                ``"spectrum"`` (the epoch).
            step: see ``kind``; counted from 0 over the whole run.
            values: arrays by name; the leading axis is that of the networks.
        """
        ...

    def close(self) -> None:
        """The run has ended or was interrupted."""
        ...


class JsonLines:
    """One line of JSON per epoch, flossing step and spectrum; what is not finite is ``null``.

    Args:
        directory: of the run; the file is ``metrics.jsonl``, and starts empty.
    """

    def __init__(self, directory: Path):
        self._path = directory / LINES
        self._waiting: list[str] = []
        files.write_text(self._path, "")

    def log(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        """Adds a line; lines are written by ``flush``."""
        entry = {"kind": kind, "step": step}
        entry |= {name: _finite(np.asarray(array).tolist()) for name, array in values.items()}
        self._waiting.append(json.dumps(entry, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Writes what is waiting.

        Raises:
            OSError: it cannot be written; it keeps waiting.
        """
        if self._waiting:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(self._waiting))
            self._waiting = []

    def close(self) -> None:
        """Nothing is open."""


class TensorBoard:
    """Event files for TensorBoard in ``tensorboard/``: the median and every network of each number.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed.
    """

    def __init__(self, directory: Path, epochs: int = 0):
        tensorboard = library("tensorboardX", "track")
        self._writer = tensorboard.SummaryWriter(
            str(directory / "tensorboard"), purge_step=epochs or None
        )

    def log(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        """Adds scalars."""
        for name, value in _scalars(kind, values).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class WeightsAndBiases:
    """Weights & Biases; ``WANDB_MODE=offline`` keeps everything in the run's directory.

    A run that is resumed goes on as the same run there, whose name the directory keeps. Where that cannot
    be, it is said.

    Args:
        directory: of the run.
        config: its settings.
        begun: whether the run goes on, rather than starting.
        say: is told what differs from one run that goes on.

    Raises:
        ModuleNotFoundError: wandb is not installed.
    """

    def __init__(
        self,
        directory: Path,
        config: dict[str, Any],
        begun: bool = False,
        say: Callable[[str], object] = lambda text: None,
    ):
        wandb = library("wandb", "track")
        file = directory / WANDB_RUN
        known = file.read_text(encoding="utf-8").strip() if file.is_file() else None
        self._run = wandb.init(
            project="flossing",
            name=directory.name,
            dir=str(directory),
            config=config,
            id=known,
            resume=None if known is None else "allow",
        )
        if not self._run.disabled:
            files.write_text(file, self._run.id)
        if note := _what_differs(begun, known, self._run):
            say(note)
        for kind in ("training", "flossing", "spectrum"):
            self._run.define_metric(f"{kind}/step", hidden=True)
            self._run.define_metric(f"{kind}/*", step_metric=f"{kind}/step")

    def log(self, kind: str, step: int, values: dict[str, np.ndarray]) -> None:
        """Sends scalars."""
        self._run.log({f"{kind}/step": step, **_scalars(kind, values)})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def _what_differs(begun: bool, known: str | None, run: Any) -> str:
    """What is said about a run at Weights & Biases that does not just go on."""
    if not begun or run.disabled:
        return ""
    if known is None:
        return "wandb: this run was not sent there before; it gets what is measured from now on"
    if run.offline:
        return (
            f"wandb: offline, no run can go on; this part is kept on its own, with the same id {run.id}. "
            "Sync the first part, then this one with: wandb sync --append"
        )
    return (
        "" if run.resumed else f"wandb: found no run {run.id} to go on with; began one of that id"
    )


def make_trackers(
    names: Sequence[TrackerName],
    directory: Path,
    config: dict[str, Any],
    epochs: int = 0,
    *,
    begun: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> list[Tracker]:
    """The trackers of these names for a run that has done so many epochs.

    Args:
        names: of the trackers.
        directory: of the run.
        config: its settings.
        epochs: training epochs that are done.
        begun: whether anything is done.
        say: is told what a tracker cannot do.

    Raises:
        ModuleNotFoundError: a library is missing. ValueError: an unknown name.
    """
    makers = {
        "tensorboard": lambda: TensorBoard(directory, epochs),
        "wandb": lambda: WeightsAndBiases(directory, config, begun, say),
    }
    for name in names:
        if name not in makers:
            raise ValueError(f"track: expected one of {list(makers)}, got {name!r}.")
    return [makers[name]() for name in names]


def _scalars(kind: str, values: dict[str, np.ndarray]) -> dict[str, float]:
    """Medians, and the numbers of single networks; of a spectrum only the leading exponent."""
    scalars = {}
    for name, array in values.items():
        array = np.asarray(array, float)
        leading = array.reshape(len(array), -1)[:, 0]
        if np.isfinite(leading).any():
            scalars[f"{kind}/{name}"] = float(
                np.nanmedian(np.where(np.isfinite(leading), leading, np.nan))
            )
        for i, value in enumerate(leading):
            if np.isfinite(value):
                scalars[f"{kind}/{name}/network-{i + 1}"] = float(value)
    return scalars


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
