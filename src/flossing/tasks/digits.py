"""Handwritten digits shown pixel by pixel: 1797 real ones that come with scikit-learn."""

import dataclasses

import jax
import numpy as np

from .._checks import check_fraction, check_single, settle_integers
from .._readable import library
from .arrays import Arrays
from .data_set import DataSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(DataSet, name="digits"):
    """Which of ten digits is it? Its 8 x 8 pixels are shown one by one, row after row.

    There are 1797 digits, written by 13 people. The single input is the darkness of a pixel from 0 to 1. The
    output of the last step is compared with the label: cross-entropy in nats, and accuracy. Chance is that
    of the most frequent digit, 183 of 1797. Digits of one person may be in several parts.

    Needs scikit-learn: ``pip install scikit-learn``.

    Source: the test part of Alpaydin & Kaynak 1998 (Optical recognition of handwritten digits, UCI), as in
    scikit-learn; pixel by pixel, also permuted, as in Le, Jaitly & Hinton 2015.
    """

    permuted: bool = False
    """Pixels come in a random order, always the same one."""
    validation: float = 0.1
    """Fraction of the digits that is kept for validation."""
    test: float = 0.2
    """Fraction of the digits that is kept for the test."""
    seed: int = 0
    """Seed of the choice of digits for validation and test."""

    def __post_init__(self) -> None:
        settle_integers(self, seed=(0, 2**32 - 1))
        for name in ("validation", "test"):
            check_fraction(name, getattr(self, name))
            check_single(**{name: getattr(self, name)})

    @property
    def horizon(self) -> int:
        """Steps from the first pixel to the answer."""
        return 64

    def load(self) -> Arrays:
        """Reads the digits.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        library("sklearn", "the task digits", "scikit-learn")
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        if self.permuted:
            order = jax.random.permutation(jax.random.key(0), images.shape[1])
            images = images[:, np.asarray(order)]
        return Arrays(
            images[:, :, None] / 16,
            labels,
            validation=self.validation,
            test=self.test,
            key=jax.random.key(self.seed),
            horizon=self.horizon,
        )

    def describe(self) -> str:
        """A few words for titles."""
        return "digits, permuted pixels" if self.permuted else "digits, pixel by pixel"
