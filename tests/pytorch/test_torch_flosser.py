"""Flossing in a loop of one's own: what an update changes, and when the adaptive one acts."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import flossing as fl  # noqa: E402
import flossing.torch as ft  # noqa: E402

N = 6
WINDOW = {"window": 12, "warmup": 2, "state_warmup": 3}


@pytest.fixture
def module():
    """A contracting recurrent module."""
    made = torch.nn.RNNCell(2, N).double()
    with torch.no_grad():
        made.weight_hh.mul_(0.5)
    return made


def flosser_of(module, **options):
    """A flosser of a module, with a start state and inputs."""
    step, state = ft.as_step(module, torch.zeros(2, dtype=torch.float64))
    inputs = torch.randn(20, 2, dtype=torch.float64)
    return ft.Flosser(step, module.parameters(), 2, **(WINDOW | options)), state, inputs


def test_exponents_come_to_their_targets(module):
    flosser, state, inputs = flosser_of(module, targets=[-0.1, -0.2])
    infos = [flosser.update(state, inputs) for _ in range(200)]
    assert infos[0].loss > 0.05
    np.testing.assert_allclose(infos[-1].exponents, [-0.1, -0.2], atol=0.05)
    assert not any(info.skipped for info in infos)


def test_the_default_optimiser_takes_the_steps_of_optax(x64, untyped):
    parameter = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64))
    ours = ft.flossing_optimiser([parameter], 4e-3, 1e-3, steps=5, clip_norm=0.1)
    theirs = fl.floss.flossing_optimiser(4e-3, 1e-3, steps=5, clip_norm=0.1)
    values = jnp.asarray(parameter.detach().numpy())
    memory = theirs.init(values)
    for gradient in np.random.default_rng(0).normal(size=(9, 3)) * 0.2:
        parameter.grad = torch.tensor(gradient)
        ours.step()
        change, memory = theirs.update(jnp.asarray(gradient), memory, values)
        values = values + change
        np.testing.assert_allclose(parameter.detach(), values, rtol=1e-6)


def test_gradients_of_the_task_are_left_alone(module):
    flosser, state, inputs = flosser_of(module)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = module.weight_hh.detach().clone()
    flosser.update(state, inputs)
    assert not torch.equal(before, module.weight_hh)
    assert all(bool((p.grad == 1).all()) for p in module.parameters())


def test_an_update_that_is_not_finite_changes_nothing(module):
    flosser, state, inputs = flosser_of(module)
    module.weight_ih.register_hook(lambda gradient: gradient * torch.nan)
    before = [p.detach().clone() for p in module.parameters()]
    info = flosser.update(state, inputs)
    assert (info.skipped, info.num_skipped) == (True, 1)
    for old, new in zip(before, module.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("keeps", [True, False])
def test_row_means_are_kept_if_they_should_be(module, keeps):
    flosser, state, inputs = flosser_of(module, keep_row_means=keeps)
    before = module.weight_hh.detach().clone()
    flosser.update(state, inputs)
    change = (module.weight_hh.detach() - before).mean(1)
    assert bool((change.abs() < 1e-12).all()) == keeps


def test_spiking_steps_keep_row_means_by_themselves(module):
    snn = pytest.importorskip("snntorch")
    step, _ = ft.as_step(snn.RLeaky(0.9, linear_features=2), torch.zeros(2))
    assert ft.Flosser(step, module.parameters()).keep_row_means
    assert not flosser_of(module)[0].keep_row_means


def test_an_optimiser_of_torch_takes_the_step(module):
    optimiser = torch.optim.SGD(module.parameters(), 0.5)
    flosser, state, inputs = flosser_of(module, optimiser=optimiser)
    old = module.weight_hh.detach().clone()
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    loss = ft.flossing_loss(
        flosser.step,
        state,
        inputs[:15],
        num_exponents=2,
        warmup=2,
        state_warmup=3,
        generator=generators[0],
    )
    gradient = torch.autograd.grad(loss, module.weight_hh)[0]
    info = flosser.update(state, inputs, generator=generators[1])
    assert info.loss == pytest.approx(float(loss.detach()))
    np.testing.assert_allclose(module.weight_hh.detach(), old - 0.5 * gradient, rtol=1e-10)


def test_inputs_may_be_made_anew_in_each_step(module):
    made = []

    def inputs():
        made.append(torch.randn(30, 4, 2, dtype=torch.float64))
        return made[-1]

    flosser, *_ = flosser_of(module)
    states = lambda: torch.zeros(4, N, dtype=torch.float64)  # noqa: E731
    for _ in range(3):
        info = flosser.update(states, inputs)
    assert len(made) == 3
    assert info.exponents.shape == (2,)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(module):
    keeper = ft.AdaptiveFlosser(flosser_of(module)[0], horizon=10, every=2)
    _, state, inputs = flosser_of(module)
    for _ in range(5):
        keeper.update(state, inputs, loss=1.0, generator=torch.Generator().manual_seed(0))
    twin = copy.deepcopy(module)
    other = ft.AdaptiveFlosser(flosser_of(twin)[0], horizon=10, every=2)
    other.load_state_dict(copy.deepcopy(keeper.state_dict()))
    for each in (keeper, other):
        for _ in range(4):
            each.update(state, inputs, loss=1.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module.weight_hh, twin.weight_hh)


LOSSES = [
    1.0,
    0.9,
    0.8,
    0.4,
    0.2,
    0.1,
    float("nan"),
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
    0.1,
]


@pytest.mark.parametrize("found", [-0.8, -0.3, 0.1, 0.9, float("nan")])
def test_the_adaptive_one_decides_as_that_of_jax(found, module, untyped):
    """Exponents, losses and calls are the same; the first one and the following ones of a phase are "
    "given."""
    phase = [0.7, -0.6, 0.55, 0.15, 0.05, 0.02]

    class Ours(ft.Flosser):
        def measure(self, *args, **options):
            self.left = iter(phase)
            return found

        def update(self, *args, **options):
            seen = torch.tensor([next(self.left)])
            return ft.FlossInfo(0.0, seen, 0, False, 0)

    class Theirs(fl.Flosser):
        def measure(self, *args, **options):
            return jnp.asarray(found)

        def update(self, model, memory, *args, **options):
            seen = jnp.asarray(phase)[memory.num_skipped]
            zero = jnp.asarray(0.0)
            memory = memory._replace(num_skipped=memory.num_skipped + 1)
            info = fl.floss.FlossInfo(
                zero, seen[None], jnp.asarray(0), zero > 0, memory.num_skipped
            )
            return model, memory, info

    step, state = ft.as_step(module, torch.zeros(2, dtype=torch.float64))
    options = {"horizon": 10, "band": 4.0, "every": 3}
    ours = ft.AdaptiveFlosser(Ours(step, module.parameters(), 2, **WINDOW), **options)
    theirs = fl.AdaptiveFlosser(Theirs(2, **WINDOW), **options)
    model = jnp.eye(2)
    memory = theirs.init(model)
    for loss in LOSSES:
        look = ours.update(state, loss=loss)
        memory = memory._replace(flosser=memory.flosser._replace(num_skipped=jnp.asarray(0)))
        model, memory, expected = theirs.update(
            model, memory, None, loss=loss, key=jax.random.key(0)
        )
        assert (look.due, look.learned, look.steps) == (
            bool(expected.due),
            bool(expected.learned),
            int(expected.steps),
        )
        np.testing.assert_equal(np.float32(look.exponent), np.float32(expected.exponent))


def test_without_a_graph_nothing_is_flossed_and_nothing_breaks(module):
    flosser, state, inputs = flosser_of(module)
    with torch.no_grad():
        value = ft.flossing_loss(flosser.step, state, inputs, num_exponents=2)
        info = flosser.update(state, inputs)  # which needs derivatives, and asks for them
    assert not value.requires_grad
    assert not info.skipped


class Binary(torch.nn.Module):
    """Units that are 0 or 1: each path of the tangents crosses one surrogate per step."""

    def __init__(self):
        super().__init__()
        self.weight = 3 * torch.randn(N, N, dtype=torch.float64) / N**0.5
        self.spike = ft.surrogates.SuperSpike(1.0)

    def forward(self, state, input):
        """The next membranes."""
        return self.spike(state) @ self.weight.T + input


@pytest.fixture
def binary():
    """Heights of binary units, with a start state and inputs."""
    units = Binary()
    heights = ft.SurrogateHeights(units, units, targets=-0.2, **WINDOW)
    inputs = torch.randn(20, N, dtype=torch.float64)
    return heights, torch.zeros(N, dtype=torch.float64), inputs


def exponent_of(heights, state, inputs):
    """The first exponent, from the same basis each time."""
    return heights.measure(state, inputs, generator=torch.Generator().manual_seed(0))


def test_a_factor_of_heights_adds_its_logarithm_and_leaves_the_activity(binary):
    heights, state, inputs = binary
    before, states = exponent_of(*binary), heights.step(state, inputs[0])
    heights.surrogates[0].scale(1.3)
    assert exponent_of(*binary) == pytest.approx(before + np.log(1.3), abs=1e-10)
    assert torch.equal(states, heights.step(state, inputs[0]))
    assert heights.surrogates[0].describe() == fl.surrogates.SuperSpike(1.0, peak=1.3).describe()


def test_heights_bring_the_exponent_to_its_target_and_can_be_saved(binary):
    heights, state, inputs = binary
    heights.surrogates[0].scale(0.8 * np.exp(-0.2 - exponent_of(*binary)))
    made = iter([inputs])
    info = heights.update(state, lambda: next(made))
    assert float(info.exponents[0]) == pytest.approx(-0.2, abs=1e-12)
    assert info.loss == pytest.approx(0, abs=1e-12)
    saved, peak = heights.state_dict(), heights.surrogates[0].peak
    heights.surrogates[0].scale(7.0)
    heights.load_state_dict(saved)
    assert heights.surrogates[0].peak == pytest.approx(peak)


def test_heights_move_by_a_factor_of_e_at_most(binary):
    heights, state, inputs = binary
    heights.surrogates[0].scale(1e-5)
    heights.update(state, inputs)
    assert heights.surrogates[0].peak == pytest.approx(1e-5 * np.e)


def test_heights_are_kept_also_when_the_module_has_learned(binary):
    heights, state, inputs = binary
    keeper = ft.AdaptiveFlosser(heights, horizon=20, band=1.0, every=1, chance=1.0)
    heights.surrogates[0].scale(0.3 * np.exp(-0.2 - exponent_of(*binary)))
    before = heights.surrogates[0].peak
    keeper.update(state, inputs, loss=0.0)
    look = keeper.update(state, inputs, loss=0.0)
    assert look.learned
    assert look.steps > 0
    assert heights.surrogates[0].peak > 2 * before


def test_flossing_steps_of_all_calls_are_counted_and_saved(binary):
    heights, state, inputs = binary
    keeper = ft.AdaptiveFlosser(heights, horizon=20, band=1.0, every=3)
    heights.surrogates[0].scale(0.2)
    looks = [keeper.update(state, inputs) for _ in range(7)]
    assert keeper.num_flossed == sum(look.steps for look in looks) > 0
    other = ft.AdaptiveFlosser(heights, horizon=20)
    other.load_state_dict(keeper.state_dict())
    assert other.num_flossed == keeper.num_flossed


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: torch.nn.RNN(1, 80), 75),
        (lambda: torch.nn.LSTM(1, 40, num_layers=2), 75),  # 160 state variables
        (lambda: torch.nn.LSTMCell(1, 80), 75),
    ],
)
def test_nearly_as_many_exponents_are_flossed_as_there_are_units(made, expected):
    step, state = ft.as_step(made(), torch.zeros(1))
    flosser = ft.Flosser(step, step.module.parameters(), window=3, warmup=1, state_warmup=0)
    assert len(flosser.update(state, torch.zeros(3, 1)).exponents) == expected


def test_an_lstm_is_flossed_in_as_many_directions_as_it_has_units():
    step, state = ft.as_step(torch.nn.LSTMCell(1, 4), torch.zeros(1))
    flosser = ft.Flosser(step, step.module.parameters(), 8, window=3, warmup=1, state_warmup=0)
    assert len(flosser.update(state, torch.zeros(3, 1)).exponents) == 4
