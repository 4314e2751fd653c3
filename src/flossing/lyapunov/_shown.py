"""How spectra read, in JAX and PyTorch alike: text, a picture, a dataset."""

from typing import Any

import numpy as np

from .._readable import (
    Summary,
    aligned,
    aligned_errors,
    as_dataset,
    as_numpy,
    chosen,
    leading_dims,
    short,
    with_dots,
)


class ShownSpectrum:
    """What a spectrum says of itself; its numbers may have leading axes, one spectrum for each trajectory."""

    exponents: Any
    standard_errors: Any
    finite_time: Any
    window_steps: tuple[int, ...]
    lost: Any
    state_dimension: int
    time_step: float | None
    kaplan_yorke_dimension: Any
    _many = "trajectory", "trajectories"
    """What leading axes are called."""

    @property
    def num_steps(self) -> int:
        """Number of counted steps."""
        return sum(self.window_steps)

    @property
    def unit(self) -> str:
        """``"nats per step"`` or ``"nats per unit time"``."""
        return "nats per step" if self.time_step is None else "nats per unit time"

    def plot(self, ax: Any = None) -> Any:
        """Draws the exponents with their standard errors; of several trajectories each, and their median.

        Args:
            ax: Axes of Matplotlib; default new ones.

        Returns:
            The Axes. ``fl.plots`` has more panels, such as ``local_exponents`` for ``finite_time``.

        Raises:
            ModuleNotFoundError: Matplotlib is not installed.
        """
        from .. import plots

        values, errors = (as_numpy(x) for x in (self.exponents, self.standard_errors))
        if values.ndim == 1:
            return plots.drawn(ax, plots.spectrum, values, errors, unit=self.unit)
        values = values.reshape(-1, values.shape[-1])

        def panel(axis: Any) -> None:
            label = f"median of {len(values)} {self._many[1]}"
            plots.spectrum(axis, values, unit=self.unit, label=label)
            axis.legend()

        return plots.drawn(ax, panel)

    def to_xarray(self) -> Any:
        """The numbers as an ``xarray.Dataset``, without state and basis.

        Returns:
            ``exponents``, ``standard_errors``, ``time_constants`` and ``lost`` along ``exponent``, which
            counts from 1; ``finite_time`` along ``window`` and ``exponent``; ``window_steps``. A leading axis
            is ``trajectory`` (``trajectory_1`` and so on of several), in PyTorch ``example``.

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
        many = leading_dims(as_numpy(self.exponents).ndim - 1, self._many[0])
        time = "steps" if self.time_step is None else "units of time"
        each = (*many, "exponent")
        variables = {
            "exponents": (each, self.exponents, "Lyapunov exponents", self.unit),
            "standard_errors": (each, self.standard_errors, "standard errors", self.unit),
            "time_constants": (each, self.time_constants, "1 / |exponent|", time),
            "lost": (each, self.lost, "directions that were lost", "1"),
            "finite_time": (
                (*many, "window", "exponent"),
                self.finite_time,
                "local exponents of each window",
                self.unit,
            ),
            "window_steps": (("window",), self.window_steps, "steps of each window", "steps"),
        }
        index = np.arange(1, as_numpy(self.exponents).shape[-1] + 1)
        return as_dataset(
            variables,
            {"exponent": index, "window": np.arange(len(self.window_steps))},
            title="Lyapunov spectrum",
            state_dimension=self.state_dimension,
            num_steps=self.num_steps,
            time_step=self.time_step,
        )

    @property
    def time_constants(self) -> Any:
        """``1 / |exponent|``: in how long a perturbation grows or shrinks e-fold; in steps or units of time.

        Infinite for an exponent of 0, and 0 for a lost direction.
        """
        return 1 / abs(self.exponents)

    def _known(self) -> bool:
        """Whether there are numbers to print."""
        return True

    def _summary(self) -> Summary | None:
        if not self._known():
            return None
        values, errors = (as_numpy(x) for x in (self.exponents, self.standard_errors))
        k = values.shape[-1]
        shown = chosen(k)
        title = (
            f"{k} of {self.state_dimension} Lyapunov exponents, {self.unit}, {self.num_steps} steps"
        )
        if values.ndim > 1:
            values = values.reshape(-1, k)[:, shown]
            title += f", {len(values)} {self._many[1]}"
            names = ["median", "lowest", "highest"]
            columns = [aligned(pick(values, axis=0)) for pick in (np.median, np.min, np.max)]
        else:
            unit = "steps" if self.time_step is None else "units of time"
            names = ["exponent", "error", f"time constant ({unit})"]
            constants = as_numpy(self.time_constants)[shown]
            values, errors = values[shown], errors[shown]
            columns = [
                aligned(values, errors), aligned_errors(values, errors), [*map(short, constants)]
            ]  # fmt: skip
        rows = with_dots([str(i + 1) for i in shown], columns)
        lost = int(as_numpy(self.lost).sum())
        notes = [self._dimension()] if values.ndim == 1 else []
        if lost:
            notes.append(f"lost directions: {lost}, with exponents of minus infinity")
        return Summary(title, ["i", *names], rows, notes)

    def _dimension(self) -> str:
        try:
            dimension = float(as_numpy(self.kaplan_yorke_dimension))
        except ValueError:
            dimension = np.nan
        # A sum that is still not negative after k exponents.
        least = f"at least {as_numpy(self.exponents).size}"
        return f"Kaplan-Yorke dimension: {short(dimension) if np.isfinite(dimension) else least}"
