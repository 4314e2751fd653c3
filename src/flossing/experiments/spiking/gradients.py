"""Surrogate Lyapunov exponents of LIF networks predict how error gradients grow (Engelken & Abbott 2024).

Networks with random sharpness, recurrent gain, time constants and firing rate. The first exponent is
measured on one trajectory; the norm of the surrogate gradient of a loss, against the time it has been
sent back, on others. The prediction is ``|dL/dh_{T-h}| ~ exp(lambda_1 h)``. Some of the networks are then
flossed, which creates tangent modes far slower than membranes and synapses.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...cells import LIFCell
from ...lyapunov import gradient_norms
from ...tasks import binary_cross_entropy
from ...training.devices import over_realisations
from ..lab.claims import Claim, Result
from ..lab.driven import Plan, Poisson, firing_rates, floss, spectra
from ..lab.lif import at_rate, lif_networks
from .figures import gradients_figure


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied. Pairs are the ends of log-uniform distributions."""

    neurons: int = 64
    channels: int = 100
    networks: int = 128
    sharpness: tuple[float, float] = (0.5, 8.0)
    gain: tuple[float, float] = (0.2, 3.0)
    membrane: tuple[float, float] = (5.0, 40.0)
    synapse: tuple[float, float] = (2.5, 20.0)
    rate: tuple[float, float] = (5.0, 40.0)
    measured_steps: int = 1000
    horizon: int = 300
    skip: int = 50
    """First steps of the way back, in which the error signal turns into the slowest direction."""
    trials: int = 4
    at: int = 100
    """Horizon at which norms themselves are compared."""
    flossed_networks: int = 3
    flossed: int = 16
    phases: tuple[tuple[int, float], ...] = ((150, 1e-3), (50, 2e-4))
    window: int = 100
    warmup: int = 20
    shown: int = 64
    """Exponents measured before and after flossing."""
    seed: int = 2


QUICK = Settings(
    neurons=32,
    networks=24,
    measured_steps=500,
    trials=3,
    flossed_networks=2,
    flossed=8,
    phases=((40, 3e-3), (10, 1e-3)),
    window=100,
    shown=32,
)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer, smaller networks and shorter trajectories."""
    settings = settings or (QUICK if quick else Settings())
    inputs = Poisson(settings.channels)
    keys = jax.random.split(jax.random.key(settings.seed), settings.networks)
    drawn = _draw(settings)
    cells = lif_networks(
        keys,
        inputs,
        settings.neurons,
        sharpness=drawn["sharpness"],
        gain=drawn["gain"],
        membrane=drawn["membrane"],
        synapse=drawn["synapse"],
    )
    cells, _ = at_rate(cells, keys, inputs, drawn["rate"], 7)
    exponents = spectra(cells, keys, inputs, 1, settings.measured_steps)[:, 0]
    logs = log_gradients(cells, keys, inputs, settings)
    measured = slopes(logs, settings.skip)
    modes = _slow_modes(settings, inputs)
    numbers = {
        "drawn": {name: values.round(4).tolist() for name, values in drawn.items()},
        "rate_found": firing_rates(cells, keys, inputs).round(2).tolist(),
        "first_exponent": exponents.round(5).tolist(),
        "gradient_growth": measured.round(5).tolist(),
        "log_gradient_ratio": (logs[:, settings.at] - logs[:, 0]).round(3).tolist(),
        "flossed": {
            when: {
                "exponents": mode["exponents"].round(5).tolist(),
                "log_gradient": mode["logs"][:, ::10].round(3).tolist(),
                "rate": mode["rate"].round(2).tolist(),
            }
            for when, mode in modes.items()
        },
    }
    return Result(
        name="spiking-gradients",
        title="surrogate exponents of LIF networks predict their gradients",
        source="Engelken & Abbott 2024 (talk), a claim without published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(exponents, measured, logs, modes, settings),
        figure=gradients_figure(drawn, exponents, measured, logs, modes, settings),
    )


def _draw(settings: Settings) -> dict[str, np.ndarray]:
    random = np.random.default_rng(settings.seed)

    def log_uniform(ends: tuple[float, float]) -> np.ndarray:
        return np.exp(random.uniform(*np.log(ends), settings.networks))

    names = ("sharpness", "gain", "membrane", "synapse", "rate")
    return {name: log_uniform(getattr(settings, name)) for name in names}


@eqx.filter_jit
def _log_gradients(
    cells: LIFCell, keys: Array, inputs: Poisson, horizon: int, trials: int
) -> Array:
    def one(cell: LIFCell, key: Array) -> Array:
        def trial(key: Array) -> Array:
            input_key, state_key, readout_key, label_key = jax.random.split(key, 4)
            given = inputs(input_key, 200 + horizon)
            start = cell.initial_state(key=state_key)
            start = jax.lax.scan(lambda s, u: (cell(s, u), None), start, given[:200])[0]
            readout = jax.random.normal(readout_key, (cell.hidden_size,))
            label = jax.random.bernoulli(label_key, 0.5, (1, 1)).astype(float)

            def loss(state: Any) -> Array:
                output = jnp.dot(readout, cell.output(state)) / cell.hidden_size**0.5
                return binary_cross_entropy(output[None, None], label, jnp.ones(1, bool))

            return gradient_norms(cell, start, given[200:], loss=loss, log=True)

        each = jax.random.split(jax.random.fold_in(key, 97), trials)
        return jnp.mean(jax.vmap(trial)(each), 0)[::-1]

    return over_realisations(one, cells, keys)


def log_gradients(
    cells: LIFCell, keys: jax.Array, inputs: Poisson, settings: Settings
) -> np.ndarray:
    """Mean over trials of log |dL/dh_{T-h}|, shape (networks, horizon + 1), by h.

    The loss is the cross-entropy of a random readout of the spikes at the end of a trial.
    """
    return np.asarray(_log_gradients(cells, keys, inputs, settings.horizon, settings.trials))


def slopes(logs: np.ndarray, skip: int) -> np.ndarray:
    """Growth per step of each row from ``skip`` on, by least squares."""
    steps = np.arange(logs.shape[1])[skip:]
    return np.polyfit(steps, logs[:, skip:].T, 1)[0]


def r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of ``y`` that is explained by ``y = x`` itself, without a fit."""
    return float(1 - np.sum((y - x) ** 2) / np.sum((y - y.mean()) ** 2))


def _slow_modes(settings: Settings, inputs: Poisson) -> dict[str, dict[str, np.ndarray]]:
    """Networks of the published constants, before and after flossing."""
    keys = jax.random.split(jax.random.key(settings.seed + 1), settings.flossed_networks)
    cells, _ = at_rate(lif_networks(keys, inputs, settings.neurons, gain=0.5), keys, inputs, 20.0)
    plan = Plan(
        num_exponents=settings.flossed,
        phases=settings.phases,
        window=settings.window,
        warmup=settings.warmup,
    )
    flossed, _ = floss(cells, keys, inputs, plan)
    return {
        when: {
            "exponents": spectra(c, keys, inputs, settings.shown, settings.measured_steps),
            "logs": log_gradients(c, keys, inputs, settings),
            "rate": firing_rates(c, keys, inputs),
        }
        for when, c in (("before", cells), ("after", flossed))
    }


def _claims(
    exponents: np.ndarray,
    measured: np.ndarray,
    logs: np.ndarray,
    modes: dict[str, dict[str, np.ndarray]],
    settings: Settings,
) -> list[Claim]:
    slope = float(np.polyfit(exponents, measured, 1)[0])
    near = np.abs(exponents) < 0.1
    norms = logs[:, settings.at] - logs[:, 0]
    flossed = np.median(np.abs(modes["after"]["exponents"][:, : settings.flossed]), 0)
    return [
        Claim(
            f"R^2 of gradient growth = lambda_1 (no fit), {len(exponents)} networks",
            r_squared(exponents, measured),
            0.9,
            below=False,
        ),
        Claim(
            f"the same, {int(near.sum())} networks with |lambda_1| < 0.1 per ms",
            r_squared(exponents[near], measured[near]),
            0.9,
            below=False,
        ),
        Claim(f"|slope - 1| of a straight line (slope {slope:.3f})", abs(slope - 1), 0.1),
        Claim(
            f"R^2 of log |dL/dh| ratio at {settings.at} ms = lambda_1 * {settings.at} ms",
            r_squared(exponents * settings.at, norms),
            0.9,
            below=False,
        ),
        Claim(
            f"flossed: median time scale of {settings.flossed} modes in ms (tau_mem 10, tau_syn 5)",
            float(np.median(1 / flossed)),
            100.0,
            below=False,
        ),
    ]
