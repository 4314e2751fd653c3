"""The start of a small training, which tests of blocks share."""

import pytest
from small_training import vanishing_and_exploding


@pytest.fixture(scope="session")
def start():
    """Two networks before their training, the second one with a large gain, and their keys."""
    return vanishing_and_exploding()
