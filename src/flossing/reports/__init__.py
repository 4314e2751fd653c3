"""Reports of runs and sweeps: publication figures, and one HTML page that needs no network."""

from .write import write_report as write_report
