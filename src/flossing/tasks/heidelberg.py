"""Spoken digits and commands as spikes: the SHD and SSC data sets, read from their HDF5 files.

The files hold ``spikes/times`` and ``spikes/units`` (one array per recording, times in seconds), ``labels``
and more in ``extra/``. Recordings are read when they are needed. Nothing is downloaded: where a file is
missing, the error says where it comes from. Times that look as if they had another unit get a warning.

Source: Cramer, Stradmann, Schemmel & Zenke 2022 (Heidelberg spiking data sets).
"""

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._checks import as_numbers, check_choice, check_integer, check_positive, check_single
from ._time_steps import doubt_about, steps_of

UNITS = 700
CLASSES = {"shd": 20, "ssc": 35}
PARTS = {"shd": ("train", "test"), "ssc": ("train", "valid", "test")}
_WEB = "https://zenkelab.org/datasets"


class DamagedFileError(ValueError):
    """A data file whose contents are not what they should be; the message names file and place."""


class Recording(NamedTuple):
    """One recording, as it is in the file but for spikes without a finite time."""

    times: np.ndarray
    """Seconds."""
    units: np.ndarray
    label: int
    dropped: int
    """Spikes that were left out because their time was NaN or infinite."""


class Batch(NamedTuple):
    """Recordings as rasters."""

    spikes: np.ndarray
    """Shape ``(recording, num_steps, units)``, uint8: 1 where a unit fired at least once in a step."""
    labels: np.ndarray


class SpikeFile:
    """One HDF5 file of SHD or SSC, read recording by recording.

    Opening checks the structure; reading checks every recording. Use it as a context manager, or call
    ``close``.

    Args:
        path: the unpacked ``.h5`` file.
        classes: labels are ``0 ... classes - 1``.
        units: input channels.
        checksum: MD5 (32 hexadecimal digits) or SHA-256 (64) that the file must have.

    Raises:
        FileNotFoundError: no such file; the message says how to get it.
        DamagedFileError: not the expected file, or one that is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        classes: int = 20,
        units: int = UNITS,
        checksum: str | None = None,
    ):
        import h5py

        self.path = Path(path)
        self.classes = check_integer("classes", classes, 1)
        self.units = check_integer("units", units, 1)
        self._questioned = False
        if not self.path.is_file():
            raise FileNotFoundError(_how_to_get(self.path))
        if checksum is not None:
            _compare(self.path, checksum)
        with open(self.path, "rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise self._damaged(f"still compressed; unpack it: gunzip {self.path.name}.")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise self._damaged(f"no readable HDF5 file, or cut off ({error}).") from None
        try:
            self.labels = self._structure(h5py)
        except BaseException:
            self._file.close()
            raise

    def _damaged(self, text: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path}: {text}")

    def _structure(self, h5py: Any) -> np.ndarray:
        datasets = {}
        for name in ("spikes/times", "spikes/units", "labels"):
            item = self._file.get(name)
            if not isinstance(item, h5py.Dataset):
                there = sorted(self._file) or "nothing"
                raise self._damaged(f"has no dataset {name!r}; at the top there is {there}.")
            datasets[name] = item
        for name, kinds, wanted in (
            ("spikes/times", "f", "floating-point"),
            ("spikes/units", "ui", "integer"),
        ):
            base = h5py.check_vlen_dtype(datasets[name].dtype)
            if base is None or np.dtype(base).kind not in kinds or datasets[name].ndim != 1:
                raise self._damaged(
                    f"{name}: expected one {wanted} array per recording, got dtype "
                    f"{datasets[name].dtype} and shape {datasets[name].shape}."
                )
        self._float = np.dtype(h5py.check_vlen_dtype(datasets["spikes/times"].dtype))
        labels = datasets["labels"]
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise self._damaged(
                f"labels: expected one integer per recording, got dtype {labels.dtype} "
                f"and shape {labels.shape}."
            )
        counts = {name: len(item) for name, item in datasets.items()}
        if len(set(counts.values())) != 1:
            raise self._damaged(f"different numbers of recordings: {counts}.")
        if not counts["labels"]:
            raise self._damaged("has no recordings.")
        values = self._read(labels, slice(None), "labels").astype(int)
        wrong = np.flatnonzero((values < 0) | (values >= self.classes))
        if wrong.size:
            raise self._damaged(
                f"labels[{wrong[0]}]: expected 0 to {self.classes - 1}, got {values[wrong[0]]}."
            )
        return values

    def _read(self, dataset: Any, where: Any, name: str) -> np.ndarray:
        try:
            return np.asarray(dataset[where])
        except (OSError, RuntimeError) as error:
            raise self._damaged(f"{name}: cannot be read, the file is damaged ({error}).") from None

    def __len__(self) -> int:
        return len(self.labels)

    def __enter__(self) -> "SpikeFile":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def recording(self, index: int) -> Recording:
        """One recording, checked; spikes whose time is NaN or infinite are dropped and counted.

        Raises:
            DamagedFileError: times and units that do not belong together, units out of range, times before 0.
        """
        check_integer("index", index, 0, len(self) - 1)
        times = self._read(self._file["spikes/times"], index, f"spikes/times[{index}]")
        units = self._read(self._file["spikes/units"], index, f"spikes/units[{index}]")
        if times.shape != units.shape:
            raise self._damaged(f"recording {index}: {len(times)} times but {len(units)} units.")
        units = units.astype(np.int64)
        wrong = np.flatnonzero((units < 0) | (units >= self.units))
        if wrong.size:
            raise self._damaged(
                f"spikes/units[{index}]: expected 0 to {self.units - 1}, got {units[wrong[0]]}."
            )
        times = times.astype(float)
        finite = np.isfinite(times)
        if (times[finite] < 0).any():
            raise self._damaged(
                f"spikes/times[{index}]: expected seconds from 0 on, got {times[finite].min():g}."
            )
        return Recording(
            times[finite], units[finite], int(self.labels[index]), int((~finite).sum())
        )

    def read(self, indices: ArrayLike, *, num_steps: int = 350, time_step: float = 2.0) -> Batch:
        """Recordings as rasters of ``num_steps`` steps of ``time_step`` ms; later spikes are left out.

        A spike on the edge of two steps falls into the later one, also where the file's floating-point format
        holds that edge with a rounding error.

        Args:
            indices: numbers of recordings, or a boolean mask with one entry per recording.
            num_steps: of a raster.
            time_step: in ms.

        Warns:
            UserWarning: once for a file whose times cannot be seconds, or from which no spike is seen.
        """
        chosen = self._chosen(indices)
        recordings = self.steps(chosen, num_steps=num_steps, time_step=time_step)
        spikes = np.zeros((len(chosen), num_steps, self.units), np.uint8)
        for row, (steps, units) in enumerate(recordings):
            spikes[row, steps, units] = 1
        return Batch(spikes, self.labels[chosen])

    def steps(
        self, indices: ArrayLike | None = None, *, num_steps: int = 350, time_step: float = 2.0
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Steps and units of the spikes of each recording, as ``Events`` takes them; else as ``read``.

        By default of all recordings.
        """
        num_steps = check_integer("num_steps", num_steps, 1)
        check_positive("time_step", time_step)
        check_single(time_step=time_step)
        chosen = np.arange(len(self)) if indices is None else self._chosen(indices)
        latest, recordings = 0.0, []
        for index in chosen:
            recording = self.recording(int(index))
            steps = steps_of(recording.times, time_step, self._float)
            seen = steps < num_steps
            recordings.append(
                (steps[seen].astype(np.int32), recording.units[seen].astype(np.int32))
            )
            latest = max(latest, float(recording.times.max(initial=0)))
        visible = any(len(steps) for steps, _ in recordings)
        doubt = doubt_about(latest, num_steps * float(time_step), visible)
        if doubt and not self._questioned:
            self._questioned = True
            warnings.warn(f"{self.path}: spikes/times: {doubt}", stacklevel=2)
        return recordings

    def _chosen(self, indices: Any) -> np.ndarray:
        """Numbers of recordings; a mask selects."""
        array = np.asarray(as_numbers("indices", indices))
        if array.dtype == bool:
            if array.shape != (len(self),):
                raise ValueError(
                    f"indices: a mask needs one entry for each of the {len(self)} recordings, "
                    f"got shape {array.shape}."
                )
            return np.flatnonzero(array)
        if array.size and array.dtype.kind not in "ui":
            raise TypeError(f"indices: expected integers or a mask, got dtype {array.dtype}.")
        if array.ndim > 1:
            raise ValueError(f"indices: expected one axis, got shape {array.shape}.")
        return np.atleast_1d(array).astype(int)

    def batches(
        self,
        size: int,
        *,
        num_steps: int = 350,
        time_step: float = 2.0,
        seed: int | None = None,
        indices: ArrayLike | None = None,
    ) -> Iterator[Batch]:
        """All recordings (or those of ``indices``), ``size`` at a time; the last batch may be smaller.

        With ``seed`` (any integer from 0 on) they come in a random order that depends on it.
        """
        check_integer("size", size, 1)
        order = np.arange(len(self)) if indices is None else self._chosen(indices)
        if seed is not None:
            order = np.random.default_rng(check_integer("seed", seed, 0)).permutation(order)
        for start in range(0, len(order), size):
            yield self.read(order[start : start + size], num_steps=num_steps, time_step=time_step)


def open_heidelberg(
    folder: str | Path,
    dataset: str = "shd",
    *,
    checksums: dict[str, str] | None = None,
) -> dict[str, SpikeFile]:
    """The official parts of a data set, each from a file of its own, by name.

    SHD has ``"train"`` and ``"test"`` (two speakers are heard in the test only), SSC has ``"train"``,
    ``"valid"`` and ``"test"``. What validation SHD needs has to come out of ``"train"``.

    Args:
        folder: where ``shd_train.h5`` and the others lie.
        dataset: ``"shd"`` or ``"ssc"``.
        checksums: by part; see ``SpikeFile``.
    """
    check_choice("dataset", dataset, tuple(PARTS))
    sums = checksums or {}
    for part in sums:
        check_choice("checksums", part, PARTS[dataset])
    opened: dict[str, SpikeFile] = {}
    try:
        for part in PARTS[dataset]:
            path = Path(folder) / f"{dataset}_{part}.h5"
            opened[part] = SpikeFile(path, classes=CLASSES[dataset], checksum=sums.get(part))
    except BaseException:
        for file in opened.values():
            file.close()
        raise
    return opened


def _how_to_get(path: Path) -> str:
    names = [f"{d}_{part}.h5" for d, parts in PARTS.items() for part in parts]
    if path.name not in names:
        return f"{path}: no such file; expected one of {', '.join(names)}."
    return (
        f"{path}: no such file. Get {_WEB}/{path.name}.gz, unpack it (gunzip {path.name}.gz) and put it "
        f"there. Its structure is checked when it is opened and every recording when it is read; give "
        f"checksum (MD5 or SHA-256 of the unpacked file) to have all of it checked."
    )


def _compare(path: Path, checksum: str) -> None:
    kinds = {32: "md5", 64: "sha256"}
    wanted = checksum.strip().lower()
    if len(wanted) not in kinds or set(wanted) - set("0123456789abcdef"):
        raise ValueError(
            f"checksum: expected 32 (MD5) or 64 (SHA-256) hexadecimal digits, got {checksum!r}."
        )
    kind = kinds[len(wanted)]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, kind).hexdigest()
    if digest != wanted:
        raise DamagedFileError(f"{path}: its {kind.upper()} is {digest}, expected {wanted}.")
