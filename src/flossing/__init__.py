"""flossing: measure, control and understand error gradients in recurrent and spiking networks."""

import importlib
from typing import TYPE_CHECKING, Any

from . import (
    escape_noise as escape_noise,
    floss as floss,
    initialisers as initialisers,
    spike_statistics as spike_statistics,
    surrogates as surrogates,
    tasks as tasks,
    theory as theory,
    training as training,
)
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
from .optimisers import SGD as SGD, Adam as Adam
from .training import Network as Network

if TYPE_CHECKING:
    from . import plots as plots
    from .nir_graphs import from_nir as from_nir, to_nir as to_nir
    from .runs import train as train
    from .sweeps import sweep as sweep

_LATER = {
    "plots": ".plots",
    "from_nir": ".nir_graphs",
    "to_nir": ".nir_graphs",
    "train": ".runs",
    "sweep": ".sweeps",
}
"""What needs figures, datasets, Dask or NIR, by the room that has it."""


def __getattr__(name: str) -> Any:
    """The version of the package; and ``_LATER``, loaded when used, because it would slow the import down."""
    if name == "__version__":
        from importlib.metadata import version

        return version("flossing")
    if name not in _LATER:
        raise AttributeError(f"module 'flossing' has no attribute {name!r}")
    room = importlib.import_module(_LATER[name], __name__)
    return room if name == "plots" else getattr(room, name)
