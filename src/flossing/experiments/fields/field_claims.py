"""Hypotheses of the experiment ``surrogate-fields``: rank correlations, gains, and claims about them."""

from typing import Any

import numpy as np

from ..lab.claims import Claim
from ..lab.statistics import Estimate, over_seeds, rank_correlation

FIXED = ("area one", "height one")
WEIGHTS = "weights flossed"


def flossed_to(target: float) -> str:
    """The name of a condition."""
    return f"flossed to {target:+g}" if target else "flossed to 0"


def correlations(
    fields: dict[str, np.ndarray], noise: dict[str, np.ndarray], settings: Any
) -> dict[str, Estimate]:
    """Rank correlations over seeds, steepnesses and conditions, or within each steepness."""
    accuracy, curl, exponent = (fields[k] for k in ("accuracy", "curl_start", "exponent_start"))
    steep = np.broadcast_to(np.asarray(settings.steepnesses)[:, None], accuracy.shape)
    flossed = slice(len(FIXED), len(FIXED) + len(settings.targets))
    variance, noisy = (noise[k] for k in ("variance_start", "exponent_start"))

    def within(x: np.ndarray, y: np.ndarray) -> float:
        return rank_correlation(x, y, groups=1)

    pairs = {
        "curl, accuracy": (rank_correlation, curl, accuracy),
        "curl, accuracy within a steepness": (within, curl, accuracy),
        "curl after training, accuracy": (rank_correlation, fields["curl_end"], accuracy),
        "exponent, accuracy": (rank_correlation, exponent, accuracy),
        "|exponent|, accuracy": (rank_correlation, np.abs(exponent), accuracy),
        "|exponent|, accuracy within a steepness": (within, np.abs(exponent), accuracy),
        "exponent, curl": (rank_correlation, exponent, curl),
        "exponent, curl within a steepness": (within, exponent, curl),
        "steepness, curl at flossed heights": (
            rank_correlation, steep[..., flossed], curl[..., flossed],
        ),
        "steepness, accuracy at flossed heights": (
            rank_correlation, steep[..., flossed], accuracy[..., flossed],
        ),
        "exponent, variance": (rank_correlation, noisy, variance),
        "steepness, variance": (rank_correlation, steep[..., 0], variance),
        "steepness, exponent of stochastic networks": (rank_correlation, steep[..., 0], noisy),
        "curl of area one, variance": (rank_correlation, curl[..., 0], variance),
        "exponent, variance within a steepness": (within, noisy, variance),
    }  # fmt: skip
    return {name: over_seeds(f, (x, y)) for name, (f, x, y) in pairs.items()}


def gains(accuracy: np.ndarray, names: tuple[str, ...]) -> dict[str, Estimate]:
    """Accuracy gained by flossing to zero, mean over steepnesses and for the best steepness of each."""
    column = {name: accuracy[..., i] for i, name in enumerate(names)}
    zero = flossed_to(0.0)

    def best(x: np.ndarray) -> float:
        return float(x.mean(0).max())

    found = {}
    for new, old in ((zero, FIXED[0]), (zero, FIXED[1]), (WEIGHTS, FIXED[0])):
        pair = (column[new], column[old])
        found[f"gain: {new} - {old}"] = over_seeds(lambda a, b: float((a - b).mean()), pair)
        found[f"gain at best steepness: {new} - {old}"] = over_seeds(
            lambda a, b: best(a) - best(b), pair
        )
    return found


def claims(
    fields: dict[str, np.ndarray], found: dict[str, Estimate], smooth: list[float], names: tuple
) -> list[Claim]:
    """The control, the check of the treatment, and the hypotheses."""
    zero = flossed_to(0.0)
    off = {
        name: float(np.median(np.abs(fields["exponent_start"][..., names.index(name)])))
        for name in (zero, WEIGHTS)
    }
    less, within = found["curl, accuracy"], found["curl, accuracy within a steepness"]
    noisy = found["exponent, variance"]
    found_claims = [
        Claim("smooth networks, true gradient: largest curl / symmetric part", max(smooth), 1e-10),
        Claim(f"heights {zero}: median |first exponent|, other samples", off[zero], 0.02),
        Claim(f"{WEIGHTS}: median |first exponent|, other samples", off[WEIGHTS], 0.02),
        Claim(_text("less curl trains better: rank correlation", less, "upper"), less.high, 0.0),
        Claim(_text("the same within a steepness", within, "upper"), within.high, 0.0),
        Claim(
            _text("gradient noise grows with the exponent: rank correlation", noisy, "lower"),
            noisy.low, 0.0, below=False,
        ),
    ]  # fmt: skip
    for new, old in ((zero, FIXED[0]), (zero, FIXED[1]), (WEIGHTS, FIXED[0])):
        gain = found[f"gain: {new} - {old}"]
        text = _text(f"accuracy gained, {new} against {old}", gain, "lower")
        found_claims.append(Claim(text, gain.low, 0.0, below=False))
    return found_claims


def _text(what: str, estimate: Estimate, end: str) -> str:
    return f"{what} {estimate.value:+.3f}, {end} end of its 95 % interval"
