"""Surrogate gradients are not gradients: their integral around a closed loop (Gygax & Zenke 2025).

A network of five parameters and nearly binary neurons (steepness 1e4), with the derivatives of less steep
neurons: the published circle, how quadrature converges, the curl in its plane. Then the same for all
weights of a recurrent LIF network: small loops of shrinking radius, whose integral over the enclosed area
tends to the curl, while larger loops cross surfaces on which a spike appears.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ... import theory
from ...cells import LIFCell
from ...surrogates import Sigmoid, SuperSpike
from ..lab.claims import Claim, Result
from .closed_loop_figure import draw

PUBLISHED = {1.0: -0.0425, 5.0: 0.3691, 20.0: 1.8176}
"""Integral around the circle, by steepness of the derivative."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    steepness: float = 1e4
    radius: float = 1.8
    plane_seed: int = 124
    tolerance: float = 1e-7
    points: tuple[int, ...] = tuple(2**k for k in range(4, 17))
    """Numbers of intervals for the convergence of the trapezoidal rule."""
    smooth: tuple[float, ...] = (1.0, 5.0, 20.0, 100.0)
    """Steepnesses of the nets whose true gradient is integrated."""
    pixels: int = 81
    neurons: int = 12
    steps: int = 50
    sharpness: float = 10.0
    """Of the LIF network's surrogate derivative."""
    radii: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
    evaluations: int = 20_000
    """Of the LIF network's field, at most, per loop."""


QUICK = Settings(
    points=tuple(2**k for k in range(4, 13)), pixels=21, steps=20, radii=(0.1, 1e-2, 1e-4),
    evaluations=4000,
)  # fmt: skip


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer points and radii."""
    settings = settings or (QUICK if quick else Settings())
    with jax.enable_x64(True):
        small = _published_circle(settings)
        smooth = _true_gradients(settings)
        loops = _lif_loops(settings)
    claims = [
        Claim(
            f"beta_SG = {beta:g}: |integral - published| (ours {small[beta]['integral']:+.5f})",
            abs(small[beta]["integral"] - known),
            1e-3,
            known,
        )
        for beta, known in PUBLISHED.items()
    ]
    worst = max(abs(v["integral"]) for v in smooth.values())
    claims.append(Claim("true gradient of smooth nets: largest |integral|", worst, 1e-10))
    claims.append(
        Claim(
            "LIF network, smallest loop: |integral / area - curl| / |curl|",
            abs(loops["surrogate"]["density"][-1] / loops["curl"] - 1),
            1e-3,
        )
    )
    claims.append(
        Claim(
            "smooth LIF network, true gradient, smallest loop: |integral / area| / |curl above|",
            abs(loops["true"]["density"][-1] / loops["curl"]),
            1e-3,
        )
    )
    numbers = {
        "circle": {
            str(b): _plain(v, ("integral", "error", "evaluations")) for b, v in small.items()
        },
        "trapezoid": {
            "intervals": list(settings.points),
            **{str(b): v["trapezoid"] for b, v in small.items()},
        },
        "true_gradient": {str(b): v for b, v in smooth.items()},
        "lif": loops,
    }
    return Result(
        name="closed-loop",
        title="surrogate gradients integrated around closed loops",
        source="Gygax & Zenke 2025",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims,
        figure=draw(settings, small, loops),
    )


def _output(network: theory.TwoPathNet) -> Any:
    return network()


def _circle(settings: Settings, steepness: float, radius: float | None = None) -> Any:
    from scipy.stats import ortho_group

    # The published loop runs from the second of these directions to the first.
    second, first = ortho_group.rvs(5, random_state=settings.plane_seed)[:2]
    step = theory.SmoothStep(_logistic(steepness))
    centre, *directions = (theory.TwoPathNet(p, step) for p in (np.zeros(5), first, second))
    return theory.circle(centre, *directions, radius=radius or settings.radius)


def _logistic(sharpness: float) -> Sigmoid:
    # An array: fields that differ in it are compiled once.
    return Sigmoid(jnp.asarray(sharpness, float), normalise="area")


def _published_circle(settings: Settings) -> dict[float, dict[str, Any]]:
    path = _circle(settings, settings.steepness)
    s = np.linspace(0, 1, 1921)
    axis = np.linspace(-1.25, 1.25, settings.pixels) * settings.radius
    plane = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    found: dict[float, dict[str, Any]] = {}
    for beta in PUBLISHED:
        field = theory.GradientField(_output, _logistic(beta))
        integral = theory.line_integral(field, path, tolerance=settings.tolerance)
        slopes = theory.along_path(field, path, s, block=240)
        parts = np.cumsum((slopes[1:] + slopes[:-1]) / 2 * np.diff(s))
        outputs, curls = _map(field, path, plane)
        found[beta] = {
            "integral": integral.value,
            "error": integral.error,
            "evaluations": integral.evaluations,
            "trapezoid": [
                theory.line_integral(field, path, num_points=n).value for n in settings.points
            ],
            "s": s,
            "integrated": np.concatenate([[0], parts]),
            "output": np.asarray(_outputs(path, jnp.asarray(s))),
            "axis": axis,
            "outputs": np.asarray(outputs).reshape(len(axis), -1),
            "curls": np.asarray(curls).reshape(len(axis), -1),
        }
    return found


@eqx.filter_jit
def _outputs(path: Any, s: Any) -> Any:
    return jax.vmap(lambda s: path(s)())(s)


@eqx.filter_jit
def _map(field: Any, path: Any, plane: Any) -> Any:
    def one(at: Any) -> tuple:
        net = eqx.tree_at(
            lambda n: n.parameters,
            path.centre,
            at[0] * path.first.parameters + at[1] * path.second.parameters,
        )
        return net(), theory.plane_curl(field, net, path.first, path.second)

    return jax.vmap(one)(plane)


def _true_gradients(settings: Settings) -> dict[float, dict[str, float]]:
    field = theory.GradientField(_output, true=True)
    found = {}
    for beta in settings.smooth:
        integral = theory.line_integral(field, _circle(settings, beta), tolerance=1e-11)
        found[beta] = {"integral": integral.value, "error": integral.error}
    return found


def _lif_loops(settings: Settings) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(1), 3)
    step = SuperSpike(jnp.asarray(settings.sharpness))
    cell, whole = (
        LIFCell(
            5,
            settings.neurons,
            threshold=0.5,
            input_gain=3.0,
            surrogate=step,
            reset_gradient=reset_gradient,
            key=keys[0],
        )
        for reset_gradient in ("detached", "differentiated")
    )
    inputs = jax.random.bernoulli(keys[1], 0.3, (settings.steps, 5)).astype(float)
    wanted = 0.2 + 0.1 * jnp.sin(jnp.arange(settings.steps) / 5)

    def loss(cell: LIFCell) -> Any:
        def step(state: Any, input: Any) -> tuple:
            state = cell(state, input)
            return state, cell.output(state).mean()

        rates = jax.lax.scan(step, cell.initial_state(), inputs)[1]
        return jnp.square(rates - wanted).mean()

    first, second = theory.random_plane(cell, key=keys[2])
    field = theory.GradientField(loss)
    curl = float(eqx.filter_jit(theory.plane_curl)(field, cell, first, second))
    # The true gradient goes through the reset too.
    smooth = theory.with_smooth_steps(whole, SuperSpike(settings.sharpness, normalise="area"))
    cases = {
        "surrogate": (field, cell),
        "true": (theory.GradientField(loss, true=True), smooth),
    }
    loops: dict[str, Any] = {"curl": curl, "radii": list(settings.radii)}
    for name, (case, network) in cases.items():
        # The same directions, in a pytree like this network.
        first, second = theory.random_plane(network, key=keys[2])
        found = []
        for radius in settings.radii:
            area = np.pi * radius**2
            path = theory.circle(network, first, second, radius=jnp.asarray(radius))
            result = theory.line_integral(
                case, path, tolerance=1e-4 * area * abs(curl), max_evaluations=settings.evaluations
            )
            found.append((result.value / area, result.error / area, result.evaluations))
        density, error, evaluations = zip(*found, strict=True)
        loops[name] = {"density": density, "error": error, "evaluations": evaluations}
    loops["ratio"] = {}
    for sharpness in (1.0, 3.0, 10.0, 30.0, 100.0):
        steeper = theory.GradientField(loss, SuperSpike(jnp.asarray(sharpness)))
        loops["ratio"][str(sharpness)] = theory.curl(steeper, cell).ratio
    return loops


def _plain(values: dict, keys: tuple[str, ...]) -> dict[str, float]:
    return {key: values[key] for key in keys}
