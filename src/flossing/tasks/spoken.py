"""Spoken digits and commands as a task (SHD, SSC)."""

import contextlib
import dataclasses

import jax
import numpy as np

from .._checks import check_choice, check_fraction, check_positive, check_single, settle_integers
from .arrays import Arrays
from .data_set import DataSet
from .events import Events
from .heidelberg import CLASSES, PARTS, UNITS, open_heidelberg
from .losses import READOUTS


@dataclasses.dataclass(frozen=True)
class Heidelberg(DataSet, name="heidelberg"):
    """Which digit or command was spoken? Spikes of 700 channels of a model of the inner ear, SHD or SSC.

    The official test part is the test part. SSC has a validation part of its own; for SHD it is taken from
    the training part. Spikes are kept in memory as events and become rasters batch by batch. The class is
    asked for once per trial.

    Source: Cramer, Stradmann, Schemmel & Zenke 2022 (Heidelberg spiking data sets).
    """

    folder: str = "data"
    """Where the unpacked files lie (shd_train.h5 and the others)."""
    _: dataclasses.KW_ONLY
    dataset: str = "shd"
    """Digits in two languages (shd, 20 classes) or commands (ssc, 35 classes)."""
    num_steps: int = 350
    """Steps per trial; later spikes are left out."""
    time_step: float = 2.0
    """Length of a step in ms."""
    readout: str = "max"
    """What the class is read from: the largest output over time (max), its mean, or the last one."""
    validation: float | None = None
    """Fraction of the training part that is kept for validation; SHD only, there a tenth by default."""
    seed: int = 0
    """Seed of the choice of recordings for validation."""

    def __post_init__(self) -> None:
        settle_integers(self, num_steps=1, seed=(0, 2**32 - 1))
        check_choice("dataset", self.dataset, tuple(PARTS))
        check_choice("readout", self.readout, READOUTS)
        check_positive("time_step", self.time_step)
        check_single(time_step=self.time_step)
        if self.validation is None:
            return
        check_fraction("validation", self.validation)
        check_single(validation=self.validation)
        if "valid" in PARTS[self.dataset]:
            raise ValueError(
                f"validation: {self.dataset} has a validation part of its own, got {self.validation}; "
                "leave it out."
            )

    @property
    def input_size(self) -> int:
        """Number of channels: 700."""
        return UNITS

    @property
    def output_size(self) -> int:
        """Number of classes."""
        return CLASSES[self.dataset]

    def load(self) -> Arrays:
        """Reads all recordings.

        Raises:
            FileNotFoundError: a missing file; the message says where it comes from.
            DamagedFileError: a file that is not what it should be.
            ValueError: more spikes than fit into 4 GiB.
        """
        files = open_heidelberg(self.folder, self.dataset)
        recordings, labels, numbers, start = [], [], {}, 0
        with contextlib.ExitStack() as opened:
            for part, file in files.items():
                opened.enter_context(file)
                recordings += file.steps(num_steps=self.num_steps, time_step=self.time_step)
                labels.append(file.labels)
                numbers[part] = np.arange(start, start + len(file))
                start += len(file)
        key = jax.random.key(self.seed)
        held = numbers.get("valid")
        if held is None:
            train = np.asarray(jax.random.permutation(key, numbers["train"]))
            share = 0.1 if self.validation is None else self.validation
            held = train[: round(share * len(train))]
        return Arrays(
            Events(recordings, num_units=UNITS, num_steps=self.num_steps),
            np.concatenate(labels),
            output_size=self.output_size,
            readout=self.readout,
            validation=held,
            test=numbers["test"],
        )

    def describe(self) -> str:
        """A few words for titles."""
        return {"shd": "spoken digits", "ssc": "spoken commands"}[self.dataset]
