"""Hypotheses of the experiment ``surrogate-fields``: rank correlations, gains, and claims about them."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ..lab.claims import Claim
from ..lab.statistics import Estimate, over_seeds, rank_correlation

FIXED = ("area one", "height one")
WEIGHTS = "weights flossed"


def flossed_to(target: float) -> str:
    """The name of a condition."""
    return f"flossed to {target:+g}" if target else "flossed to 0"


ZERO = flossed_to(0.0)


def within(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation within each steepness."""
    return rank_correlation(x, y, groups=1)


def correlation(name: str, fields: xr.Dataset) -> Estimate:
    """A rank correlation over seeds, steepnesses and conditions, or within each steepness."""
    accuracy, curl, exponent, noisy, variance = (
        fields[name].values
        for name in (
            "accuracy", "curl_start", "exponent_start", "noisy_exponent_start", "variance_start",
        )
    )  # fmt: skip
    statistic, *pair = {
        "curl, accuracy": (rank_correlation, curl, accuracy),
        "curl, accuracy within a steepness": (within, curl, accuracy),
        "|exponent|, accuracy": (rank_correlation, np.abs(exponent), accuracy),
        "exponent, variance": (rank_correlation, noisy, variance),
    }[name]
    return over_seeds(statistic, pair)


def gain(new: str, old: str, fields: xr.Dataset) -> Estimate:
    """Accuracy gained by one condition against another, mean over steepnesses."""
    pair = [fields["accuracy"].sel(condition=name).values for name in (new, old)]
    return over_seeds(lambda a, b: float((a - b).mean()), pair)


def claims(fields: xr.Dataset, smooth: xr.Dataset) -> Iterator[Claim]:
    """The control, the check of the treatment, and the hypotheses.

    Args:
        fields: numbers of all networks, with the seed as leading dimension.
        smooth: those of the control.
    """
    text = "smooth networks, true gradient: largest curl / symmetric part"
    yield Claim.at_most(text, float(smooth["curl"].values.max()), 1e-10)
    for name, what in ((ZERO, f"heights {ZERO}"), (WEIGHTS, WEIGHTS)):
        off = np.median(np.abs(fields["exponent_start"].sel(condition=name).values))
        yield Claim.at_most(f"{what}: median |first exponent|, other samples", float(off), 0.02)
    for name, text in (
        ("curl, accuracy", "less curl trains better: rank correlation"),
        ("curl, accuracy within a steepness", "the same within a steepness"),
    ):
        estimate = correlation(name, fields)
        yield Claim.at_most(f"{text}, upper end of its 95 % interval", estimate.high, 0)
    estimate = correlation("exponent, variance", fields)
    text = (
        "gradient noise grows with the exponent: rank correlation, lower end of its 95 % interval"
    )
    yield Claim.at_least(text, estimate.low, 0)
    for new, old in ((ZERO, FIXED[0]), (ZERO, FIXED[1]), (WEIGHTS, FIXED[0])):
        text = f"accuracy gained, {new} against {old}, lower end of its 95 % interval"
        yield Claim.at_least(text, gain(new, old, fields).low, 0)
