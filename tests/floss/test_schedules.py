"""When flossing takes place, and what each schedule makes of its settings."""

import numpy as np
import optax
import pytest

import flossing as fl
from flossing.floss import Schedule


def phases(schedule, epochs):
    return [(p.kind, p.start, p.stop) for p in schedule.phases(epochs)]


def test_the_published_schedule():
    assert phases(fl.Phases.published(), 3001) == [
        ("floss", 0, 500),
        ("train", 0, 100),
        ("floss", 500, 1000),
        ("train", 100, 200),
        ("floss", 1000, 1500),
        ("train", 200, 3001),
    ]


def test_the_published_settings():
    """Of the example call (Engelken 2023): 75 exponents in windows of 55 steps, Adam at 1e-3, no clipping."""
    published = fl.Phases.published()
    flosser = published.flosser(lambda network: network)
    assert (flosser.num_exponents, flosser.window, flosser.warmup) == (75, 55, 16)
    assert (flosser.state_warmup, flosser.targets, flosser.num_starts) == (0, (0.0,), 1)
    gradient = {"a": np.array([3e3, -2e3], np.float32)}
    ours, adam = published.optimiser(), optax.adam(1e-3)
    states = [optimiser.init(gradient) for optimiser in (ours, adam)]
    for scale in (1.0, 0.1, -5.0):
        given = {"a": scale * gradient["a"]}
        (one, states[0]), (two, states[1]) = (
            optimiser.update(given, state)
            for optimiser, state in zip((ours, adam), states, strict=True)
        )
        np.testing.assert_allclose(one["a"], two["a"], rtol=1e-6)


BEFORE = [("floss", 0, 7), ("train", 0, 10)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (fl.Before(steps_before=7), BEFORE),
        (fl.Adaptive(steps_before=7), BEFORE),
        (fl.Joint(steps_before=7), BEFORE),
        (fl.Before(steps_before=0), [("train", 0, 10)]),
        (fl.Heights(), [("train", 0, 10)]),
        (
            fl.Phases(steps_before=0, every=4, max_times=5, steps_between=3),
            [("train", 0, 4), ("floss", 0, 3), ("train", 4, 8), ("floss", 3, 6), ("train", 8, 10)],
        ),
        (
            fl.Phases(steps_before=2, every=4, max_times=1, steps_between=3),
            [("floss", 0, 2), ("train", 0, 4), ("floss", 2, 5), ("train", 4, 10)],
        ),
        # No flossing after the last epoch.
        (fl.Phases(steps_before=0, every=10, steps_between=3), [("train", 0, 10)]),
        (fl.Phases(steps_before=0, every=4, max_times=0), [("train", 0, 10)]),
    ],
)
def test_schedules(schedule, expected):
    assert phases(schedule, 10) == expected


@pytest.mark.parametrize("name", Schedule.members)
@pytest.mark.parametrize("epochs", [1, 4, 5, 8, 23])
def test_every_epoch_and_step_comes_once_and_in_order(name, epochs):
    kind = Schedule.members[name]
    schedule = kind(every=4, max_times=3) if name == "phases" else kind()
    for work in ("train", "floss"):
        numbers = [
            number
            for phase in schedule.phases(epochs)
            if phase.kind == work
            for number in range(phase.start, phase.stop)
        ]
        assert numbers == list(range(epochs if work == "train" else len(numbers)))


def test_a_schedule_hands_its_settings_to_the_flosser_and_the_keeper():
    step = lambda network: network  # noqa: E731
    schedule = fl.Adaptive(
        num_exponents=2,
        targets=(0.1, -0.2),
        penalty="above",
        window=9,
        warmup=3,
        state_warmup=4,
        num_starts=5,
        band=0.7,
        every=6,
        learned=0.2,
    )
    keeper = schedule.control(step, 40, 0.69)
    assert (keeper.horizon, keeper.band, keeper.every) == (40, 0.7, 6)
    assert (keeper.learned, keeper.chance) == (0.2, 0.69)
    flosser = keeper.flosser
    assert flosser.targets == (0.1, -0.2)
    assert (flosser.num_exponents, flosser.penalty, flosser.num_starts) == (2, "above", 5)
    assert (flosser.window, flosser.warmup, flosser.state_warmup) == (9, 3, 4)
    assert flosser.step is step


def test_heights_are_held_at_their_level_over_the_horizon():
    keeper = fl.Heights(level=-1.0, response=12.0, window=30, warmup=8).control(
        lambda network: network, 20, None
    )
    assert isinstance(keeper.flosser, fl.SurrogateHeights)
    assert keeper.flosser.targets == pytest.approx(-0.05)
    assert (keeper.flosser.response, keeper.flosser.window, keeper.flosser.warmup) == (12, 30, 8)


def test_others_need_none():
    for kind in (fl.Before, fl.Phases, fl.Joint):
        assert isinstance(kind().control(lambda network: network, None, None), fl.Flosser)
