"""What users read, draw and keep of an examination."""

import dataclasses
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_models import healthy, spiking

from flossing.examine import RULES, Report, findings


def report(measured):
    return Report(measured, tuple(findings(measured)))


SICK = report(healthy(exponents=np.linspace(-0.2, -0.3, 8), apart=(("['clock']", 1.0),)))


def test_repr_has_ten_lines_at_most_and_names_every_fault():
    everything = dataclasses.replace(SICK, advice=tuple(SICK.advice[0] for _ in RULES))
    for each in (SICK, everything):
        assert len(repr(each).splitlines()) <= 10
    assert "Gradients vanish" in repr(SICK)
    assert "clock" in str(SICK)


def test_printed_exponents_are_the_measured_ones():
    line = next(x for x in str(SICK).splitlines() if "exponents (nats per step)" in x)
    printed = [float(x) for x in re.findall(r"(-?\d+\.\d+) \+-", line)]
    np.testing.assert_allclose(printed, SICK.measured.exponents[:3], rtol=5e-3)


def test_rates_are_in_hz_where_the_time_step_is_known():
    assert "mean 20, highest 20; 0 % silent, 0 % always on" in str(report(spiking()))
    assert "rates (per step)" in str(report(spiking(time_step=None)))


def test_units_that_are_never_zero_are_counted_where_none_is_negative():
    states = np.abs(healthy().states)
    states[::2, :5] = 0
    line = next(x for x in str(report(healthy(states=states))).splitlines() if "always on" in x)
    assert line.split()[-2:] == ["75", "%"]  # 15 of 20
    assert healthy().always_on.sum() == 0


def test_findings_can_be_asked_for_by_name():
    assert "vanishing" in SICK
    assert "exploding" not in SICK
    assert "fine" in report(healthy())


def test_html_escapes_and_holds_every_sentence():
    m = healthy(model="<b>cell</b>", exponents=np.full(8, -0.3))
    text = report(m)._repr_html_()
    assert "<b>cell</b>" not in text
    assert all(x.sentence in text for x in report(m).advice)


def test_the_dataset_holds_the_numbers_by_name():
    data = SICK.to_xarray()
    np.testing.assert_array_equal(data["exponents"], SICK.measured.exponents)
    np.testing.assert_array_equal(
        data["log_gradient_norm"].sel(lag=0), SICK.measured.log_gradient[-1]
    )
    assert dict(data.sizes) == {"exponent": 8, "lag": 41, "direction": 8, "variable": 20}
    assert "vanish" in data.attrs["finding_vanishing"]


def test_the_figure_holds_the_numbers_on_given_axes():
    _, axes = plt.subplots(1, 3)
    drawn = SICK.plot(axes)
    spectrum, gradient, kept = drawn
    assert list(drawn) == list(axes)
    np.testing.assert_allclose(spectrum.lines[0].get_ydata(), SICK.measured.exponents)
    np.testing.assert_allclose(gradient.lines[0].get_ydata()[0], 0)
    np.testing.assert_allclose(gradient.lines[-1].get_ydata()[-1], SICK.measured.decades, rtol=1e-6)
    assert sum(p.get_height() for p in kept.patches) == 20
    plt.close("all")


def test_a_wrong_number_of_axes_is_refused():
    with pytest.raises(ValueError, match="ax: expected 3 Axes, one for each panel, got 2"):
        SICK.plot(plt.subplots(1, 2)[1])
    plt.close("all")
