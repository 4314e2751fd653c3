"""What to do about a finding: words, and code to paste after ``fl.examine(step, state, inputs, ...)``.

The code uses the names ``step``, ``state``, ``inputs`` and ``key`` as they were given to ``examine``, and
makes ``model``, the changed step, from them.
"""

import numpy as np

from ..floss._rule import few_of, nearly_all
from .measured import Measured

AGAINST_DEAD = (
    "Start recurrent weights as a scaled identity or orthogonal, biases at 0, and learn more slowly: one "
    "large step can push a unit below zero for all inputs."
)
AGAINST_SILENCE = (
    "Without spikes nothing arrives at a readout, and errors pass by the tails of surrogate derivatives "
    "only. Draw weights so that membranes fluctuate as far "
    "as the threshold."
)
AGAINST_LOUDNESS = (
    "Draw smaller weights, keep row means when you floss (keep_row_means=True, the default of LIF cells), or "
    "penalise rates."
)
AGAINST_SHARPNESS = "Make the surrogate about as wide as membranes vary."
CHAOS = 6.0
"""Growth over a window, in nats, beyond which flossing it does nothing (docs/findings/chaos.md)."""
AGAINST_WIDTH = "Make the surrogate narrower, or lower, until the first exponent is near zero."


def flossing(m: Measured, gates: str = "") -> str:
    """A flosser for this model, and what keeps it flossed; before, what opens its gates."""
    count, stretch = _count(m), _stretch(m)
    if m.library == "torch":
        means = ", keep_row_means=True" if m.kind == "spiking" else ""
        return (
            f"{gates}{_torch_parameters(m)}"
            f"flosser = ft.Flosser(step, parameters, num_exponents={count}, "
            f"{stretch}{means})\n"
            "for _ in range(200):\n"
            "    info = flosser.update(state, inputs)  # or a function that makes fresh inputs\n"
            f"keeper = ft.AdaptiveFlosser(flosser, horizon={m.horizon})  # chance=: the loss of guessing\n"
            "# in your loop, after each training step: keeper.update(state, inputs, loss=loss)\n"
            "# print(keeper.num_flossed)  # flossing steps that it took"
        )
    return _flossing_first(m, gates, f"num_exponents={count}, {stretch}") + _kept("flosser", m)


def _flossing_first(m: Measured, gates: str, arguments: str) -> str:
    """Flossing steps of a flosser with these arguments, in JAX."""
    make = "" if m.has_weights else ", step=make_step"
    head = (
        "model = step\n"
        if m.has_weights
        else "model = ...  # the pytree of arrays that your step uses\n"
    )
    head += gates
    if not m.has_weights:
        head += "make_step = lambda model: ...  # your step(state, input) with these arrays\n"
    return (
        f"{head}"
        f"flosser = fl.Flosser({arguments}{make})\n"
        "flosser_state = flosser.init(model)\n"
        "for k in jax.random.split(key, 200):\n"
        "    model, flosser_state, info = flosser.update(model, flosser_state, state, inputs, key=k)\n"
    )


def _kept(flosser: str, m: Measured) -> str:
    """What keeps a model flossed while it learns."""
    return (
        f"keeper = fl.AdaptiveFlosser({flosser}, horizon={m.horizon})  # chance=: the loss of guessing\n"
        "keeper_state = keeper.init(model)\n"
        "# train model, the changed one; in your loop, after each training step:\n"
        "# model, keeper_state, look = keeper.update(model, keeper_state, state, inputs, loss=loss, key=k)"
    )


def heights(m: Measured) -> str:
    """Scaled heights of surrogate derivatives, which change nothing in the activity."""
    response = next((x.response for x in m.spikes if x.response), 1.0)
    return (
        "model = fl.free_heights(step)\n"
        f"heights = fl.SurrogateHeights({_stretch(m)}, response={response:.3g})\n"
        "heights_state = heights.init(model)\n"
        "for k in jax.random.split(key, 30):\n"
        "    model, heights_state, info = heights.update(model, heights_state, state, inputs, key=k)\n"
        + _kept("heights", m)
    )


_FOR_SPIKES = (
    "Floss a few leading exponents, a tenth of the neurons, to zero before training, by the recurrent "
    "weights alone and with row means kept, and keep them there while it learns. Or, with surrogates of "
    "ft.surrogates, scale heights (ft.SurrogateHeights): spikes then stay as they are, and nothing "
    "that was learned is disturbed."
)
LEARNED = " Leave a network that has learned alone: flossing can undo what it learned."


def against_explosion(m: Measured) -> tuple[str, str]:
    """What to do where gradients explode."""
    if m.spikes and m.library == "jax":
        return (
            "Lower the surrogate derivatives until the first exponent is near zero; spikes stay as they are.",
            heights(m),
        )
    if m.library == "jax" and m.exponents[0] * _window(m) > CHAOS:
        return (
            "Lower the first exponent alone, through a short window behind a long warm-up: in chaos the "
            "gradient of an exponent grows like exp(lambda_1 steps). Then examine again, and floss the rest.",
            _flossing_first(m, "", f"num_exponents=1, {_short_stretch(m)}"),
        )
    words = (
        "Floss the leading exponents to zero before training, and keep them there while it learns."
    )
    return (_FOR_SPIKES if _spikes_in_torch(m) else words) + LEARNED, flossing(m)


def _spikes_in_torch(m: Measured) -> bool:
    return m.library == "torch" and m.kind == "spiking"


def against_vanishing(m: Measured) -> tuple[str, str]:
    """What to do where gradients vanish."""
    if m.spikes and m.library == "jax":
        return (
            "Raise the surrogate derivatives until the first exponent is near zero; spikes stay as they are.",
            heights(m),
        )
    if m.kind in ("gru", "lstm"):
        return open_gates(m)
    if m.kind == "linear":
        return (
            "Let modes decay more slowly: exponents of a linear recurrent layer are its decays.",
            "model = fl.LinearRecurrentCell(step.input_size, step.hidden_size, min_radius=0.9, "
            "max_radius=0.999, key=key)",
        )
    words = (
        "Floss the leading exponents to zero before training, and keep them there while it learns: as many "
        "as the task has steps to bridge with a bit each, in small networks nearly all."
    )
    if m.horizon > m.state_dimension:
        words += " The horizon is longer than that: if it stays at chance, floss 60 % of them."
    words = (_FOR_SPIKES if _spikes_in_torch(m) else words) + LEARNED
    if not _may_have_gates(m):
        return words, flossing(m)
    kept = 100 * float(np.median(m.kept))
    return (
        f"{words} A step keeps {kept:.0f} % of the state by itself; if gates do that, open them first.",
        flossing(m, f"# {_opening(m)}  # if it has gates\n"),
    )


def _may_have_gates(m: Measured) -> bool:
    """Whether a step that nobody knows keeps its state as half-open gates do."""
    return m.kind == "step" and bool(m.bounded.mean() >= 0.5 and 0.2 < np.median(m.kept) < 0.9)


def _opening(m: Measured) -> str:
    """Code that opens gates."""
    if m.library == "torch":
        return "ft.open_gates(step.module)" if m.has_weights else "ft.open_gates(module)"
    if m.kind == "step":
        return "model = fl.open_gates(model)"
    return (  # also where biases were chosen, which open_gates leaves as they are
        "import equinox as eqx\n"
        "fresh = type(step)(step.input_size, step.hidden_size, openness=3.0, key=key)\n"
        "model = eqx.tree_at(lambda cell: cell.bias, step, fresh.bias)"
    )


def open_gates(m: Measured) -> tuple[str, str]:
    """Open gates and flossing, which work together only."""
    words = (
        "Open the gates and floss: memory then has to pass through the recurrent weights. Open gates alone "
        "are worse than shut ones, and flossing alone shuts them. "
    )
    if m.kind in ("gru", "lstm"):
        words += "Do so with a fresh cell: a trained one would lose what its gates have learned."
    else:
        words += (
            "open_gates knows GRUs and LSTMs of flossing, Equinox and torch.nn; elsewhere set biases: +3 for "
            "reset, input and output gates, -3 for update and forget gates."
        )
    words += (
        " Where a few inputs among many are all that is to be kept, start with gates that hold instead, and "
        f"do not floss: chrono={m.horizon:g} for cells of flossing, elsewhere larger biases of update and "
        "forget gates."
    )
    return words, flossing(m, f"{_opening(m)}\n")


def identity(m: Measured) -> str:
    """A ReLU network that starts as an integrator."""
    if m.kind != "relu":
        return ""
    return (
        "model = fl.ReLUCell(step.input_size, step.hidden_size, key=key)  # starts as the identity"
    )


def fluctuations(m: Measured) -> str:
    """Weights for membranes that reach their threshold now and then."""
    if m.kind not in ("spiking", "stack") or m.library != "jax":
        return ""
    return (
        f"rate = 1000 * float(inputs.mean()) / {m.time_step or 1.0:g}  # of each input, in Hz\n"
        "model = fl.fluctuation_driven(step, rate=rate, key=key)\n"
        "# for fl.train: fl.LIFSpec(..., fluctuations=1.0, input_rate=rate)"
    )


def wider(m: Measured) -> str:
    """A surrogate that falls to half its peak at a third of the spread of membranes."""
    known = ("Custom", "StraightThrough")  # which cannot be given a width
    layer = next(
        (x for x in m.spikes if x.surrogate and x.spread and x.surrogate["name"] not in known), None
    )
    if layer is None or layer.surrogate is None or layer.spread is None or m.library != "jax":
        return ""
    name, width = layer.surrogate["name"], layer.spread / 3
    return (
        "import equinox as eqx\n"
        f"surrogate = fl.surrogates.{name}.from_half_width({width:.2g}, peak={layer.surrogate['peak']:.3g})\n"
        "model = eqx.tree_at(lambda cell: cell.surrogate, step, surrogate)"
        if m.kind != "stack"
        else f"surrogate = fl.surrogates.{name}.from_half_width({width:.2g})  # for the layers with spikes"
    )


def filter_of(m: Measured) -> str:
    """The filter of ``tangents=`` without the leaves that are apart."""
    paths = ", ".join(repr(path) for path, _ in m.apart)
    if m.library == "torch":
        return ""
    return (
        "tangents = jax.tree_util.tree_map_with_path(\n"
        f"    lambda path, _: jax.tree_util.keystr(path) not in [{paths}], state)\n"
        "spectrum = fl.lyapunov_spectrum(step, state, inputs, tangents=tangents, key=key)"
    )


def one_example(m: Measured) -> str:
    """Examining the first example alone, and all examples' exponents."""
    if m.library == "torch":
        return "report = ft.examine(step, state, inputs, batched=True)"
    return (
        "first = jax.tree.map(lambda x: x[0], state)\n"
        "report = fl.examine(step, first, inputs[:, 0], key=key)  # inputs: (time, batch, ...)"
    )


def _count(m: Measured) -> int:
    """How many exponents to floss: nearly all, at most one per unit of an LSTM; few of spiking neurons."""
    if _spikes_in_torch(m):
        return few_of(sum(len(layer.rates) for layer in m.spikes) or m.state_dimension)
    return nearly_all(m.state_dimension // 2 if m.kind == "lstm" else m.state_dimension)


def _stretch(m: Measured) -> str:
    """Code for the flossing window and the steps before it, which must fit into the inputs."""
    window = _window(m)
    settle = max(0, min(50, _steps(m) - window - 1))
    short = (
        f", warmup={window // 4}" if window < 50 else ""
    )  # of which the usual 25 leave little to count
    return f"window={window}, state_warmup={settle}{short}"


def _torch_parameters(m: Measured) -> str:
    """Code for what is flossed: of spiking units the recurrent weights alone."""
    if m.kind != "spiking":
        known = (
            "step.module.parameters()" if m.has_weights else "...  # such as net.rnn.parameters()"
        )
        return f"parameters = {known}\n"
    if not m.recurrent:
        return "parameters = ...  # recurrent weights alone, such as [net.lif.recurrent.weight]\n"
    each = ", ".join(f'step.module.get_parameter("{name}")' for name in m.recurrent)
    return f"parameters = [{each}]  # recurrent weights alone\n"


def _steps(m: Measured) -> int:
    """How many there are inputs for."""
    return m.num_steps + m.num_steps // 3 if m.has_inputs else 150


def _window(m: Measured) -> int:
    steps = _steps(m)
    return max(min(100, 2 * m.horizon, steps - 1), min(30, steps - 1))


def _short_stretch(m: Measured) -> str:
    """Five steps that count behind up to fifty in which tangents turn, and the state settles before."""
    relax = max(1, min(50, _steps(m) - 6))
    settle = max(0, min(25, _steps(m) - relax - 6))
    return f"window={relax + 5}, warmup={relax}, detach_warmup=True, state_warmup={settle}"
