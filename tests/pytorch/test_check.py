"""What is silently wrong in libraries is found by name; what is right is left alone."""

import pytest

torch = pytest.importorskip("torch")

import flossing.torch as ft  # noqa: E402
from flossing.lyapunov import StepWarning  # noqa: E402
from flossing.surrogates import NoSecondDerivativeWarning  # noqa: E402

N = 5


def found_in(module, dtype=torch.float32):
    """Names of what is found in the step of a module."""
    x = torch.rand(2, N, dtype=dtype)
    return ft.check(*ft.as_step(module.to(dtype), x), x).names


def snntorch_neuron(surrogate):
    snn = pytest.importorskip("snntorch")
    return snn.RLeaky(0.9, linear_features=N, spike_grad=surrogate)


def jelly_layer(surrogate, **options):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron, surrogate as kinds

    made = getattr(kinds, surrogate)() if isinstance(surrogate, str) else surrogate
    node = neuron.LIFNode(surrogate_function=made, **options)
    return layer.LinearRecurrentContainer(node, N, N)


@pytest.mark.parametrize(
    ("surrogate", "found"),
    [
        ("atan", set()),
        ("fast_sigmoid", set()),
        ("sigmoid", set()),
        ("SFS", set()),
        ("spike_rate_escape", set()),
        ("triangular", {"piecewise-constant"}),
        ("straight_through_estimator", {"piecewise-constant"}),
        ("heaviside", {"saved-spike"}),
        ("SSO", {"saved-spike"}),
    ],
)
def test_surrogates_of_snntorch(surrogate, found):
    kinds = pytest.importorskip("snntorch.surrogate")
    assert found_in(snntorch_neuron(getattr(kinds, surrogate)())) == found


@pytest.mark.parametrize(
    "surrogate", ["Rect", "LeakyKReLU", "PiecewiseLeakyReLU", "FakeNumericalGradient"]
)
def test_surrogates_of_spikingjelly_without_second_derivative(surrogate):
    assert "piecewise-constant" in found_in(jelly_layer(surrogate))


@pytest.mark.parametrize(
    "surrogate",
    ["Sigmoid", "ATan", "PiecewiseQuadratic", "PiecewiseExp", "SoftSign", "SuperSpike", "Erf"],
)
def test_surrogates_of_spikingjelly_that_can_be_flossed(surrogate):
    assert found_in(jelly_layer(surrogate)) == {"differentiated-reset"}


def test_a_detached_reset_of_spikingjelly_takes_a_direction_at_each_spike():
    assert found_in(jelly_layer("ATan", detach_reset=True)) == {"exact-reset"}


def test_sinabs_hides_its_input_from_derivatives():
    layers = pytest.importorskip("sinabs.layers")
    assert found_in(layers.LIF(10.0)) == {"detached-input", "differentiated-reset"}


def test_norse_ignores_the_width_of_superspike():
    norse = pytest.importorskip("norse.torch")
    assert "ignored-sharpness" in found_in(norse.LIFRecurrentCell(N, N))
    other = norse.LIFRecurrentCell(N, N, p=norse.LIFParameters(method="tanh"))
    assert "ignored-sharpness" not in found_in(other)


def test_spikes_without_a_surrogate_are_found():
    norse = pytest.importorskip("norse.torch")
    plain = norse.LIFParameters(method="heaviside")
    for cell in (norse.LIFCell(p=plain), norse.LIFRecurrentCell(N, N, p=plain)):
        assert found_in(cell) == {"no-surrogate", "exact-reset"}
    own = snntorch_neuron(lambda x: (x > 0).to(x.dtype))
    assert found_in(own) == {"no-surrogate"}
    assert found_in(norse.LICell()) == set()
    x = torch.randn(2, N)
    assert ft.check(lambda state, input: state * (state > 0) + input, x, x).names == set()


def test_resets_are_told_apart():
    norse = pytest.importorskip("norse.torch")
    snn = pytest.importorskip("snntorch")
    assert "differentiated-reset" in found_in(norse.LIFCell())
    assert found_in(snn.Leaky(0.9, reset_mechanism="subtract")) == set()
    assert found_in(snn.Leaky(0.9, reset_mechanism="zero")) == {"exact-reset"}


def test_an_slstm_of_other_sizes_has_no_memory():
    snn = pytest.importorskip("snntorch")
    assert "no-memory" in found_in(snn.SLSTM(N, N + 1))
    assert "no-memory" not in found_in(snn.SLSTM(N, N))


def test_spikes_in_single_precision_are_found():
    kinds = pytest.importorskip("snntorch.surrogate")
    assert found_in(snntorch_neuron(kinds.atan()), torch.float64) == {"single-precision"}
    assert found_in(snntorch_neuron(ft.surrogates.Arctan(3.0)), torch.float64) == set()


class Normed(torch.nn.Module):
    """A recurrent step with a layer between state and state."""

    def __init__(self, layer):
        super().__init__()
        self.linear, self.layer = torch.nn.Linear(N, N), layer

    def forward(self, state, input):
        """The next state."""
        return torch.tanh(self.layer(self.linear(state)) + input)


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (torch.nn.BatchNorm1d(N), {"batch-coupling"}),
        (torch.nn.LayerNorm(N), set()),
        (torch.nn.Dropout(0.5), {"random"}),
    ],
)
def test_layers_that_tie_examples_together(layer, found):
    step, state, x = Normed(layer), torch.randn(3, N), torch.randn(3, N)
    assert ft.check(step, state, x).names == found
    assert ft.check(step.eval(), state, x).names == set()


def test_what_is_wrong_is_said_at_the_first_use_and_once():
    kinds = pytest.importorskip("snntorch.surrogate")
    x = torch.rand(6, 2, N)
    step, state = ft.as_step(snntorch_neuron(kinds.triangular()), x[0])
    with pytest.warns(NoSecondDerivativeWarning, match="snntorch's Triangular has no useful"):
        ft.flossing_loss(step, state, x, num_exponents=2, has_aux=True)
    ft.flossing_loss(step, state, x, num_exponents=2, has_aux=True)
    dropped = Normed(torch.nn.Dropout(0.5))
    with pytest.warns(StepWarning, match="dropout and random spikes"):
        ft.flossing_loss(dropped, torch.randn(2, N), x, num_exponents=2, has_aux=True)


def test_a_report_says_what_to_do():
    step, state, x = Normed(torch.nn.Dropout(0.5)), torch.randn(3, N), torch.randn(3, N)
    assert "random: two calls" in str(ft.check(step, state, x))
    assert "module.eval()" in str(ft.check(step, state, x))
    assert str(ft.check(step.eval(), state, x)) == "nothing found"
