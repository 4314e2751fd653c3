"""flossing for PyTorch: spectra, gradients and flossing of the modules that you have.

``import flossing.torch as ft``; the words are those of ``import flossing as fl``.
"""

from .result import LyapunovSpectrum as LyapunovSpectrum
from .spectrum import lyapunov_spectrum as lyapunov_spectrum
from .step import Attributes as Attributes, as_step as as_step
from .local import local_exponents as local_exponents
from .jacobian import condition_number as condition_number, gradient_norms as gradient_norms, log_singular_values as log_singular_values
from .check import Finding as Finding, Report as Report, check as check
from .objective import FlossingInfo as FlossingInfo, flossing_loss as flossing_loss
from .flosser import AdaptiveFlosser as AdaptiveFlosser, Flosser as Flosser, FlossInfo as FlossInfo, Look as Look, flossing_optimiser as flossing_optimiser
