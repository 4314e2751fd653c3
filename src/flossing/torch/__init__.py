"""flossing for PyTorch: spectra, gradients and flossing of the modules that you have.

``import flossing.torch as ft``; the words are those of ``import flossing as fl``.
"""

from .result import LyapunovSpectrum as LyapunovSpectrum
from .spectrum import lyapunov_spectrum as lyapunov_spectrum
