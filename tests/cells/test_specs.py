"""Specifications make the cells of their settings, and refuse what would do nothing."""

import ast
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import over, raises

import flossing as fl
from flossing import initialisers, surrogates
from flossing.cells import CellSpec, spec_for
from flossing.cells.spec import RecurrentSpec, SpikingSpec

N, INPUTS = 6, 2
MADE = {
    "tanh": (
        fl.TanhSpec(N, recurrent="orthogonal", gain=0.7, input_gain=2.0, leak=0.5),
        fl.TanhCell,
        {"recurrent": initialisers.Orthogonal(0.7), "input_gain": 2.0, "leak": 0.5},
    ),
    "relu": (
        fl.ReLUSpec(N, recurrent="identity", input_gain=1e-3),
        fl.ReLUCell,
        {"recurrent": initialisers.Identity(), "input_gain": 1e-3},
    ),
    "linear": (
        fl.LinearSpec(N, input_gain=0.5, min_radius=0.9, max_radius=0.99),
        fl.LinearRecurrentCell,
        {"input_gain": 0.5, "min_radius": 0.9, "max_radius": 0.99},
    ),
    "gru": (fl.GRUSpec(N, update_bias=1.0), fl.GRUCell, {"update_bias": 1.0}),
    "gru, open": (fl.GRUSpec(N, openness=3.0), fl.GRUCell, {"openness": 3.0}),
    "lstm": (fl.LSTMSpec(N, forget_bias=-1.0), fl.LSTMCell, {"forget_bias": -1.0}),
    "lstm, chrono": (fl.LSTMSpec(N, chrono=20.0), fl.LSTMCell, {"chrono": 20.0}),
    "binary": (
        fl.BinarySpec(N, surrogate="arctan", sharpness=2.0, centred=True),
        fl.BinaryCell,
        {"surrogate": surrogates.Arctan(2.0), "centred": True},
    ),
    "lif": (
        fl.LIFSpec(
            N,
            input_gain=1.5,
            reset="subtract",
            reset_gradient="ignored",
            membrane_time_constant=20.0,
            synapse_time_constant=3.0,
            adaptation_time_constant=30.0,
            time_step=0.5,
        ),
        fl.LIFCell,
        {
            "input_gain": 1.5,
            "reset": "subtract",
            "reset_gradient": "ignored",
            "membrane_time_constant": 20.0,
            "synapse_time_constant": 3.0,
            "adaptation_time_constant": 30.0,
            "adaptation_strength": 0.5,
            "time_step": 0.5,
        },
    ),
}
MEMBERS = CellSpec.members


@pytest.mark.slow
@over("name", MADE)
def test_the_cell_is_that_of_its_constructor(name, key):
    spec, make, options = MADE[name]
    (layer_key,) = jax.random.split(key, 1)
    assert eqx.tree_equal(spec.build(INPUTS, key=key), make(INPUTS, N, key=layer_key, **options))


def test_fluctuation_driven_weights_are_made_for_inputs_of_100_hz(key):
    given, usual = (
        fl.LIFSpec(5, fluctuations=1.0, **rate).build(INPUTS, key=key)
        for rate in ({"input_rate": 100.0}, {})
    )
    assert eqx.tree_equal(given, usual)


def test_fluctuation_driven_weights_are_drawn_with_a_key_of_their_own(key):
    spec = fl.LIFSpec(N, fluctuations=0.8, input_rate=200.0)
    (layer_key,) = jax.random.split(key, 1)
    plain, draw_key = fl.LIFCell(INPUTS, N, key=layer_key), jax.random.fold_in(layer_key, 1)
    expected = fl.fluctuation_driven(plain, rate=200.0, target=0.8, key=draw_key)
    assert eqx.tree_equal(spec.build(INPUTS, key=key), expected)


def test_layers_are_stacked_each_with_a_key_of_its_own(key):
    stack = fl.GRUSpec(N, layers=2).build(INPUTS, key=key)
    keys = jax.random.split(key, 2)
    expected = fl.Stack(
        [fl.GRUCell(size, N, key=k) for size, k in zip((INPUTS, N), keys, strict=True)]
    )
    assert eqx.tree_equal(stack, expected)


@over("name", MEMBERS)
def test_readout_weights_are_of_size_one_over_the_root_of_n_for_spikes(name):
    expected = 0.25 if name in ("binary", "lif") else 1.0
    assert MEMBERS[name](16).readout_std == expected
    assert MEMBERS[name](16, readout_gain=0.3).readout_std == 0.3


def test_binary_units_have_a_gain_of_root_two(key):
    binary, tanh = (make(N).build(INPUTS, key=key) for make in (fl.BinarySpec, fl.TanhSpec))
    np.testing.assert_allclose(binary.recurrent_weight, 2**0.5 * tanh.recurrent_weight)


@over("name", initialisers.BY_NAME)
def test_every_initialiser_has_a_name(name, key):
    cell = fl.TanhSpec(N, recurrent=name, gain=0.5).build(INPUTS, key=key)
    matrix_key = jax.random.split(*jax.random.split(key, 1), 3)[0]
    np.testing.assert_array_equal(
        cell.recurrent_weight, initialisers.BY_NAME[name](0.5)(matrix_key, N)
    )


def test_every_surrogate_with_a_sharpness_has_a_name(key):
    names = surrogates.by_name()
    assert list(names)[:2] == ["super-spike", "sigmoid"]
    assert {"arctan", "triangular", "gaussian", "exponential", "erf", "boxcar"} < set(names)
    assert not {"custom", "straight-through", "surrogate"} & set(names)
    cell = fl.LIFSpec(N, surrogate="erf", sharpness=3.0).build(INPUTS, key=key)
    assert eqx.tree_equal(cell.surrogate, surrogates.Erf(3.0))


def test_a_users_surrogate_is_found_by_the_name_of_its_class(key, untyped):
    class VeryFlat(surrogates.Surrogate):
        _shape_area = 1.0
        _shape_half_width = 1.0

        def _shape(self, u):
            return jnp.ones_like(u)

    cell = fl.BinarySpec(N, surrogate="very-flat").build(INPUTS, key=key)
    assert isinstance(cell.surrogate, VeryFlat)


def test_flossing_keeps_row_means_where_a_layer_has_lif_neurons(key):
    kept = {name: make(N).build(INPUTS, key=key).keep_row_means for name, make in MEMBERS.items()}
    assert [name for name, keeps in kept.items() if keeps] == ["lif"]
    tanh, lif = fl.TanhCell(INPUTS, N, key=key), fl.LIFCell(N, N, key=key)
    assert fl.Stack([tanh, lif]).keep_row_means
    assert not fl.Stack([tanh]).keep_row_means
    assert fl.ConvLIFCell(4, 1, 1, 1, key=key).keep_row_means


@over("spec", [CellSpec, RecurrentSpec, SpikingSpec, *MEMBERS.values()])
def test_every_field_is_explained_in_sentences(spec):
    """They are the help of the command line."""
    (tree,) = ast.parse(inspect.getsource(spec)).body
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and field.target.id != "_":
            assert isinstance(text, ast.Expr), field.target.id
            sentence = ast.literal_eval(text.value)
            assert sentence[0].isupper(), sentence
            assert sentence.endswith("."), sentence


class Decay(fl.Cell):
    """A user's cell.

    Args:
        rate: how fast it forgets.
    """

    input_size: int
    hidden_size: int
    rate: float
    weight: jax.Array

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 7,
        *,
        rate: float = 0.5,
        scale: float | None = None,
        table: dict | None = None,
        key: jax.Array,
    ):
        self.input_size, self.hidden_size, self.rate = input_size, hidden_size, rate
        self.weight = (scale or 1.0) * jax.random.normal(key, (hidden_size, input_size))

    def __call__(self, state, input):
        return (1 - self.rate) * state + self.weight @ input

    def initial_state(self, *, key=None):
        return jnp.zeros(self.hidden_size)


def test_a_users_cell_has_the_settings_of_its_signature(key):
    spec = spec_for(Decay)
    settings = spec(5, rate=0.25)
    assert (settings.hidden_size, settings.rate, settings.scale) == (5, 0.25, None)
    assert spec().hidden_size == 7
    assert not hasattr(settings, "table")  # no number, boolean or text
    assert "rate: how fast it forgets." in inspect.getdoc(spec)
    (layer_key,) = jax.random.split(key, 1)
    cell = settings.build(INPUTS, key=key)
    assert eqx.tree_equal(cell, Decay(INPUTS, 5, rate=0.25, key=layer_key))
    state = jnp.arange(5.0)
    np.testing.assert_array_equal(cell.output(state), state)
    assert isinstance(spec(5, layers=2).build(INPUTS, key=key), fl.Stack)
    assert spec_for(Decay) is spec
    assert spec_for(fl.TanhSpec) is fl.TanhSpec


def test_a_state_of_several_arrays_needs_an_output(key, untyped):
    cell = Decay(INPUTS, 3, key=key)
    with raises(TypeError, "state: Decay has a state of several arrays; its output(state) has to"):
        cell.output((jnp.zeros(3), jnp.zeros(3)))


@over(
    ("make", "message"),
    [
        (
            7,
            "int: expected a class that is called as int(input_size, hidden_size, key=key), got 7 (i",
        ),
        (lambda size, *, key: None, "; it takes (size, key), without two sizes first."),
        (lambda inputs, units: None, "; it takes (inputs, units), without key."),
        (lambda inputs, units, *, key, rate: None, "; its argument rate has no default."),
        (
            lambda inputs, units, *, key, layers=2: None,
            "the argument layers has the name of a setting of all cells; rename it.",
        ),
    ],
    ids=["no function", "one size", "no key", "no default", "taken name"],
)
def test_what_makes_no_cell_is_refused(make, message, untyped):
    with raises(TypeError, message):
        spec_for(make)


def test_what_is_built_has_to_be_a_cell(key, untyped):
    def make(input_size: int, hidden_size: int, *, key):
        return eqx.nn.GRUCell(input_size, hidden_size, key=key)

    with pytest.raises(
        TypeError, match=r"make: expected a cell .*GRUCell has no initial_state, .*It takes"
    ):
        spec_for(make)(3).build(2, key=key)
