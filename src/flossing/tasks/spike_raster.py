"""Pictures as spike rasters: dark pixels are spikes."""

import numpy as np
from numpy.typing import ArrayLike

from .._checks import as_numbers, check_fraction, check_integer, check_single


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
