"""Small files in the format of SHD and SSC."""

import h5py
import numpy as np


def write(path, recordings=6, classes=20, seed=0, extra=True, spikes=60):
    """Recordings whose spikes lie in a band of units that depends on the label."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(recordings) % classes)
    times, units = [], []
    for label in labels:
        moments = np.sort(rng.uniform(0, 0.7, spikes))
        band = 700 * label / classes + rng.uniform(0, 700 / classes, spikes)
        times.append(moments.astype(np.float16))
        units.append(band.astype(np.uint16))
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        for name, arrays in (("times", times), ("units", units)):
            kind = h5py.vlen_dtype(arrays[0].dtype)
            dataset = group.create_dataset(name, (recordings,), dtype=kind)
            for i, array in enumerate(arrays):
                dataset[i] = array
        file["labels"] = labels.astype(np.uint16)
        if extra:
            file["extra/speaker"] = rng.integers(0, 12, recordings).astype(np.uint16)
            file["extra/keys"] = [b"zero", b"one"]
    return times, units, labels


def replace(path, name, arrays, dtype):
    """Puts other arrays in the place of a dataset with one array per recording."""
    with h5py.File(path, "r+") as file:
        del file[name]
        dataset = file.create_dataset(name, (len(arrays),), dtype=h5py.vlen_dtype(dtype))
        for i, array in enumerate(arrays):
            dataset[i] = np.asarray(array, dtype)


def change(path, name, data=None):
    """Removes a dataset, and writes another if there is one."""
    with h5py.File(path, "r+") as file:
        del file[name]
        if data is not None:
            file[name] = data
