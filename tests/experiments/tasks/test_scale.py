"""Which networks are flossed in how many directions at scale."""

import dataclasses

from flossing.experiments.tasks.scale import Scale


def flossed(**settings):
    cases = dataclasses.replace(Scale(), **settings).cases()
    return [(c.units, c.exponents) for c in cases if c.exponents is not None]


def test_shares_of_the_exponents_are_flossed_as_far_as_can_be_paid_for():
    assert flossed(sizes=((512, 40, 1), (1024, 40, 1))) == [
        (512, 64), (512, 256), (512, 508), (1024, 128)
    ]  # fmt: skip
    assert flossed(sizes=((4, 40, 1),), shares=(0.1, 1)) == [(4, 1)]
