"""Models of the kind that tutorials of other libraries build, examined before and after training.

A GRU of Equinox that tells the sense of spirals, and spiking classifiers of digits in snnTorch and Norse,
as in the introductions to these libraries, with the data that scikit-learn ships. Each is trained twice:
as it is, and with a pause between the last input and the answer, over which errors have to travel. Does what
``examine`` says of the untrained model predict what training does?

    pip install 'flossing[torch]' snntorch norse scikit-learn
    python examples/examine_tutorials.py
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import flossing as fl
import flossing.torch as ft

KEY = jax.random.key(0)


def serious(report) -> str:
    """Findings that are no notes, in a few words."""
    names = [x.name for x in report.advice if x.severity in ("fault", "warning", "fine")]
    return f"{', '.join(names)} (10^{report.measured.decades:.1f})"


# A GRU that tells clockwise from anticlockwise spirals: Equinox, hidden size 16, sequences of 16 points.


def spirals(key, count: int, pause: int):
    """Points, shape (time, count, 2), and labels."""
    offsets, senses = jax.random.split(key)
    t = jnp.linspace(0, 2 * jnp.pi, 16)[:, None]
    phase = t + jax.random.uniform(offsets, (count,), maxval=2 * jnp.pi)
    label = jax.random.bernoulli(senses, 0.5, (count,))
    x = jnp.sin(phase) / (1 + t) * jnp.where(label, 1, -1)
    points = jnp.stack([x, jnp.cos(phase) / (1 + t)], -1)
    return jnp.concatenate([points, jnp.zeros((pause, count, 2))]), label.astype(float)


class Classifier(eqx.Module):
    """A GRU whose last state decides."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def __call__(self, points):
        """The logit of a sequence of points, shape (time, 2)."""
        h = jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(16), points)[0]
        return self.readout(h)[0]


def gru_step(cell, h, x):
    """The order that flossing uses: state, input."""
    return cell(x, h)


def step_of(model):
    """The step of a classifier, which holds the arrays that are flossed."""
    return jax.tree_util.Partial(gru_step, model.cell)


def opened(model):
    """Gates that start open: biases of +3 for the reset gate and -3 for the one that holds."""
    bias = jnp.repeat(jnp.array([3.0, -3.0, 0.0]), 16)
    return eqx.tree_at(lambda m: m.cell.bias, model, bias)


def equinox_gru(pause: int, steps: int, flossed: bool = False):
    """Report before training, accuracy on new spirals, report after training."""
    keys = jax.random.split(KEY, 2)
    model = Classifier(eqx.nn.GRUCell(2, 16, key=keys[0]), eqx.nn.Linear(16, 1, key=keys[1]))
    optimiser = optax.adam(3e-3)

    def inputs(key):
        return spirals(key, 1, pause)[0][:, 0]

    def loss(model, points, label):
        logits = jax.vmap(model, in_axes=1)(points)
        return optax.sigmoid_binary_cross_entropy(logits, label).mean()

    @eqx.filter_jit
    def update(model, state, key):
        value, gradient = eqx.filter_value_and_grad(loss)(model, *spirals(key, 32, pause))
        changes, state = optimiser.update(gradient, state)
        return eqx.apply_updates(model, changes), state, value

    def examined(model):
        long = spirals(KEY, 1, max(pause, 100))[0][:, 0]
        return fl.examine(step_of(model), jnp.zeros(16), long, horizon=16 + pause, key=KEY)

    before, start = examined(model), jnp.zeros(16)
    if flossed:
        model = opened(model)
        flosser = fl.Flosser(
            num_exponents=15, window=16 + pause, warmup=10, state_warmup=0, step=step_of,
            where=lambda m: m.cell,
        )  # fmt: skip
        flosser_state = flosser.init(model)
        for k in jax.random.split(jax.random.key(2), 200):
            model, flosser_state, _ = flosser.update(model, flosser_state, start, inputs, key=k)
        keeper = fl.AdaptiveFlosser(flosser, horizon=16 + pause, chance=float(jnp.log(2)))
        keeper_state = keeper.init(model)
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    for number in range(steps):
        key = jax.random.fold_in(KEY, number)
        model, state, value = update(model, state, key)
        if flossed:
            model, keeper_state, _ = keeper.update(
                model, keeper_state, start, inputs, loss=value, key=key
            )
    points, label = spirals(jax.random.key(1), 1000, pause)
    accuracy = ((jax.vmap(model, in_axes=1)(points) > 0) == label).mean()
    return before, float(accuracy), examined(model)


# Spiking classifiers of digits: one hidden layer, pixels as currents, the summed output decides.


def digits():
    """Pixels from 0 to 1, shape (1797, 64), and classes, in random order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pixels = torch.tensor(data.data[order] / 16, dtype=torch.float32)
    return pixels, torch.tensor(data.target[order])


def snntorch_leaky():
    """Two layers without recurrent weights."""
    import snntorch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 100), snntorch.Leaky(beta=0.95, init_hidden=True),
        torch.nn.Linear(100, 10), snntorch.Leaky(beta=0.95, init_hidden=True),
    )  # fmt: skip


def norse_lif():
    """A recurrent hidden layer, and leaky integrators."""
    import norse.torch as norse

    torch.manual_seed(0)
    hidden, linear = norse.LIFRecurrentCell(64, 100), torch.nn.Linear(100, 10)
    return norse.SequentialState(hidden, linear, norse.LICell())


def classifier(make, shown: int, pause: int, steps: int):
    """Report before training, accuracy on 397 new digits, report after training."""
    net, (pixels, target) = make(), digits()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)

    def outputs(images):
        """Membranes of the output layer in the last ten steps, summed."""
        step, state = ft.as_step(net, images)
        total = 0.0
        for t in range(shown + pause):
            state = step(state, images if t < shown else torch.zeros_like(images))
            if t >= shown + pause - 10:
                total = total + membrane(state)
        return total

    def examined():
        image = pixels[:1].expand(shown if pause else 120, -1)
        inputs = torch.cat([image, torch.zeros(pause, 64)])
        step, state = ft.as_step(net, inputs[0])
        return ft.examine(step, state, inputs, horizon=shown + pause)

    before = examined()
    random = np.random.default_rng(1)
    for _ in range(steps):
        batch = torch.as_tensor(random.integers(0, 1400, 64))
        loss = torch.nn.functional.cross_entropy(outputs(pixels[batch]), target[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        accuracy = (outputs(pixels[1400:]).argmax(1) == target[1400:]).float().mean()
    return before, float(accuracy), examined()


def membrane(state):
    """The first array of ten numbers per example: the output layer's membrane."""
    leaves = torch.utils._pytree.tree_leaves(state)
    return next(x for x in leaves if isinstance(x, torch.Tensor) and x.shape[-1] == 10)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    steps = parser.parse_args().steps
    models = {
        "Equinox, GRU": lambda pause: equinox_gru(pause, steps),
        "the same, gates open and flossed": lambda pause: equinox_gru(pause, steps, True),
        "snnTorch, Leaky": lambda pause: classifier(snntorch_leaky, 25, pause, steps),
        "Norse, LIF": lambda pause: classifier(norse_lif, 32, pause, steps),
    }
    print(
        "| model | pause | untrained: examine says | accuracy | trained: examine says | seconds |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, run in models.items():
        for pause in (0, 100):
            start = time.perf_counter()
            before, accuracy, after = run(pause)
            seconds = time.perf_counter() - start
            print(
                f"| {name} | {pause} | {serious(before)} | {100 * accuracy:.0f} % | {serious(after)} "
                f"| {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
