"""Cells are tested in double precision."""

import pytest


@pytest.fixture(autouse=True)
def double_precision(x64):
    """Everywhere, unless a test says otherwise."""
