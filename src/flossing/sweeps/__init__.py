"""Many runs over a grid or list of settings, on local processes, a Dask cluster or a batch system."""

from .conduct import sweep as sweep
from .result import SweepResult as SweepResult, load as load
