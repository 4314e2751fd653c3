"""Surrogate gradients are not gradients: their integral around a closed loop (Gygax & Zenke 2025)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ... import theory
from ...cells import LIFCell
from ...surrogates import SuperSpike
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from .closed_loop_figure import draw
from .two_paths import logistic, output

PUBLISHED = {1.0: -0.0425, 5.0: 0.3691, 20.0: 1.8176}
"""Integral around the circle, by steepness of the derivative."""


@dataclasses.dataclass(frozen=True)
class Circle:
    """The published circle, with surrogate derivatives of one steepness."""

    steepness: float


@dataclasses.dataclass(frozen=True)
class TrueGradient:
    """The same circle for a network that is as smooth as its derivatives."""

    steepness: float


@dataclasses.dataclass(frozen=True)
class Loops:
    """Loops of several radii for all weights of a recurrent LIF network."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedLoop(Experiment):
    """Integrals of surrogate gradients around circles, and the curl inside of them.

    A network of five parameters and nearly binary neurons (steepness 1e4), with the derivatives of less steep
    neurons: the published circle, how quadrature converges, the curl in its plane. Then the same for all
    weights of a recurrent LIF network: small loops of shrinking radius, whose integral over the enclosed area
    tends to the curl, while larger loops cross surfaces on which a spike appears. All in double precision.
    """

    title = "surrogate gradients integrated around closed loops"
    source = "Gygax & Zenke 2025"
    shows = (
        "Surrogate gradients do not integrate to zero around closed loops, so they are the gradient of no "
        "function. The integrals are the published ones; those of true gradients of smooth networks are zero."
    )
    steepness: float = 1e4
    """Of the neurons."""
    radius: float = 1.8
    """Of the circle."""
    plane_seed: int = 124
    """Random seed of the directions that span its plane."""
    tolerance: float = 1e-7
    """Of integrals around it."""
    points: tuple[int, ...] = tuple(2**k for k in range(4, 17))
    """Numbers of intervals for the convergence of the trapezoidal rule."""
    smooth: tuple[float, ...] = (1.0, 5.0, 20.0, 100.0)
    """Steepnesses of the nets whose true gradient is integrated."""
    pixels: int = 81
    """Points of the map of the plane, in each direction."""
    neurons: int = 12
    """Of the LIF network."""
    steps: int = 50
    """Of its input."""
    sharpness: float = 10.0
    """Of the LIF network's surrogate derivative."""
    radii: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
    """Of its loops."""
    evaluations: int = 20_000
    """Of the LIF network's field, at most, per loop."""

    @classmethod
    def quick(cls) -> Self:
        """Fewer points and radii."""
        return cls(
            points=tuple(2**k for k in range(4, 13)), pixels=21, steps=20, radii=(0.1, 1e-2, 1e-4),
            evaluations=4000,
        )  # fmt: skip

    def cases(self) -> dict[Any, Callable[[Report], xr.Dataset]]:
        """The circle with each derivative and with true gradients, and the LIF network."""
        return {
            **{Circle(beta): functools.partial(self.circle, beta) for beta in PUBLISHED},
            **{TrueGradient(beta): functools.partial(self.true, beta) for beta in self.smooth},
            Loops(): self.loops,
        }

    @jax.enable_x64(True)
    def circle(self, beta: float, report: Report) -> xr.Dataset:
        """Integrals around the circle, with the output along it (``turn``), and the map of its plane."""
        path, field = self._path(self.steepness), theory.GradientField(output, logistic(beta))
        integral = theory.line_integral(field, path, tolerance=self.tolerance)
        turn = np.linspace(0, 1, 1921)
        slopes = theory.along_path(field, path, turn, block=240)
        parts = np.cumsum((slopes[1:] + slopes[:-1]) / 2 * np.diff(turn))
        report("convergence")
        rules = [theory.line_integral(field, path, num_points=n).value for n in self.points]
        report("map of the plane")
        axis = np.linspace(-1.25, 1.25, self.pixels) * self.radius
        plane = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
        outputs, curls = (
            np.asarray(x, "f4").reshape(len(axis), -1) for x in _map(field, path, plane)
        )
        kept = slice(None, None, 4)
        return xr.Dataset(
            {
                "integral": integral.value,
                "error": integral.error,
                "evaluations": integral.evaluations,
                "trapezoid": ("intervals", np.array(rules)),
                "output": ("turn", np.asarray(_outputs(path, jnp.asarray(turn)))[kept]),
                "integrated": ("turn", np.concatenate([[0], parts])[kept]),
                "plane_output": (("second", "first"), outputs),
                "plane_curl": (("second", "first"), curls),
            },
            coords={
                "turn": turn[kept], "first": axis, "second": axis, "intervals": list(self.points),
            },
        )  # fmt: skip

    @jax.enable_x64(True)
    def true(self, beta: float, report: Report) -> xr.Dataset:
        """The integral of the true gradient around the circle."""
        field = theory.GradientField(output, true=True)
        integral = theory.line_integral(field, self._path(beta), tolerance=1e-11)
        return xr.Dataset({"integral": integral.value, "error": integral.error})

    @jax.enable_x64(True)
    def loops(self, report: Report) -> xr.Dataset:
        """Integrals over areas by radius, with spikes and with smooth neurons; ``curl`` at the centre."""
        keys = jax.random.split(jax.random.key(1), 3)
        # The true gradient goes through the reset, too.
        cell, whole = (self._lif(keys[0], reset) for reset in ("detached", "differentiated"))
        smooth = theory.with_smooth_steps(whole, SuperSpike(self.sharpness, normalise="area"))
        inputs = jax.random.bernoulli(keys[1], 0.3, (self.steps, 5)).astype(float)
        loss = functools.partial(_loss, inputs=inputs)
        field = theory.GradientField(loss)
        curl = float(
            eqx.filter_jit(theory.plane_curl)(field, cell, *theory.random_plane(cell, key=keys[2]))
        )
        variables: dict[str, Any] = {"curl": curl}
        for name, case, network in (
            ("surrogate", field, cell),
            ("true", theory.GradientField(loss, true=True), smooth),
        ):
            # The same directions, in a pytree like this network.
            first, second = theory.random_plane(network, key=keys[2])
            densities = []
            for radius in self.radii:
                report(f"{name} gradient, radius {radius:g}")
                area = np.pi * radius**2
                path = theory.circle(network, first, second, radius=jnp.asarray(radius))
                result = theory.line_integral(
                    case, path, tolerance=1e-4 * area * abs(curl), max_evaluations=self.evaluations
                )
                densities.append((result.value / area, result.error / area))
            density, error = np.array(densities).T
            variables |= {name: ("radius", density), f"{name}_error": ("radius", error)}
        return xr.Dataset(variables, coords={"radius": list(self.radii)})

    def _path(self, steepness: float) -> Any:
        from scipy.stats import ortho_group

        # The published loop runs from the second of these directions to the first.
        second, first = ortho_group.rvs(5, random_state=self.plane_seed)[:2]
        step = theory.SmoothStep(logistic(steepness))
        centre, *directions = (theory.TwoPathNet(p, step) for p in (np.zeros(5), first, second))
        return theory.circle(centre, *directions, radius=self.radius)

    def _lif(self, key: Any, reset_gradient: Any) -> LIFCell:
        return LIFCell(
            5,
            self.neurons,
            threshold=0.5,
            input_gain=3.0,
            surrogate=SuperSpike(jnp.asarray(self.sharpness)),
            reset_gradient=reset_gradient,
            key=key,
        )

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Published integrals, none of true gradients, and in small loops the curl."""
        for beta, known in PUBLISHED.items():
            text, ours = f"beta_SG = {beta:g}: integral", data[Circle(beta)]["integral"].item()
            yield Claim.near(text, ours, known, within=1e-3, source=self.source)
        worst = np.max([abs(part["integral"].item()) for part in data.where(TrueGradient).values()])
        text = "true gradient of smooth nets: largest |integral|"
        yield Claim.at_most(text, float(worst), 1e-10)
        loops = data[Loops()]
        curl = loops["curl"].item()
        text = "LIF network, smallest loop: |integral / area - curl| / |curl|"
        yield Claim.at_most(text, abs(loops["surrogate"].values[-1] / curl - 1), 1e-3)
        text = "smooth LIF network, true gradient, smallest loop: |integral / area| / |curl above|"
        yield Claim.at_most(text, abs(loops["true"].values[-1] / curl), 1e-3)

    def figure(self, data: Data, published: Published) -> Figure:
        """Curl in the plane, integrals along the circle, convergence, loops of the LIF network."""
        circles = {case.steepness: part for case, part in data.where(Circle).items()}
        weights = self.neurons * (self.neurons + 5)
        return draw(circles, data[Loops()], radius=self.radius, weights=weights)


@eqx.filter_jit
def _outputs(path: Any, s: Any) -> Any:
    return jax.vmap(lambda s: path(s)())(s)


@eqx.filter_jit
def _map(field: Any, path: Any, plane: Any) -> Any:
    def at_point(at: Any) -> tuple:
        net = eqx.tree_at(
            lambda n: n.parameters,
            path.centre,
            at[0] * path.first.parameters + at[1] * path.second.parameters,
        )
        return net(), theory.plane_curl(field, net, path.first, path.second)

    return jax.vmap(at_point)(plane)


def _loss(cell: LIFCell, inputs: Any) -> Any:
    """How far the mean spike per step is from a slow wave."""

    def step(state: Any, input: Any) -> tuple:
        state = cell(state, input)
        return state, cell.output(state).mean()

    wanted = 0.2 + 0.1 * jnp.sin(jnp.arange(len(inputs)) / 5)
    rates = jax.lax.scan(step, cell.initial_state(), inputs)[1]
    return jnp.square(rates - wanted).mean()
