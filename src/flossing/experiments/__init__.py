"""Published figures as experiments: parameters, run, and comparison with the published numbers."""

from collections.abc import Callable

from . import target_exponents
from ._result import Claim as Claim, Result as Result

EXPERIMENTS: dict[str, Callable[..., Result]] = {"target-exponents": target_exponents.run}
"""By name, as ``floss reproduce`` takes them; each is called with ``quick``."""
