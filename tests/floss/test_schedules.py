"""When flossing takes place."""

import pytest

from flossing.floss import Flossing, plan


def phases(epochs, flossing=None, **settings):
    flossing = flossing or Flossing(**settings)
    return [(p.kind, p.start, p.stop) for p in plan(flossing, epochs)]


def test_the_published_schedule():
    assert phases(3001, Flossing.published()) == [
        ("floss", 0, 500),
        ("train", 0, 100),
        ("floss", 0, 500),
        ("train", 100, 200),
        ("floss", 0, 500),
        ("train", 200, 3001),
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("none", [("train", 0, 10)]),
        ("before", [("floss", 0, 7), ("train", 0, 10)]),
        ("adaptive", [("floss", 0, 7), ("train", 0, 10)]),
        ("joint", [("floss", 0, 7), ("train", 0, 10)]),
        (
            "between",
            [("train", 0, 4), ("floss", 0, 3), ("train", 4, 8), ("floss", 0, 3), ("train", 8, 10)],
        ),
    ],
)
def test_schedules(schedule, expected):
    settings = dict(schedule=schedule, steps_before=7, every=4, max_times=5, steps_between=3)
    assert phases(10, **settings) == expected


@pytest.mark.parametrize("schedule", ["none", "before", "between", "both", "adaptive", "joint"])
@pytest.mark.parametrize("epochs", [1, 4, 5, 8, 23])
def test_every_epoch_is_trained_once_in_order(schedule, epochs):
    trained = [
        epoch
        for kind, start, stop in phases(epochs, schedule=schedule, every=4, max_times=3)
        if kind == "train"
        for epoch in range(start, stop)
    ]
    assert trained == list(range(epochs))


def test_no_flossing_after_the_last_epoch():
    assert phases(4, schedule="between", every=4, steps_between=3) == [("train", 0, 4)]
