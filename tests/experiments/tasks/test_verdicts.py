"""What the table of sequence tasks says, on made-up numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_1samp

from flossing.experiments.tasks.foretell import QUANTITIES
from flossing.experiments.tasks.learning import TUNING, skill
from flossing.experiments.tasks.sequence_tasks import SequenceTasks
from flossing.experiments.tasks.verdicts import (
    RECOMMENDED,
    Duel,
    Place,
    at_time,
    best_rule,
    correlation,
    duel,
    mean,
    to_level,
)
from flossing.tasks import Metric

EPOCHS = np.arange(10, 101, 10)


def made_up(test, *, tuning=0.5, curve=None, before=0.0, per_epoch=0.1):
    """What is kept of a method whose networks have these skills."""
    test = np.asarray(test, float)
    if curve is None:
        curve = np.outer(EPOCHS / EPOCHS[-1], test)
    return xr.Dataset(
        {
            "test_skill": ("network", test),
            "skill": (("epoch", "network"), np.asarray(curve, float)),
            "tuning_skill": (("rate", "tuning"), np.full((3, TUNING), tuning)),
            "seconds_before": before,
            "seconds_per_epoch": per_epoch,
        },
        {"epoch": EPOCHS},
    )


@pytest.mark.parametrize(
    ("value", "higher", "chance", "expected"),
    [
        (0.75, True, 0.5, 0.5),
        (1.0, True, 0.1, 1.0),
        (0.4, True, 0.5, 0.0),
        (1 / 12, False, 1 / 3, 0.75),
        (5.0, False, 1 / 3, 0.0),
        (np.nan, True, 0.5, 0.0),
    ],
)
def test_skill_is_the_share_of_the_way_from_chance_to_perfection(value, higher, chance, expected):
    metric = Metric(jnp.asarray(value), higher_is_better=higher, chance=chance)
    assert skill(metric) == pytest.approx(expected, abs=1e-6)


def test_the_interval_of_a_mean_is_that_of_students_t():
    values = np.array([0.2, 0.5, 0.4, 0.9, 0.6, 0.3])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(mean(values), [values.mean(), *expected])


def test_the_level_is_reached_when_half_of_the_networks_have_it():
    curve = np.zeros((10, 5))
    for network, epoch in enumerate([20, 90, 40, 100, 60]):
        curve[epoch <= EPOCHS, network] = 0.95
    part = made_up(np.ones(5), curve=curve, before=3.0, per_epoch=0.5)
    assert to_level(part) == (60.0, 3.0 + 30.0)
    curve[:, :3] = 0.5
    assert to_level(made_up(np.ones(5), curve=curve)) == (np.inf, np.inf)


def test_flossing_before_training_counts_as_time():
    curve = np.repeat(EPOCHS[:, None] / 100, 2, axis=1)
    part = made_up([1, 1], curve=curve, before=4.0, per_epoch=0.1)
    np.testing.assert_allclose(at_time(part, 10.0), [0.5, 0.5])  # 60 epochs: mean of 40, 50, 60
    np.testing.assert_array_equal(at_time(part, 4.5), [0, 0])


GOOD, BAD = [0.9, 0.92, 0.95, 0.93], [0.1, 0.2, 0.15, 0.1]


def test_flossing_wins_where_it_is_better_than_every_other_remedy():
    parts = {"clipping": made_up(BAD), "orthogonal": made_up(BAD), "flossed, all": made_up(GOOD)}
    found = duel(parts, ["flossed, all"])
    assert found.verdict == "wins"
    np.testing.assert_allclose(found.over_clipping, np.subtract(GOOD, BAD))
    parts["orthogonal"] = made_up(np.add(GOOD, 0.001))
    assert duel(parts, ["flossed, all"]).verdict == "ties"
    assert duel(parts, ["flossed, all"]).other == "orthogonal"
    parts["orthogonal"] = made_up(np.add(GOOD, 0.05))
    assert duel(parts, ["flossed, all"]).verdict == "loses"


def test_the_recommended_kind_of_flossing_counts_not_the_best_one():
    parts = {"clipping": made_up(BAD), "flossed, all": made_up(np.add(GOOD, 0.04))}
    flossing = ["flossed, all", "flossed, few", "adaptive, all"]
    assert duel(parts, flossing[:1]).flossed == "flossed, all"
    parts |= {"flossed, few": made_up(np.add(GOOD, 0.05)), "adaptive, all": made_up(GOOD)}
    found = duel(parts, flossing)
    assert (found.flossed, found.other) == ("adaptive, all", "clipping")
    np.testing.assert_allclose(found.gain.value, np.mean(GOOD) - np.mean(BAD))


def test_at_equal_time_others_are_trained_for_as_long_as_flossing_takes():
    """Without flossing 200 epochs fit into the time of 100 with it, and then the others learn as much."""
    flossed = made_up(GOOD, before=10.0, per_epoch=0.1)
    bad = made_up(BAD, curve=np.tile(BAD, (10, 1)))
    curve = np.where((4 * EPOCHS > 100)[:, None], GOOD, BAD)
    longer = made_up(GOOD, curve=curve).assign_coords(epoch=4 * EPOCHS)
    parts = {"clipping": bad, "clipping, longer": longer, "flossed, all": flossed}
    assert duel(parts, ["flossed, all"]).verdict == "wins"
    found = duel(parts, ["flossed, all"], "equal time")
    assert found.other == "clipping, longer"
    # 200 epochs are the points 120, 160 and 200; flossing is judged by its last three points, too.
    np.testing.assert_allclose(found.gain.value, np.mean(GOOD) * 0.9 - np.mean(GOOD))
    assert found.verdict == "loses"


@pytest.mark.slow
def test_the_rule_is_chosen_by_tuning_networks_and_judged_by_the_others():
    """One quantity orders the gains, but for two networks of one place; the others are noise."""
    random = np.random.default_rng(0)
    strength = np.linspace(-6, 0, 7)
    quantities, duels = {}, {}
    for place, value in enumerate(strength):
        gain = 0.1 * max(0.0, -3.5 - value)
        numbers = {n: ("network", random.normal(size=TUNING + 4)) for n in QUANTITIES}
        numbers["growth"] = ("network", np.full(TUNING + 4, value))
        at = Place(f"task {place}", "tanh")
        quantities[at] = xr.Dataset(numbers)
        over = np.full(4, gain)
        if place == 3:
            over[:2] = 0.5
        duels[at] = Duel("f", "o", mean(over), over, gain, "ties")
    found = best_rule(quantities, duels)
    assert found.quantity == "growth"
    assert found.on_tuning < -0.8
    assert found.threshold == pytest.approx(4.5)  # between -4 and -5
    assert found.right == pytest.approx(26 / 28)
    # Gains above 0.05: two networks of place 3, and all of places 0 and 1.
    assert found.usual == pytest.approx(18 / 28)
    assert found.correlation.low < found.correlation.value < 0
    # Other places, on which the same quantity is tried: there it says the opposite.
    assert correlation("growth", quantities, duels) == found.correlation
    turned = {
        p: d._replace(over_clipping=quantities[p]["growth"].values[TUNING:])
        for p, d in duels.items()
    }
    assert correlation("growth", quantities, turned).value == pytest.approx(1)


@pytest.mark.parametrize("kinds", [SequenceTasks().kinds, ("gru",), ("lif",)])
def test_each_network_is_trained_by_clipping_and_by_the_kind_of_flossing_that_counts(kinds):
    for place, methods in SequenceTasks(kinds=kinds).places().items():
        assert place.network in kinds
        assert "clipping" in methods
        assert any(name in RECOMMENDED and methods[name].flosses for name in methods)


def test_methods_that_are_asked_for_are_tried_with_every_network():
    asked = SequenceTasks(tasks=("match",), methods=("clipping", "flossed, all"))
    assert {tuple(methods) for methods in asked.places().values()} == {("clipping", "flossed, all")}
