"""SHD and SSC files: what is read, and what damaged files are told."""

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from spoken_files import change, replace, write

from flossing.tasks import DamagedFileError, SpikeFile, open_heidelberg


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shd_train.h5"


def test_recordings_are_what_was_written(path):
    times, units, labels = write(path)
    with SpikeFile(path) as file:
        assert len(file) == 6
        for i in range(6):
            one = file.recording(i)
            np.testing.assert_allclose(one.times, times[i])
            np.testing.assert_array_equal(one.units, units[i])
            assert (one.label, one.dropped) == (labels[i], 0)


def test_rasters_have_a_one_where_a_unit_fires_within_a_step(path):
    times, units, labels = write(path)
    with SpikeFile(path) as file:
        batch = file.read([4, 1], num_steps=100, time_step=2.0)
    assert batch.spikes.shape == (2, 100, 700)
    np.testing.assert_array_equal(batch.labels, labels[[4, 1]])
    for row, index in enumerate((4, 1)):
        expected = np.zeros((100, 700))
        # The last edge that is not later, both in the half precision of the file.
        edges = (np.arange(400) * 2 / 1000).astype(np.float16)
        for t, u in zip(times[index], units[index], strict=True):
            step = max(k for k in range(400) if edges[k] <= t)
            if step < 100:
                expected[step, u] = 1
        np.testing.assert_array_equal(batch.spikes[row], expected)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "lists", "bool", "lists of bool"])
def test_recordings_are_chosen_by_numbers_of_any_dtype_or_by_a_mask(dtype, path):
    _, _, labels = write(path, recordings=7)
    numbers = np.array([1, 4, 5])
    mask = np.isin(np.arange(7), numbers)
    chosen = {"lists": numbers.tolist(), "bool": mask, "lists of bool": mask.tolist()}
    indices = chosen[dtype] if dtype in chosen else numbers.astype(dtype)
    with SpikeFile(path) as file:
        expected = file.read(numbers)
        np.testing.assert_array_equal(expected.labels, labels[numbers])
        for found in (file.read(indices), *file.batches(3, indices=indices)):
            np.testing.assert_array_equal(found.labels, expected.labels)
            np.testing.assert_array_equal(found.spikes, expected.spikes)
        assert file.read(np.int16(3)).labels == labels[3]


def test_no_recording_gives_no_raster(path):
    write(path)
    with SpikeFile(path) as file:
        for nothing in ([], np.zeros(6, bool)):
            assert file.read(nothing, num_steps=9).spikes.shape == (0, 9, 700)
            assert list(file.batches(2, indices=nothing)) == []


def test_a_recording_without_spikes_is_an_empty_raster(path):
    write(path)
    _times(path, [[]] * 6)
    _units(path, [[]] * 6)
    with SpikeFile(path) as file:
        assert not file.read([0, 3]).spikes.any()


def test_seeds_of_any_size_give_orders_of_their_own(path, untyped):
    write(path, recordings=40)
    with SpikeFile(path) as file:

        def order(seed):
            return tuple(next(file.batches(40, num_steps=1, time_step=700.0, seed=seed)).labels)

        seeds = [0, 1, 2**31, 2**32, 2**32 + 1, 2**63, 2**64, 2**64 + 1, 2**200]
        assert len({order(seed) for seed in seeds}) == len(seeds)
        assert order(np.uint64(2**63)) == order(2**63)
        assert order(np.int8(1)) == order(1)


def test_spikes_without_a_finite_time_are_dropped_and_counted(path):
    times, units, _ = write(path)
    spoiled = [t.copy() for t in times]
    spoiled[2][[0, 5]] = np.nan, np.inf
    replace(path, "spikes/times", spoiled, np.float16)
    with SpikeFile(path) as file:
        one = file.recording(2)
        assert one.dropped == 2
        keep = np.isfinite(spoiled[2])
        np.testing.assert_array_equal(one.units, units[2][keep])
        assert np.isfinite(file.read(np.arange(6)).spikes).all()


def test_batches_cover_everything_once_in_an_order_of_their_seed(path):
    _, _, labels = write(path, recordings=7)
    with SpikeFile(path) as file:
        plain = list(file.batches(3, num_steps=10))
        assert [len(b.labels) for b in plain] == [3, 3, 1]
        np.testing.assert_array_equal(np.concatenate([b.labels for b in plain]), labels)

        def order(seed):
            return np.concatenate([b.spikes.argmax(1).sum(1) for b in file.batches(3, seed=seed)])

        np.testing.assert_array_equal(order(1), order(1))
        assert not np.array_equal(order(1), order(2))
        some = list(file.batches(2, num_steps=10, indices=[5, 0]))
        np.testing.assert_array_equal(some[0].labels, labels[[5, 0]])


def test_official_parts_stay_apart(tmp_path):
    for seed, part in enumerate(("train", "test")):
        write(tmp_path / f"shd_{part}.h5", recordings=4 + seed, seed=seed)
    parts = open_heidelberg(tmp_path)
    assert {name: len(file) for name, file in parts.items()} == {"train": 4, "test": 5}
    for file in parts.values():
        file.close()
    for seed, part in enumerate(("train", "valid", "test")):
        write(tmp_path / f"ssc_{part}.h5", recordings=40, classes=35, seed=seed)
    parts = open_heidelberg(tmp_path, "ssc")
    assert list(parts) == ["train", "valid", "test"]
    assert max(parts["train"].labels) == 34
    for file in parts.values():
        file.close()


def test_checksums(path):
    write(path)
    for kind in ("md5", "sha256"):
        right = hashlib.new(kind, path.read_bytes()).hexdigest()
        SpikeFile(path, checksum=right.upper()).close()
        with pytest.raises(DamagedFileError, match=f"its {kind.upper()} is {right}, expected 000"):
            SpikeFile(path, checksum="0" * len(right))
    with pytest.raises(ValueError, match="checksum: expected 32"):
        SpikeFile(path, checksum="abc")


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        open_heidelberg(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'shd_train.h5'}: no such file. Get https://")
    assert "shd_train.h5.gz, unpack it (gunzip shd_train.h5.gz)" in message
    assert "checksum" in message
    with pytest.raises(
        FileNotFoundError, match=r"expected one of shd_train\.h5, shd_test\.h5, ssc_"
    ):
        SpikeFile(tmp_path / "digits.h5")


def _times(path, times):
    replace(path, "spikes/times", times, np.float16)


def _units(path, units, dtype=np.uint16):
    replace(path, "spikes/units", units, dtype)


FINE = [[0.1, 0.2]] * 6
DAMAGE = {
    "compressed": (
        lambda p: p.write_bytes(gzip.compress(p.read_bytes())),
        "still compressed; unpack it: gunzip shd_train.h5.",
    ),
    "cut off": (
        lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        "no readable HDF5 file, or cut off",
    ),
    "another kind of file": (lambda p: p.write_text("digits"), "no readable HDF5 file"),
    "empty": (lambda p: p.write_bytes(b""), "no readable HDF5 file"),
    "no spikes": (
        lambda p: change(p, "spikes"),
        r"has no dataset 'spikes/times'; at the top there is \['extra', 'labels'\].",
    ),
    "no units": (lambda p: change(p, "spikes/units"), "has no dataset 'spikes/units'"),
    "no labels": (lambda p: change(p, "labels"), "has no dataset 'labels'"),
    "a group for a dataset": (
        lambda p: change(p, "labels") or change_to_group(p, "labels"),
        "has no dataset 'labels'",
    ),
    "times as a matrix": (
        lambda p: change(p, "spikes/times", np.zeros((6, 4))),
        r"spikes/times: expected one floating-point array per recording, got dtype float64",
    ),
    "times as integers": (
        lambda p: replace(p, "spikes/times", [[1, 2]] * 6, np.int32),
        "spikes/times: expected one floating-point array per recording",
    ),
    "units as numbers with a point": (
        lambda p: replace(p, "spikes/units", FINE, np.float32),
        "spikes/units: expected one integer array per recording",
    ),
    "labels as text": (
        lambda p: change(p, "labels", [b"zero"] * 6),
        "labels: expected one integer per recording",
    ),
    "a label too many": (
        lambda p: change(p, "labels", np.zeros(7, np.uint16)),
        "different numbers of recordings: .*'labels': 7",
    ),
    "a label out of range": (
        lambda p: change(p, "labels", np.asarray([0, 1, 20, 3, 4, 5])),
        r"labels\[2\]: expected 0 to 19, got 20.",
    ),
    "a negative label": (
        lambda p: change(p, "labels", np.asarray([0, -1, 2, 3, 4, 5])),
        r"labels\[1\]: expected 0 to 19, got -1.",
    ),
    "no recordings": (
        lambda p: (_times(p, []), _units(p, []), change(p, "labels", np.zeros(0, np.uint16))),
        "has no recordings.",
    ),
    "fewer units than times": (
        lambda p: (_times(p, FINE), _units(p, [[1, 2]] * 3 + [[1]] + [[1, 2]] * 2)),
        "recording 3: 2 times but 1 units.",
    ),
    "a unit out of range": (
        lambda p: (_times(p, FINE), _units(p, [[1, 2]] * 5 + [[1, 700]])),
        r"spikes/units\[5\]: expected 0 to 699, got 700.",
    ),
    "a negative unit": (
        lambda p: (_times(p, FINE), _units(p, [[1, 2], [-3, 2]] + [[1, 2]] * 4, np.int32)),
        r"spikes/units\[1\]: expected 0 to 699, got -3.",
    ),
    "a negative time": (
        lambda p: (_times(p, [[0.1, -0.5], *FINE[1:]]), _units(p, [[1, 2]] * 6)),
        r"spikes/times\[0\]: expected seconds from 0 on, got -0.5.",
    ),
}


def change_to_group(path, name):
    import h5py

    with h5py.File(path, "r+") as file:
        file.create_group(name)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_get_a_clear_error(damage, path):
    write(path)
    spoil, message = DAMAGE[damage]
    spoil(path)
    with pytest.raises(DamagedFileError, match=message) as caught, SpikeFile(path) as file:
        file.read(np.arange(len(file)))
    assert str(caught.value).startswith(f"{path}: ")
    path.unlink()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.recording(6), ValueError, "index: expected at most 5, got 6."),
        (lambda f: f.read([0], num_steps=0), ValueError, "num_steps: expected at least 1, got 0."),
        (lambda f: f.read([0], time_step=0.0), ValueError, "time_step: expected a finite positive"),
        (lambda f: next(f.batches(0)), ValueError, "size: expected at least 1, got 0."),
        (lambda f: next(f.batches(1, seed=-1)), ValueError, "seed: expected at least 0, got -1."),
        (lambda f: next(f.batches(1, seed=0.5)), TypeError, "seed: expected an integer, got 0.5"),
        (lambda f: next(f.batches(1, seed=True)), TypeError, "seed: expected an integer, got True"),
        (lambda f: f.read([0.0, 1.7]), TypeError, "indices: expected integers or a mask, got"),
        (
            lambda f: f.read([True, False]),
            ValueError,
            r"indices: a mask .* 6 recordings, .* \(2,\)",
        ),
        (lambda f: f.read(True), ValueError, r"indices: a mask needs one entry .* shape \(\)"),
        (lambda f: f.read([[0, 1]]), ValueError, r"indices: expected one axis, got shape \(1, 2\)"),
        (lambda f: f.read([[0, 1], [2]]), TypeError, "indices: expected an array of real numbers"),
        (lambda f: f.read([-1]), ValueError, "index: expected at least 0, got -1."),
        (lambda f: f.read(0, time_step=np.ones(2)), ValueError, "time_step: expected one number"),
    ],
)
def test_wrong_arguments(call, error, message, path, untyped):
    write(path)
    with SpikeFile(path) as file, pytest.raises(error, match=message):
        call(file)


def test_wrong_names(tmp_path):
    with pytest.raises(ValueError, match=r"dataset: expected one of 'shd', 'ssc', got 'mnist'\."):
        open_heidelberg(tmp_path, "mnist")
    with pytest.raises(
        ValueError, match=r"checksums: expected one of 'train', 'test', got 'valid'\."
    ):
        open_heidelberg(tmp_path, checksums={"valid": "0" * 32})
