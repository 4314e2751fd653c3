"""The ablation of adaptive flossing: its variants, and what is made of them."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from flossing.experiments.lab.data import Data
from flossing.experiments.rate.ablation import VARIANTS, Ablation, Variant
from flossing.floss import Adaptive


@pytest.mark.slow
def test_variants_differ_from_the_defaults_in_their_schedule_alone():
    runs = Ablation().cases()
    assert len({repr(run.schedule) for run in runs.values()}) == len(VARIANTS)
    default = runs[Variant("default")]
    for run in runs.values():
        assert dataclasses.replace(run, schedule=default.schedule) == default


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("default", {}),
        ("k-quarter", {"num_exponents": 10}),
        ("k-all", {"num_exponents": 40}),
        ("often", {"every": 5}),
        ("not-before", {"steps_before": 0}),
        ("window-published", {"window": 55, "warmup": 16, "state_warmup": 0}),
    ],
)
def test_a_variant_is_the_default_with_its_changes(variant, changes):
    """The default floss 35 of 40 exponents, five less than all."""
    default = Adaptive(num_exponents=35, steps_before=200)
    assert Ablation().schedule(variant) == dataclasses.replace(default, **changes)


def numbers(accuracy, seconds):
    return xr.Dataset({"test_accuracy": ("network", accuracy), "processor_seconds": seconds})


@pytest.mark.parametrize(
    ("accuracy", "seconds", "better", "cheaper"),
    [(0.5, 10.0, 0, 0), (0.98, 15.0, 1, 0), (0.98, 11.0, 1, 1), (np.nan, 11.0, np.nan, np.nan)],
)
def test_the_verdict_counts_what_is_better(accuracy, seconds, better, cheaper):
    """Six networks against six: p = 0.002 where all of one are above all of the other."""
    default = np.linspace(0.9, 0.95, 6)
    chosen = Ablation(variants=("none", "default", "joint", "often"))
    data = Data(
        {
            Variant("none"): numbers(np.full(6, 0.5), 10.0),
            Variant("default"): numbers(default, 12.0),
            Variant("joint"): numbers(default - 0.01, 50.0),
            Variant("often"): numbers(accuracy + np.linspace(0, 0.01, 6), seconds),
        }
    )
    claims = chosen.verdict(data)
    measured = [claim.measured for claim in claims]
    np.testing.assert_allclose(measured, [better, cheaper, 0.925, 1.2])
    assert [claim.holds for claim in claims] == [better == 0, cheaper == 0, True, True]
    assert (claims[2].low, claims[3].high) == pytest.approx((0.5, 5.0))
