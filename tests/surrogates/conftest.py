"""Double precision for all tests of surrogates."""

import pytest


@pytest.fixture(autouse=True)
def double_precision(x64):
    """Everywhere here."""
