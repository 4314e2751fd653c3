"""Graphs of the Neuromorphic Intermediate Representation (NIR) as cells of this library, and back."""

from .read import from_nir as from_nir
from .write import to_nir as to_nir
