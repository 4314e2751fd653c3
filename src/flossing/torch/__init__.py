"""flossing for PyTorch: spectra, gradients and flossing of the modules that you have.

``import flossing.torch as ft``; the words are those of ``import flossing as fl``. States and inputs may
have a batch axis: then there is one spectrum per example.
"""

from . import surrogates as surrogates
from .adaptive import AdaptiveFlosser as AdaptiveFlosser, Look as Look
from .check import Finding as Finding, Report as Report, check as check
from .convert import floss_in_jax as floss_in_jax, load_cell as load_cell, to_cell as to_cell
from .examine import examine as examine
from .flosser import Flosser as Flosser
from .gates import open_gates as open_gates
from .heights import SurrogateHeights as SurrogateHeights
from .jacobian import (
    condition_number as condition_number,
    gradient_norms as gradient_norms,
    log_singular_values as log_singular_values,
)
from .local import local_exponents as local_exponents
from .objective import FlossingInfo as FlossingInfo, flossing_loss as flossing_loss
from .optimiser import flossing_optimiser as flossing_optimiser
from .result import LyapunovSpectrum as LyapunovSpectrum
from .spectrum import lyapunov_spectrum as lyapunov_spectrum
from .step import Attributes as Attributes, ModuleStep as ModuleStep, as_step as as_step
from .window import FlossInfo as FlossInfo
