"""Lyapunov spectra, long-term Jacobians and tangent modes of any recurrent step."""

from ._check_run import StepWarning as StepWarning
from .jacobian import (
    condition_number as condition_number,
    gradient_norms as gradient_norms,
    log_singular_values as log_singular_values,
    long_term_jacobian as long_term_jacobian,
)
from .local import local_exponents as local_exponents
from .measures import entropy_rate as entropy_rate, kaplan_yorke_dimension as kaplan_yorke_dimension
from .result import (
    LostDirectionsWarning as LostDirectionsWarning,
    LyapunovSpectrum as LyapunovSpectrum,
)
from .spectrum import lyapunov_spectrum as lyapunov_spectrum
from .vectors import CovariantVectors as CovariantVectors, covariant_vectors as covariant_vectors
