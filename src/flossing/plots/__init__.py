"""Panels that show what results hold, in one style: functions of Matplotlib's Axes and arrays of numbers.

A panel is called as ``panel(axis, numbers, ...)``; it draws and labels, and returns nothing, so that it fits
any figure. Within ``with style():`` a figure looks like those of this library.
"""

from .directions import (
    alignments as alignments,
    condition_numbers as condition_numbers,
    gradient_norms as gradient_norms,
    singular_values as singular_values,
)
from .exponents import (
    local_exponents as local_exponents,
    spectra as spectra,
    spectrum as spectrum,
    time_constants as time_constants,
)
from .fields import (
    cosines as cosines,
    descents as descents,
    path_integrals as path_integrals,
)
from .lines import networks_and_median as networks_and_median
from .style import (
    COLOURS as COLOURS,
    drawn as drawn,
    given_axes as given_axes,
    letter_panels as letter_panels,
    style as style,
    zero_line as zero_line,
)
