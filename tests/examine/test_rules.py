"""Each rule on measurements made up to have exactly its fault, and on those of a healthy model."""

import dataclasses

import numpy as np
import pytest
from made_models import N, healthy, spiking

from flossing.examine import RULES, Measured, findings
from flossing.examine.measured import Leaf


def names(measured: Measured) -> list[str]:
    return [finding.name for finding in findings(measured)]


def with_exponents(first: float, measured: Measured | None = None) -> Measured:
    """The first exponent and all behind it, moved."""
    changes = {"exponents": first - 0.001 * np.arange(8)}
    changes["log_singular_values"] = 40 * changes["exponents"]
    return healthy(**changes) if measured is None else spiking(**changes)


half = np.arange(N) < N // 2

PATIENTS = {
    "batch": healthy(rows=4),
    "forgotten": healthy(exponents=np.full(8, -np.inf), log_singular_values=np.full(8, -np.inf)),
    "no input": healthy(response=np.zeros(N)),
    "silent": spiking(rates=np.where(np.arange(N) < 18, 0, 0.02)),
    "dead": healthy(
        states=np.where(half, 0, healthy().states),
        sensitivity=np.where(half, 0, 1.0),
        response=np.where(half, 0, 0.3),
    ),
    "exploding": with_exponents(0.2),
    "vanishing": with_exponents(-0.2),
    "uneven": with_exponents(-0.1),
    "shut gates": healthy(
        kept=np.full(N, 0.97), change=np.full(N, 0.05), response=np.full(N, 0.01)
    ),
    "saturated": healthy(activity=np.where(half, 0.99, healthy().states)),
    "epileptic": spiking(rates=np.full(N, 0.15)),
    "sharp": spiking(open=0.002, within=0.001),
    "no second derivative": spiking(second_derivative=False),
    "slow variable": spiking(slow=("the adaptive threshold", -0.002)),
    "apart": healthy(apart=(("['clock']", 1.0),)),
    "checks": healthy(checked=(("detached-input", "x saves its input."),)),
    "lost": healthy(exponents=np.where(np.arange(8) < 6, healthy().exponents, -np.inf)),
    "few directions": healthy(log_singular_values=-np.arange(8.0) * 3),
}


@pytest.mark.parametrize("name", PATIENTS)
def test_a_patient_is_told_its_fault_and_no_other(name):
    told = set(names(PATIENTS[name]))
    assert name in told
    assert told - {name} <= {"fine"}


def test_an_lstm_that_erases_is_told_so_beside_what_follows_from_it():
    exponents = np.full(8, -3.0)
    patient = healthy(
        kind="lstm",
        leaves=(Leaf(name=".cell", start=0, stop=N),),
        kept=np.full(N, 0.05),
        exponents=exponents,
        log_singular_values=40 * exponents,
    )
    assert names(patient) == ["vanishing", "erased"]


def test_a_wide_surrogate_is_a_fault_where_gradients_explode_only():
    wide = with_exponents(0.2, spiking())
    layer = spiking(open=0.7).spikes
    exploding = type(wide)(**(vars(wide) | {"spikes": layer}))
    assert names(exploding) == ["exploding", "wide"]
    assert names(spiking(open=0.7)) == ["fine"]


@pytest.mark.parametrize(
    ("first", "signal", "told"),
    [
        (-0.2, 0.099, ["vanishing", "unseen"]),
        (-0.2, 0.101, ["vanishing"]),
        (-0.2, 0.499, ["vanishing"]),
        (-0.2, 0.501, ["vanishing", "seen"]),
        (0.1, -0.02, ["uneven", "unseen"]),
        (-0.01, 0.0, ["fine"]),
        (-0.01, 0.6, ["seen", "fine"]),
    ],
)
def test_a_task_whose_targets_are_not_seen_is_one_for_flossing(first, signal, told):
    """Where errors arrive and targets are unseen, the task asks for something else than flossing."""
    exponents = np.full(8, first)
    patient = healthy(exponents=exponents, log_singular_values=np.zeros(8), target_signal=signal)
    assert names(patient) == told


@pytest.mark.parametrize(("kind", "told"), [("gru", True), ("lstm", True), ("tanh", False)])
def test_gated_networks_are_told_of_gates_that_hold(kind, told):
    exponents = np.full(8, -0.2)
    patient = healthy(
        kind=kind, exponents=exponents, log_singular_values=np.zeros(8), target_signal=0.0
    )
    said = {finding.name: finding.advice for finding in findings(patient)}
    assert [f"chrono={patient.horizon}" in said[n] for n in ("vanishing", "unseen")] == [told] * 2


def test_every_rule_has_a_patient():
    tried = set(PATIENTS) | {"erased", "wide", "fine", "unseen", "seen"}
    assert tried == {rule.find.__name__.replace("_", " ") for rule in RULES}


@pytest.mark.parametrize("model", [healthy(), spiking()], ids=["rate", "spiking"])
def test_a_healthy_model_is_told_that_it_is_fine_and_nothing_else(model):
    assert names(model) == ["fine"]


@pytest.mark.parametrize(
    ("first", "name"),
    [
        # 40 steps: 3 decades are 0.1727 nats per step, 1 decade 0.0576.
        (0.1728, "exploding"),
        (0.1726, "uneven"),
        (0.0577, "uneven"),
        (0.0575, "fine"),
        (-0.0575, "fine"),
        (-0.0577, "uneven"),
        (-0.1726, "uneven"),
        (-0.1728, "vanishing"),
    ],
)
def test_limits_are_one_and_three_decades_over_the_horizon(first, name):
    exponents = np.full(8, first)
    patient = healthy(exponents=exponents, log_singular_values=np.zeros(8))
    assert names(patient) == [name]


@pytest.mark.parametrize("name", ["no input", "dead", "saturated"])
def test_of_few_steps_nothing_is_said_of_what_units_never_do(name):
    m = PATIENTS[name]
    few = dataclasses.replace(m, states=m.states[:7], activity=m.activity[:7])
    assert names(few) == ["fine"]


def test_constant_inputs_do_not_tell_whether_the_input_matters():
    assert names(healthy(response=np.zeros(N), inputs_vary=False)) == ["fine"]


@pytest.mark.parametrize(("time_step", "drives"), [(1.0, True), (None, False)])
def test_without_a_time_step_a_rate_is_said_and_what_the_limit_assumes(time_step, drives):
    patient = spiking(rates=np.full(N, 0.15), time_step=time_step)
    (finding,) = (x for x in findings(patient) if x.name == "epileptic")
    assert ("150 Hz: they drive each other up" in finding.sentence) == drives
    assert (finding.sentence == "Neurons spike at 0.15 spikes per step.") != drives
    assert (
        "if steps are of 1 ms (100 Hz is the limit); give time_step=" in finding.evidence
    ) != drives


def test_advice_of_few_steps_leaves_steps_to_count_after_the_warmup():
    short = dataclasses.replace(with_exponents(-0.4), horizon=20, num_steps=16)  # of 21 steps
    (finding,) = (x for x in findings(short) if x.name == "vanishing")
    assert "window=20, state_warmup=0, warmup=5" in finding.code


@pytest.mark.parametrize(
    ("first", "horizon", "code"),
    [
        (
            0.25,
            40,
            "num_exponents=1, window=55, warmup=50, detach_warmup=True",
        ),  # 20 over a window of 80
        (0.02, 400, "num_exponents=19, window=100"),  # 2 over a window of 100
    ],
)
def test_what_grows_fast_is_flossed_through_a_short_window(first, horizon, code):
    patient = dataclasses.replace(with_exponents(first), horizon=horizon, num_steps=100)
    (finding,) = (x for x in findings(patient) if x.name == "exploding")
    assert code in finding.code


def test_findings_say_what_they_measured_and_rest_on_a_source():
    (finding,) = (x for x in findings(with_exponents(-0.2)) if x.name == "vanishing")
    assert finding.sentence == "Gradients vanish: an error shrinks by 10^3 over 40 steps."
    assert "-0.2" in finding.evidence
    assert "Engelken 2023" in finding.source
    assert "fl.Flosser(" in finding.code


def test_a_fault_comes_before_warnings_and_these_before_notes():
    order = ["fault", "warning", "note", "fine"]
    severities = [order.index(rule.severity) for rule in RULES]
    assert severities == sorted(severities)
