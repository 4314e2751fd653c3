"""Deep recurrent convolutional spiking networks on spoken digits (SHD), given its files.

``shd_train.h5`` and ``shd_test.h5`` are looked for in the folder that the environment variable
``FLOSSING_DATA`` names, or else in ``data``; without them the error says where they come from. The test
part is used once, after training. Published accuracies are those on validation data (Gygax & Zenke 2025).
"""

import dataclasses
import os
from collections.abc import Callable

from ...tasks import open_heidelberg
from ..lab.claims import Result
from ..lab.classifier import Architecture, Schedule, SpokenData
from .classification import classify


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    folder: str = ""
    """Of the files; default ``$FLOSSING_DATA`` or ``data``."""
    num_steps: int = 350
    architecture: Architecture = Architecture(
        filters=(16, 32, 64),
        kernels=(21, 7, 7),
        strides=(10, 3, 3),
        recurrent_kernel=5,
        input_rate=12.0,
    )
    schedule: Schedule = Schedule(epochs=30, batch_size=100, learning_rate=0.01)
    seeds: tuple[int, ...] = (1, 2, 3)
    multilayer_seeds: tuple[int, ...] = (1,)
    data_seed: int = 1
    repeats: int = 400
    window: int = 10
    published: tuple[float, float] | None = (0.945, 0.965)
    limit: float = 0.8


QUICK = Settings(
    schedule=Schedule(epochs=3, batch_size=100, learning_rate=0.01), seeds=(1,), repeats=50
)


def run(
    quick: bool = False,
    settings: Settings | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Result:
    """Runs the experiment; the quick version trains one network of each kind for three epochs."""
    settings = settings or (QUICK if quick else Settings())
    files = open_heidelberg(settings.folder or os.environ.get("FLOSSING_DATA", "data"))
    try:
        step = settings.architecture.time_step
        data = SpokenData(files, settings.num_steps, step, settings.data_seed)
        return classify(settings, data, "classification-shd", "SHD", report)
    finally:
        for file in files.values():
            file.close()
