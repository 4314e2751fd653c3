"""All of these tests are skipped where NIR is not installed."""

import pytest

pytest.importorskip("nir", minversion="1.0.7")
