"""Pictures as spike rasters: dark pixels are spikes. A network can be asked to draw one."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import (
    as_numbers,
    check_fraction,
    check_integer,
    check_key,
    check_positive,
    check_single,
    settle_integers,
)
from .poisson import frozen_poisson
from .spike_losses import squared_distance, van_rossum_distance
from .task import Metric, Task, Trial, refuse_other_length


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeRaster(Task, name="spike-raster"):
    """Output neurons shall draw a picture with their spikes, driven by the same random spikes in every trial.

    Outputs are spikes, one train per row of the picture. The loss is half the squared distance of the trains
    from their targets, the metric their van Rossum distance: squared after a double-exponential filter.

    Source: Gygax & Zenke 2025 (spike-train matching), with their kernel by default.
    """

    num_steps: int = 189
    """Steps per trial: columns of the picture."""
    neurons: int = 200
    """Number of output neurons: rows of the picture."""
    inputs: int = 200
    """Number of input spike trains."""
    rate: float = 50.0
    """Rate of the input spikes in Hz."""
    time_step: float = 1.0
    """Length of a step in ms."""
    image: str | None = None
    """File of a picture, as Matplotlib reads it; without it, a sun over the sea."""
    threshold: float = 0.85
    """Pixels darker than this are spikes; 0 is black and 1 is white."""
    decay_time_constant: float = 10.0
    """Decay time constant of the van Rossum distance, in ms."""
    rise_time_constant: float = 5.0
    """Rise time constant of the van Rossum distance, in ms."""
    amplitude: float | None = 0.2
    """Amplitude of the kernel of the van Rossum distance; none for a kernel whose largest value is 1."""
    seed: int = 0
    """Seed of the input spikes."""

    def __post_init__(self) -> None:
        settle_integers(self, num_steps=1, neurons=1, inputs=1, seed=(0, 2**32 - 1))
        for name in ("rate", "time_step", "decay_time_constant", "rise_time_constant"):
            check_positive(name, getattr(self, name))
            check_single(**{name: getattr(self, name)})
        check_fraction("threshold", self.threshold)
        check_single(threshold=self.threshold)

    @property
    def input_size(self) -> int:
        """Number of input spike trains."""
        return self.inputs

    @property
    def output_size(self) -> int:
        """Number of output neurons."""
        return self.neurons

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """The trial, which is always the same: inputs, and the picture of shape (num_steps, neurons)."""
        check_key("key", key)
        refuse_other_length(num_steps, self.num_steps)
        inputs = frozen_poisson(
            jax.random.key(self.seed),
            num_steps=self.num_steps,
            inputs=self.inputs,
            rate=self.rate,
            time_step=self.time_step,
        )
        return Trial(inputs, jnp.asarray(_target(self)))

    def loss(self, outputs: Float[Array, "trial time neuron"], trial: Trial) -> Float[Array, ""]:
        """Half the squared distance, summed over time, mean over neurons and trials."""
        return squared_distance(outputs, trial.targets)

    def metrics(
        self, outputs: Float[Array, "trial time neuron"], trial: Trial
    ) -> dict[str, Metric]:
        """The van Rossum distance."""
        distance = van_rossum_distance(
            outputs,
            trial.targets,
            decay_time_constant=self.decay_time_constant,
            rise_time_constant=self.rise_time_constant,
            time_step=self.time_step,
            amplitude=self.amplitude,
        )
        return {"van Rossum distance": Metric(distance, higher_is_better=False)}

    def describe(self) -> str:
        """A few words for titles."""
        return f"a picture in spikes, {self.neurons} neurons"


@functools.lru_cache(maxsize=4)
def _target(task: SpikeRaster) -> np.ndarray:
    image: Any = None
    if task.image is not None:
        from matplotlib.image import imread

        image = imread(task.image)
    return spike_raster(
        image, num_steps=task.num_steps, neurons=task.neurons, threshold=task.threshold
    )


def spike_raster(
    image: ArrayLike | None = None,
    *,
    num_steps: int,
    neurons: int,
    threshold: float = 0.85,
) -> np.ndarray:
    """A target raster of shape ``(num_steps, neurons)``: 1 where the picture is darker than ``threshold``.

    Columns of the picture become time steps and rows become neurons, the top row the last neuron, so that a
    plot of neurons against time shows it upright. The picture is resized by taking the nearest pixels.

    Args:
        image: numbers of shape (rows, columns) or (rows, columns, channels), from 0 (black) to 1 (white), or
            integers from 0 to 255, as image libraries read them, or booleans (false is black). Colours are
            averaged; a fourth channel (transparency) lets white shine through. Default:
            ``picture(neurons, num_steps)``.
        num_steps: time steps.
        neurons: number of spike trains.
        threshold: in [0, 1].

    Raises:
        ValueError, TypeError: an image of another shape, with values outside its range, NaN, or integers of 0
            and 1 alone: such a picture has to be of booleans or floats.
    """
    check_integer("num_steps", num_steps, 1)
    check_integer("neurons", neurons, 1)
    check_fraction("threshold", threshold)
    check_single(threshold=threshold)
    grey = (
        picture(neurons, num_steps)
        if image is None
        else _grey(np.asarray(as_numbers("image", image)))
    )
    rows = (np.arange(neurons) + 0.5) * grey.shape[0] / neurons
    columns = (np.arange(num_steps) + 0.5) * grey.shape[1] / num_steps
    small = grey[rows.astype(int)[:, None], columns.astype(int)]
    dark = small < threshold
    return dark[::-1].T.astype(np.float32)


def _grey(image: np.ndarray) -> np.ndarray:
    good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if not good or 0 in image.shape:
        raise ValueError(
            "image: expected shape (rows, columns) or (rows, columns, 1, 3 or 4), "
            f"got {image.shape}."
        )
    top = 255 if image.dtype.kind in "ui" else 1
    if top == 255 and image.max() == 1:
        raise ValueError(
            "image: got integers of 0 and 1, which count as black on a scale to 255; "
            "make them booleans or floats."
        )
    values = image.astype(float) / top
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"image: expected values between 0 and {top}, got others or NaN.")
    if values.ndim == 2:
        return values
    colours = values[..., : min(3, values.shape[2])].mean(-1)
    if values.shape[2] == 4:
        opaque = values[..., 3]
        return opaque * colours + (1 - opaque)
    return colours


def picture(rows: int, columns: int) -> np.ndarray:
    """The default picture: a sun with rays over two ridges and a striped sea, shape ``(rows, columns)``.

    Values from 0 (black) to 1 (white); about a quarter of it is dark.
    """
    check_integer("rows", rows, 1)
    check_integer("columns", columns, 1)
    y = 1 - (np.arange(rows)[:, None] + 0.5) / rows
    x = (np.arange(columns) + 0.5)[None, :] / columns
    image = np.ones((rows, columns))
    across, up = (x - 0.7) * 1.15, y - 0.74
    distance, angle = np.hypot(across, up), np.arctan2(up, across)
    image[distance < 0.09] = 0.1
    rays = (np.cos(12 * angle) > 0.45) & (distance > 0.125) & (distance < 0.2)
    image[rays] = 0.3
    far = 0.46 + 0.10 * np.sin(7 * x + 0.4) + 0.04 * np.sin(19 * x)
    near = 0.36 + 0.12 * np.sin(5 * x + 2.6) + 0.03 * np.sin(23 * x + 1)
    hatched = np.broadcast_to((np.floor(28 * x + 14 * y) % 3) == 0, image.shape)
    image[(y < far) & hatched] = 0.5
    image[np.abs(y - far) < 0.012] = 0.2
    image[y < near] = 1.0
    image[(y < near) & (y > near - 0.07)] = 0.15
    sea = np.broadcast_to(y < 0.2, image.shape)
    image[sea] = 1.0
    waves = np.sin(2 * np.pi * (9 * y + 0.35 * np.sin(11 * x + 30 * y))) > 0.25
    image[sea & waves] = 0.4
    return image
