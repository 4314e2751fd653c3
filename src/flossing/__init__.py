"""flossing: measure, control and understand error gradients in recurrent and spiking networks."""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        escape_noise as escape_noise,
        floss as floss,
        initialisers as initialisers,
        plots as plots,
        spike_statistics as spike_statistics,
        surrogates as surrogates,
        tasks as tasks,
        theory as theory,
        training as training,
    )
    from ._compiled import cache_programs as cache_programs
    from ._environment import describe_environment as describe_environment
    from .cells import (
        BinaryCell as BinaryCell,
        BinarySpec as BinarySpec,
        Cell as Cell,
        CellSpec as CellSpec,
        ConvLIFCell as ConvLIFCell,
        GRUCell as GRUCell,
        GRUSpec as GRUSpec,
        IntegrateFireCell as IntegrateFireCell,
        IntegratorCell as IntegratorCell,
        LeakyReadout as LeakyReadout,
        LIFCell as LIFCell,
        LIFSpec as LIFSpec,
        LIFState as LIFState,
        LinearRecurrentCell as LinearRecurrentCell,
        LinearSpec as LinearSpec,
        LinearState as LinearState,
        LSTMCell as LSTMCell,
        LSTMSpec as LSTMSpec,
        LSTMState as LSTMState,
        ReLUCell as ReLUCell,
        ReLUSpec as ReLUSpec,
        Stack as Stack,
        TanhCell as TanhCell,
        TanhSpec as TanhSpec,
        fluctuation_driven as fluctuation_driven,
        open_gates as open_gates,
        with_escape as with_escape,
    )
    from .citing import cite as cite
    from .examine import Report as Report, examine as examine, target_signal as target_signal
    from .floss import (
        Adaptive as Adaptive,
        AdaptiveFlosser as AdaptiveFlosser,
        Before as Before,
        Flosser as Flosser,
        FlossingHarmWarning as FlossingHarmWarning,
        Heights as Heights,
        Joint as Joint,
        Phases as Phases,
        SurrogateHeights as SurrogateHeights,
        flossing_harm as flossing_harm,
        flossing_loss as flossing_loss,
        free_heights as free_heights,
    )
    from .lyapunov import (
        CovariantVectors as CovariantVectors,
        LostDirectionsWarning as LostDirectionsWarning,
        LyapunovSpectrum as LyapunovSpectrum,
        StepWarning as StepWarning,
        condition_number as condition_number,
        covariant_vectors as covariant_vectors,
        entropy_rate as entropy_rate,
        gradient_norms as gradient_norms,
        kaplan_yorke_dimension as kaplan_yorke_dimension,
        local_exponents as local_exponents,
        log_singular_values as log_singular_values,
        long_term_jacobian as long_term_jacobian,
        lyapunov_spectrum as lyapunov_spectrum,
    )
    from .nir_graphs import from_nir as from_nir, to_nir as to_nir
    from .optimisers import SGD as SGD, Adam as Adam
    from .runs import train as train
    from .sweeps import sweep as sweep
    from .training import Network as Network

_ROOMS = {
    *("cells", "escape_noise", "floss", "initialisers", "lyapunov", "optimisers", "plots"),
    *("spike_statistics", "surrogates", "tasks", "theory", "training"),
}
_NAMES = {
    "_compiled": "cache_programs",
    "_environment": "describe_environment",
    "cells": (
        "BinaryCell BinarySpec Cell CellSpec ConvLIFCell GRUCell GRUSpec IntegrateFireCell IntegratorCell "
        "LIFCell LIFSpec LIFState LSTMCell LSTMSpec LSTMState LeakyReadout LinearRecurrentCell LinearSpec "
        "LinearState ReLUCell ReLUSpec Stack TanhCell TanhSpec fluctuation_driven open_gates with_escape"
    ),
    "citing": "cite",
    "examine": "Report examine target_signal",
    "floss": (
        "Adaptive AdaptiveFlosser Before Flosser FlossingHarmWarning Heights Joint Phases SurrogateHeights "
        "flossing_harm flossing_loss free_heights"
    ),
    "lyapunov": (
        "CovariantVectors LostDirectionsWarning LyapunovSpectrum StepWarning condition_number "
        "covariant_vectors entropy_rate gradient_norms kaplan_yorke_dimension local_exponents "
        "log_singular_values long_term_jacobian lyapunov_spectrum"
    ),
    "nir_graphs": "from_nir to_nir",
    "optimisers": "Adam SGD",
    "runs": "train",
    "sweeps": "sweep",
    "training": "Network",
}
"""Public names by the room that has them, which is loaded when one of them is used: JAX takes a second."""
_ROOM_OF = {name: room for room, names in _NAMES.items() for name in names.split()}
__all__ = sorted({*_ROOMS, *_ROOM_OF})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        value = getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
    elif name in _ROOMS:
        value = importlib.import_module(f".{name}", __name__)
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("flossing")
    else:
        raise AttributeError(f"module 'flossing' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """This package. ``examine`` is a function, and a room of that name has it: Python would put the room
    in its place as soon as it is imported.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _ROOM_OF and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
